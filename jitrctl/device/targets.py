"""Finds out which certificates the devices of an order are: all of them, before anything is done with one.

An operator names each device by a certificate, its id, a thing, or a serial number that is marked as one (0x42); `-`
stands for a list on standard input. When one of them cannot be understood, is not known, or has several certificates,
the order is refused as a whole.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitrctl.device.held import find_held
from jitrctl.device.search import SearchKeys, parse_device, trace_each
from jitrctl.errors import Refused, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jitrctl.device.search import Traced
    from jitrctl.run.parallel import Failed
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

MOST = 1_000  # devices in one order: more than that are hours, and no plan that somebody reads
STANDARD_INPUT = "-"
_PEM = "-----BEGIN"
# A list that is not one, such as a key without its first line, must not be printed.
_MOST_CHARACTERS = 20  # of a line in a message
_MOST_LINES = 10  # in a message


@dataclass(frozen=True, slots=True)
class Target:
    """One device of an order."""

    given: str  # by the operator
    certificate_id: str


def read_devices(given: Sequence[str]) -> dict[str, int | None]:
    """The devices of an order, each once; `-` is replaced by the lines of standard input, one device a line.

    Returns each with its line's number; None: it was in the command. Empty lines, and lines that begin with `#`, are
    skipped.

    Raises Unusable when there are none, or more than MOST; when standard input is not UTF-8, or PEM.
    """
    devices: dict[str, int | None] = {}
    for word in given:
        lines = _read_lines() if word == STANDARD_INPUT else {word: None} if word else {}
        devices = devices | {device: line for device, line in lines.items() if device not in devices}
    if not devices:
        raise Unusable("standard input names no device: write one a line")
    if len(devices) > MOST:
        raise Unusable(f"these are {len(devices):,} devices, and one order may be on {MOST:,}: split the list")
    return devices


def _read_lines() -> dict[str, int | None]:
    """The devices on standard input, each with the number of its line.

    Raises Unusable, which repeats nothing of it.
    """
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 without a byte order mark decodes as UTF-8
        raise Unusable(
            "standard input is not text in UTF-8: convert the list, such as with `iconv -f UTF-16 -t UTF-8`, and name "
            "files instead of passing their content"
        )
    if _PEM in text:
        raise Unusable("standard input is to name devices, one a line, and this is PEM: name its file instead")
    lines: dict[str, int | None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if (device := line.strip()) and not device.startswith("#"):
            lines.setdefault(device, number)
    return lines


def parse_devices(devices: Mapping[str, int | None]) -> dict[str, SearchKeys]:
    """What each of the devices names, as `read_devices` returned them.

    Raises Unusable, which names those that cannot be understood.
    """
    starts: dict[str, SearchKeys] = {}
    problems = []
    for device, line in devices.items():
        called = f"line {line} ({_cut(device)})" if line else ""
        try:
            starts[device] = parse_device(device, called)
        except Unusable as error:
            said = str(error)
            problems.append(said if not called or said.startswith(called) else f"line {line}: {said}")
    if (more := len(problems) - _MOST_LINES) > 0:
        problems = [*problems[:_MOST_LINES], f"and so are {more:,} more"]
    _raise_all(problems, Unusable, len(devices))
    return starts


def _cut(line: str) -> str:
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"


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
        given: _only(_thing(start), waiting[given], asked.failed, problems)
        for given, start in starts.items()
        if waiting[given]
    }
    _raise_all(problems, Refused, len(starts))
    others = {given: start for given, start in starts.items() if not waiting[given]}
    chosen |= {target.given: target.certificate_id for target in known_targets(scope, others, stages)}
    return _once(Target(given, chosen[given]) for given in starts)


def refuse_unknown(starts: Mapping[str, SearchKeys], traced: Traced) -> None:
    """Refuse the whole order when no stage knows one of its devices, or a stage failed that may know more of them.

    Raises Refused, which names all of them.
    """
    unasked = [f"{one.stage} cannot be asked what it has of the device ({one.error})" for one in traced.failed]
    _raise_all(unasked, Refused, len(starts))
    unknown = [
        traced.not_known(given, _thing(start))
        for given, start in starts.items()
        if not traced.known[given].certificates
    ]
    _raise_all(unknown, Refused, len(starts))


def _resolve(scope: Scope, starts: Mapping[str, SearchKeys], stages: Sequence[Stage], *, held: bool) -> list[Target]:
    things = {given: start for given, start in starts.items() if not start.certificates}
    chosen = {given: next(iter(start.certificates)) for given, start in starts.items() if start.certificates}
    if things:
        traced = trace_each(scope, things, stages, held=held)
        problems: list[str] = []
        for given, start in things.items():
            thing = _thing(start)
            # A serial number names its certificate alone, not those before and after it.
            certificates = traced.by_serial.get(given) or traced.known[given].certificates
            if not certificates and not traced.failed:
                problems.append(traced.not_known(given, thing))
            chosen[given] = _only(thing, certificates, traced.failed, problems)
        _raise_all(problems, Refused, len(starts))
    return _once(Target(given, chosen[given]) for given in starts)


def _thing(start: SearchKeys) -> str:
    """The one thing name of a device that was not given by its certificate."""
    (thing,) = start.things
    return thing


def _only(thing: str, certificates: frozenset[str], failed: Sequence[Failed], problems: list[str]) -> str:
    """The one of a thing's certificates; adds to the problems why it cannot be told."""
    if failed:
        problems.append(f"{failed[0].stage} cannot be asked which certificates {thing} has ({failed[0].error})")
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
