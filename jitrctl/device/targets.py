"""Finds out which certificates the devices of an order are: all of them, before anything is done with one.

An operator names each device by a certificate, its id or a thing; `-` stands for a list on standard input. When one of
them cannot be understood, is not known, or has several certificates, the order is refused as a whole.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitrctl.device.held import find_held
from jitrctl.device.search import SearchKeys, not_known, parse_device, trace_each
from jitrctl.errors import Refused, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jitrctl.device.search import Traced
    from jitrctl.run.parallel import Failed
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

MOST = 1_000  # devices in one order: more than that are hours, and no plan that somebody reads
STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Target:
    """One device of an order."""

    given: str  # by the operator
    certificate_id: str


def read_devices(given: Sequence[str]) -> list[str]:
    """The devices of an order, each once; `-` is replaced by the lines of standard input, one device a line.

    Empty lines, and lines that begin with `#`, are skipped.

    Raises Unusable when there are none, or more than MOST.
    """
    devices: dict[str, None] = {}
    for word in given:
        lines = map(str.strip, sys.stdin) if word == STANDARD_INPUT else [word]
        devices |= dict.fromkeys(line for line in lines if line and not line.startswith("#"))
    if not devices:
        raise Unusable("standard input names no device: write one a line")
    if len(devices) > MOST:
        raise Unusable(f"these are {len(devices):,} devices, and one order may be on {MOST:,}: split the list")
    return list(devices)


def parse_devices(devices: Sequence[str]) -> dict[str, SearchKeys]:
    """What each of the devices names.

    Raises Unusable, which names all that cannot be understood.
    """
    starts: dict[str, SearchKeys] = {}
    problems = []
    for device in devices:
        try:
            starts[device] = parse_device(device)
        except Unusable as error:
            problems.append(str(error))
    _raise_all(problems, Unusable, len(devices))
    return starts


def known_targets(scope: Scope, starts: Mapping[str, SearchKeys], stages: Sequence[Stage]) -> list[Target]:
    """Resolve each to one certificate: the one given, or the only one that a thing ever had in any of these stages.

    Raises Refused when a thing has several, or none; or when a stage cannot be asked.
    """
    return _resolve(scope, starts, stages, held=False)


def known_or_held_targets(scope: Scope, starts: Mapping[str, SearchKeys], stages: Sequence[Stage]) -> list[Target]:
    """The same, where a held certificate that requests the thing's name counts, too.

    Raises Refused.
    """
    return _resolve(scope, starts, stages, held=True)


def waiting_targets(scope: Scope, starts: Mapping[str, SearchKeys], stages: Sequence[Stage]) -> list[Target]:
    """Resolve each to the certificate to approve: the one given, else the held one that requests the thing's name.

    Raises Refused when there are several, or none; or when a stage cannot be asked.
    """
    things = {thing for start in starts.values() for thing in start.things}
    if not things:
        return known_targets(scope, starts, stages)
    asked = scope.across(lambda stage: find_held(stage, things), doing="reading held devices", stages=stages)
    waiting = {
        given: frozenset(one for done in asked.done for thing in start.things for one in done.value[thing])
        for given, start in starts.items()
    }
    problems: list[str] = []
    chosen = {
        given: _only(start, waiting[given], asked.failed, problems) for given, start in starts.items() if waiting[given]
    }
    _raise_all(problems, Refused, len(starts))
    others = {given: start for given, start in starts.items() if not waiting[given]}
    chosen |= {target.given: target.certificate_id for target in known_targets(scope, others, stages)}
    return _once(Target(given, chosen[given]) for given in starts)


def refuse_unknown(starts: Mapping[str, SearchKeys], traced: Traced) -> None:
    """Refuse the whole order when no stage knows one of its devices.

    Raises Refused, which names all of them.
    """
    unknown = [not_known(start) for given, start in starts.items() if not traced.known[given].certificates]
    _raise_all(unknown, Refused, len(starts))


def _resolve(scope: Scope, starts: Mapping[str, SearchKeys], stages: Sequence[Stage], *, held: bool) -> list[Target]:
    things = {given: start for given, start in starts.items() if not start.certificates}
    chosen = {given: next(iter(start.certificates)) for given, start in starts.items() if start.certificates}
    if things:
        traced = trace_each(scope, things, stages, held=held)
        problems: list[str] = []
        for given, start in things.items():
            chosen[given] = _only(start, traced.known[given].certificates, traced.failed, problems)
        _raise_all(problems, Refused, len(starts))
    return _once(Target(given, chosen[given]) for given in starts)


def _only(start: SearchKeys, certificates: frozenset[str], failed: Sequence[Failed], problems: list[str]) -> str:
    """The one certificate of a thing; adds to the problems why there is none."""
    (thing,) = start.things
    if failed:
        problems.append(f"{failed[0].stage} cannot be asked which certificates {thing} has ({failed[0].error})")
    elif not certificates:
        problems.append(not_known(start))
    elif len(certificates) > 1:
        problems.append(f"{thing} has {len(certificates)} certificates, say which: {', '.join(sorted(certificates))}")
    return next(iter(certificates), "")


def _raise_all(problems: Sequence[str], kind: Callable[[str], Exception], devices: int) -> None:
    """Refuse the whole order with every problem.

    Raises what `kind` makes of it.
    """
    if problems:
        whole = f"nothing was done with any of the {devices} devices: " if devices > 1 else ""
        raise kind(whole + "; ".join(dict.fromkeys(problems)))


def _once(targets: Iterable[Target]) -> list[Target]:
    """Each certificate once, by the first name that was given for it."""
    chosen: dict[str, Target] = {}
    for target in targets:
        chosen.setdefault(target.certificate_id, target)
    return list(chosen.values())
