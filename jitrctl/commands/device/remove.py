"""`jitrctl device remove`: removes whole devices in the chosen stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from jitr.owners import NameRollback
from jitr.sessions import SessionState
from jitr.verdicts import OperatorVerdict
from jitrctl.audit.events import publish_own_verdict
from jitrctl.commands.device.many import Devices, report_each, run_each
from jitrctl.commands.device.order import name_of, open_operator
from jitrctl.device.operations import OrderContext
from jitrctl.device.search import DeviceView, SearchKeys, trace_each
from jitrctl.device.sessions import DeviceSession, DeviceSessions
from jitrctl.device.targets import parse_devices, read_devices, refuse_unknown
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr.iot_models import Status
    from jitrctl.device.search import StageCertificate
    from jitrctl.session.stage import Stage

STAYS_OUT = "Each certificate is refused when it comes again; with --forget it is evaluated as a new one."
FORGOTTEN = "All records are dropped: a device that comes again is evaluated as a new one."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remains:
    """What is left of a device in one stage."""

    view: DeviceView
    things: tuple[str, ...]  # existing ones, attached to or owned by one of its certificates

    @property
    def certificates(self) -> list[str]:
        """The known ones; owners of names last, so that a second run still finds the rest."""
        owners = {owner.certificate_id for owner in self.view.owners.values()}
        known = [one.certificate_id for one in self.view.certificates.values() if one.is_known]
        return sorted(known, key=lambda one: (one in owners, one))

    def lines(self) -> list[str]:
        lines = []
        for one in self.certificates:
            registered, verdict = self.view.certificates[one].registered, self.view.certificates[one].record.verdict
            by = f", {verdict.action} by {verdict.by} {at(verdict.at)}" if verdict else ""
            lines.append(f"certificate {one} {registered.status if registered else '(only its record)'}{by}")
        return [*lines, *(f"thing {name}" for name in self.things), *(f"name {name}" for name in self.view.owners)]


@over_stages
def remove(
    scope: Scope,
    devices: Devices,
    note: Note = "",
    *,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget", help="Also drop the records: a certificate that comes again is evaluated as a new one."
        ),
    ] = False,
    yes: Yes = False,
) -> None:
    """Remove devices in every chosen account: their sessions, their certificates, their things and their records.

    Their enrollment entries stay: `enrollment remove`. If interrupted, the same command completes it.

    Example: jitrctl device remove sensor-0001 --note "scrapped"
    """
    starts = parse_devices(read_devices(devices))
    stages, failed = scope.open_stages()
    traced = trace_each(scope, starts, stages)
    if stages:
        refuse_unknown(starts, traced)
    known = _distinct(traced.known)
    seen = scope.across(
        lambda stage: {device: _read_remains(stage, keys) for device, keys in known.items()},
        doing="reading",
        stages=traced.stages,
    )
    remains = {done.stage: done.value for done in seen.done}
    to_do = [
        f"  {stage}  {line}" for device in known for stage, found in remains.items() for line in found[device].lines()
    ]
    if to_do:
        scope.confirm(["Remove, for good,", *to_do, FORGOTTEN if forget else STAYS_OUT], yes=yes)

    sessions = DeviceSessions()

    def remove_here(stage: Stage, device: str) -> _Removed:
        return _remove(stage, remains[stage][device], sessions, note=note, forget=forget)

    results = run_each(scope, list(known), list(remains), remove_here, doing="removing")
    report_each(
        scope,
        results,
        rows=lambda device, done: [
            ({"device": name_of(device)} if len(known) > 1 else {})
            | {
                "removed": "; ".join(f"{kind} {name_of(name)}" for kind, name in done.parts) or "nothing is left here",
                "session": "; ".join(map(str, done.sessions)) or "none",
            }
        ],
        fields=lambda _, done: {
            "ok": all(one.result.state is not SessionState.FAILED for one in done.sessions),
            "removed": [f"{kind} {name}" for kind, name in done.parts],
            "sessions": [one.document() for one in done.sessions],
        },
        failed=(*failed, *seen.failed),
        things=sorted({thing for keys in known.values() for thing in keys.things}),
        certificates=sorted({one for keys in known.values() for one in keys.certificates}),
    )


def _distinct(known: Mapping[str, SearchKeys]) -> dict[str, SearchKeys]:
    """Each device once, by the first name that was given for it."""
    distinct: dict[str, SearchKeys] = {}
    for device, keys in known.items():
        if not any(keys.certificates & other.certificates for other in distinct.values()):
            distinct[device] = keys
    return distinct


def _read_remains(stage: Stage, known: SearchKeys) -> _Remains:
    view = DeviceView.of(stage, known)
    attached = {thing for one in view.certificates.values() if one.registered for thing in one.registered.things}
    names = sorted(attached | known.things)
    return _Remains(view=view, things=tuple(name for name in names if _exists(stage, name)))


def _exists(stage: Stage, thing: str) -> bool:
    try:
        stage.iot.describe_thing(thingName=thing)
    except stage.iot.exceptions.ResourceNotFoundException:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Removed:
    """What was removed of a device in one stage."""

    parts: tuple[tuple[str, str], ...]  # kind and name
    sessions: tuple[DeviceSession, ...]  # the last that became of each client id


def _remove(stage: Stage, remains: _Remains, sessions: DeviceSessions, *, note: str, forget: bool) -> _Removed:
    """Remove certificates, things, then their records: so a second run finds what the first one left.

    The session of each certificate is ended before it is detached from its thing. One that two of them may have opened
    is ended with the last. Nothing looks again later: a device whose certificate has no policy cannot connect.
    """
    at_work, done = open_operator(stage), list[tuple[str, str]]()
    given = OrderContext(by=stage.caller, note=note)
    verdicts, ended = dict[str, OperatorVerdict](), dict[str | None, DeviceSession]()
    for certificate_id in remains.certificates:
        seen = remains.view.certificates[certificate_id]

        def end_sessions(status: Status, certificate_id: str = certificate_id, seen: StageCertificate = seen) -> None:
            found = sessions.end(stage, certificate_id, status, seen)
            ended.update({one.result.client_id: one for one in found})

        was_there, verdicts[certificate_id] = at_work.remove_certificate(
            certificate_id, given, seen=seen.record, end_sessions=end_sessions
        )
        if was_there:
            done.append(("certificate", certificate_id))
        publish_own_verdict(stage, certificate_id, verdicts[certificate_id].action, None)
    done += [("thing", thing) for thing in remains.things if at_work.remove_thing(thing)]
    for certificate_id in remains.certificates:
        at_work.forget(certificate_id, wholly=forget, seen=verdicts[certificate_id])
    done += _give_up_names(stage, remains.view)
    if len(ended) > 1:
        ended.pop(None, None)  # of a certificate without a thing; another one has it
    return _Removed(parts=tuple(done), sessions=tuple(ended.values()))


def _give_up_names(stage: Stage, view: DeviceView) -> list[tuple[str, str]]:
    for thing, owner in view.owners.items():
        stage.registry.give_back(NameRollback(thing_name=thing, by=owner.certificate_id, to=None))
    return [("name", thing) for thing in view.owners]
