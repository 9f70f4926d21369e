"""Carries out the probes one after the other, and cleans, however the run ends.

A probe that fails does not stop the others. Ctrl-C stops the probes and starts cleaning; a second Ctrl-C stops
cleaning, and the journal says what is left.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from jitrctl.errors import JitrctlError, Unusable
from jitrctl.localaws.errors import LocalAwsError
from jitrctl.prove.cleaning import Cleaner
from jitrctl.prove.probe import NotAnswered, ProbeAnswer, Unanswered
from jitrctl.session.aws_errors import DENIED, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jitrctl.prove.journal import Journal, JournalEntry
    from jitrctl.prove.place import ProvePlace, Time
    from jitrctl.prove.probe import Probe
    from jitrctl.prove.run import Run

ON_PURPOSE = (ClientError, BotoCoreError, JitrctlError, LocalAwsError, OSError)


@dataclass(kw_only=True)
class ProbeOutcome:
    """The outcome of a run."""

    answers: list[ProbeAnswer] = field(default_factory=list)
    not_answered: list[NotAnswered] = field(default_factory=list)
    refused: list[JournalEntry] = field(default_factory=list)  # what could not be deleted
    left: list[JournalEntry] = field(default_factory=list)  # what the journal still names
    interrupted: bool = False
    calls: Counter[str] = field(default_factory=Counter)  # by IAM action, cleaning included

    @property
    def ok(self) -> bool:
        return not self.refused and not self.interrupted and not any(one.failed for one in self.not_answered)


def carry_out(
    run: Run, probes: Sequence[Probe], outcome: ProbeOutcome, *, tell: Callable[[str], None], keep: bool = False
) -> None:
    """Carry out these probes, then clean, unless `keep`; fills `outcome` meanwhile.

    Raises, after cleaning, an error that is not in ON_PURPOSE: a mistake in jitrctl.
    """
    try:
        for number, probe in enumerate(probes, start=1):
            tell(f"{number} of {len(probes)}: {probe.question}")
            _carry_out_one(run, probe, outcome)
    except KeyboardInterrupt:
        outcome.interrupted = True
    finally:
        try:
            run.close()
            if not keep:
                tell("cleaning")
                clean(run.places, run.journal, outcome, time=run.time)
        except KeyboardInterrupt:
            outcome.interrupted = True
        outcome.left += run.journal.entries
        for place in run.places:
            outcome.calls.update(place.guard.calls)


def clean(places: Sequence[ProvePlace], journal: Journal, outcome: ProbeOutcome, *, time: Time) -> None:
    """Delete what a journal names in these accounts; Ctrl-C leaves the rest in it."""
    try:
        for place in places:
            cleaner = Cleaner(place=place, journal=journal, sleep=time.sleep)
            try:
                cleaner.clean()
            finally:
                outcome.refused += cleaner.refused
        journal.close()
    except KeyboardInterrupt:
        outcome.interrupted = True


def choose(
    probes: Sequence[Probe],
    *,
    only: Sequence[str],
    accounts: int,
    bursts: bool,
    cannot: Mapping[str, str],
) -> tuple[tuple[Probe, ...], tuple[NotAnswered, ...]]:
    """The probes to carry out, and those left out, each with why; `cannot` has probes without an answer here.

    Raises Unusable when there is no probe of a name.
    """
    known = [probe.name for probe in probes]
    for name in only:
        if name not in known:
            raise Unusable(f"there is no probe {name}: there are {', '.join(known)}")
    chosen, left_out = [], []
    for probe in probes:
        if only and probe.name not in only:
            continue
        why = ""
        if probe.accounts > accounts:
            why = "it needs a second account: give two with --account"
        elif probe.bursts and not bursts:
            why = "it sends bursts of calls: add --bursts"
        elif probe.name in cannot:
            why = cannot[probe.name]
        if why:
            left_out.append(NotAnswered(probe=probe, why=why, failed=False))
        else:
            chosen.append(probe)
    return tuple(chosen), tuple(left_out)


def _carry_out_one(run: Run, probe: Probe, outcome: ProbeOutcome) -> None:
    try:
        found = probe.run(run)
    except Unanswered as error:
        outcome.not_answered.append(NotAnswered(probe=probe, why=str(error), failed=True))
        return
    except ON_PURPOSE as error:
        outcome.not_answered.append(NotAnswered(probe=probe, why=_why(error), failed=True))
        return
    for expectation in probe.expects:
        answer = found.get(expectation.what)
        if expectation.what not in found:
            why = "an earlier answer of this probe makes this one moot"
            outcome.not_answered.append(NotAnswered(probe=probe, why=why, failed=False, what=expectation.what))
        elif isinstance(answer, Unanswered):
            outcome.not_answered.append(NotAnswered(probe=probe, why=str(answer), failed=False, what=expectation.what))
        else:
            outcome.answers.append(ProbeAnswer(probe=probe, expectation=expectation, found=answer))


def _why(error: Exception) -> str:
    if isinstance(error, JitrctlError | LocalAwsError):
        return str(error)
    text = explain(error)
    if isinstance(error, ClientError) and error.response["Error"].get("Code") in DENIED:
        return f"{text}; policies/operators/prove.json has all that is needed"
    return text
