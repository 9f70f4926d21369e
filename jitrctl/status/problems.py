"""Defines a problem of a stage: what it is, how bad, in words, and its cure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

# Stand in a command for options. WHERE: those that choose the stage and the fleet, ` --account dev --fleet acme.toml`.
# FLEET: those that choose the fleet alone, for a command that would leave something out if it were given a stage.
WHERE = "{where}"
FLEET = "{fleet}"
RUNBOOK = "docs/runbook.md"


class Severity(IntEnum):
    """How bad a problem is; the worst is shown first."""

    STOPPED = 0  # no new device gets in
    FAILING = 1  # some do not
    LOST = 2  # messages that nobody works on
    WAITING = 3  # devices wait longer than they should
    DRIFTED = 4  # something is not as declared
    SOON = 5  # it will be a problem


class Kind(StrEnum):
    """What a problem is about: its name in `--json`. Kinds that an alarm watches too have the alarm's name."""

    STACK = "stack"
    FUNCTION = "function"
    PAUSED = "paused"
    CA = "ca"
    FAILING = "failing"
    BRAKE = "rules-refuse-many"
    DEAD_LETTERS = "dead-letters"
    UNDELIVERED = "undelivered"
    UNFORWARDED = "unforwarded"
    HUB_LETTERS = "hub-dead-letters"
    BACKLOG = "backlog"
    SWEEP_LATE = "sweep-not-run"
    SWEEP_FAILED = "sweep-errors"
    CRL = "crl"
    CRL_REFUSED = "crl-refused"
    CRL_WAITS = "crl-waits"
    POLICY = "policy"
    TEMPLATE = "template"
    ENROLLMENT = "enrollment-lists"
    CA_EXPIRING = "ca-expiring"
    DEVICES_EXPIRING = "devices-expiring"
    ALARM = "alarm"
    NOT_READ = "not-read"  # what decides whether the stage is OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that needs an operator.

    `text` is one sentence without a full stop. `cures` are commands, to be given in this order. In both, WHERE and
    FLEET stand for options. Without a command, `runbook` is the section that says what to do.
    """

    kind: Kind
    severity: Severity
    text: str
    cures: tuple[str, ...] = ()
    runbook: str = ""  # a section of docs/runbook.md

    @property
    def depends_on_stage(self) -> bool:
        """Whether its words are others in another stage, since a command in them chooses the stage."""
        return any(WHERE in text for text in (self.text, *self.cures))

    def for_stages(self, stages: str, fleet: str) -> Problem:
        """The problem with commands that can be pasted.

        `stages` are the options that choose the stages, ` --account dev`, and `fleet` that of the fleet, ` --fleet
        acme.toml`; either may be empty.
        """

        def fill(text: str) -> str:
            return text.replace(WHERE, f"{stages}{fleet}").replace(FLEET, fleet)

        return replace(self, text=fill(self.text), cures=tuple(map(fill, self.cures)))

    @property
    def link(self) -> str | None:
        return f"{RUNBOOK}#{self.runbook}" if self.runbook else None
