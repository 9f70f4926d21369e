"""`jitrctl ca adopt --take-over | --undo` in the simulation: a fleet to take over, and orders that are broken off."""

from pathlib import Path

import pytest

from jitrctl.clock import now
from jitrctl.jitp.kept_template import KeptTemplates
from jitrctl.session import stage as stages
from simulation.faults import Call, Died, Fault, Moment
from tests.support.cli.jitp_fleet import ROLE, JitpFleet, jitp_fleet, template
from tests.support.cli.orders import strike
from tests.support.cli.simulated import DEV, Access

RULES = 'common_name = "pump-[0-9]+"\nthing_type = "pump"\nthing_groups = ["hall-1"]\nexisting = true\n'
ON = {"templateBody": template(), "roleArn": ROLE}
TAKE, UNDO = ("factory", "--take-over", "--yes"), ("factory", "--undo", "--yes")
READS = ("Describe", "Get", "List")
HERE = "jitrctl ca adopt factory --account dev --region eu-central-1"
KILLED_AFTER = 241  # seconds, after which an order that has not ended counts as killed
CHANGING = ("iot:UpdateCACertificate", "iot:EnableTopicRule", "iot:DisableTopicRule")


def held_fleet(directory: Path, monkeypatch: pytest.MonkeyPatch) -> JitpFleet:
    """A fleet with a template on its CA, which the fleet file knows: it can be taken over."""
    fleet = jitp_fleet(directory, monkeypatch)
    fleet.hold(RULES)
    return fleet


def calls_of(jitp: JitpFleet, *words: str) -> list[str]:
    """The operator's calls in an order, by name."""
    made: list[str] = []

    def hear(call: Call, moment: Moment) -> None:
        if call.caller == "jitrctl" and moment == "before":
            made.append(call.name)

    with strike(jitp.fleet, hear):
        jitp.adopt(*words)
    return made


def strike_one(jitp: JitpFleet, number: int, at: Moment, fault: Fault | None, *words: str) -> None:
    """Give an order in whose call of that number jitrctl dies; or from which on all calls fail."""
    calls = -1

    def hook(call: Call, moment: Moment) -> Fault | None:
        nonlocal calls
        if call.caller != "jitrctl":
            return None
        calls += moment == "before"
        if calls == number and moment == at and fault is None:
            raise Died
        return fault if calls >= number and moment == at else None

    with strike(jitp.fleet, hook):
        jitp.fleet.ask_any("ca", "adopt", *words, "--account", DEV)


def kept_config(jitp: JitpFleet) -> dict[str, str]:
    stage = jitp.fleet.stage(DEV)
    kept = KeptTemplates(stage.dynamodb, stage.names.registry_table, jitp.ca.certificate_id, "ann", now).read()
    assert kept is not None
    return dict(kept.config)


def as_bob(jitp: JitpFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = "arn:aws:sts::111111111111:assumed-role/operator/bob"
    monkeypatch.setattr(stages, "open_access", lambda account, *_: Access(jitp.fleet.place(account.name), bob))
