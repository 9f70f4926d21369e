"""`jitrctl device approve | deny | deactivate | revoke`, and the path that every order on certificates takes.

`give_order` is that path: resolve each device that was given to one certificate, show what the order does in each
stage, ask once, carry it out in each stage, publish each verdict there, report. What differs between the orders is a
`CarryOut` function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from jitr.sessions import SessionState
from jitr.verdicts import OperatorAction
from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.audit.events import publish_own_verdict
from jitrctl.clock import now
from jitrctl.commands.device.look_again import look_again
from jitrctl.commands.device.many import ENDS_THE_STAGE, Devices, OptionalDevices, report_each, run_each
from jitrctl.commands.device.selection import select
from jitrctl.commands.device.take_away_many import (
    Despite,
    DryRun,
    FromFile,
    IssuedBetween,
    OfGroup,
    OfOrigin,
    take_away_many,
)
from jitrctl.device.operations import Operator, OrderContext
from jitrctl.device.search import DeviceView, SearchKeys, StageCertificate
from jitrctl.device.sessions import DeviceSession, DeviceSessions
from jitrctl.device.targets import (
    Target,
    known_or_held_targets,
    known_targets,
    parse_devices,
    read_devices,
    waiting_targets,
)
from jitrctl.errors import Unusable
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import Stage
from jitrctl.terminal import Exit, at, short

if TYPE_CHECKING:
    from jitr.iot_models import Status
    from jitr.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What an order did in one stage."""

    text: str  # for the report: "INACTIVE"
    action: OperatorAction | None = None  # the verdict that was given, to be published; None: none was given
    status: Status | None = None  # the certificate's, for the event; None: not registered, or deleted
    sessions: tuple[DeviceSession, ...] | None = None  # of an order that ends them

    @property
    def is_complete(self) -> bool:
        """Whether no call on a session failed; the order itself was carried out."""
        return all(session.result.state is not SessionState.FAILED for session in self.sessions or ())


# Carry out an order in one stage, on condition that the record is still the one that the operator was shown.
# Raises Refused, Unavailable, botocore's errors.
CarryOut: TypeAlias = Callable[[Stage, str, OrderContext, "Record"], Ordered]
# Find the certificates that are meant, in these stages. Raises Refused.
Resolve: TypeAlias = Callable[[Scope, Mapping[str, SearchKeys], Sequence[Stage]], list[Target]]
_REVOKED_IS_FINAL = (
    "REVOKED is final on AWS IoT. `jitrctl device deactivate` holds a device instead, and "
    "`jitrctl device release --revoked` takes that back."
)
_THE_REST = "an account could not be reached: the same command does the rest"


@over_stages
def approve(scope: Scope, devices: Devices, note: Note = "") -> None:
    """Approve devices that are held for it, or that were not seen yet; takes effect at the next connect or sweep.

    A thing's name means the held device that requests it. An approval replaces only the enrollment entry: all other
    checks still apply.

    Example: jitrctl device approve device.pem --account prod --note "order 4711"
    """
    give_order(scope, devices, "approve it", _approve, note=note, yes=True, resolve=waiting_targets)


@over_stages
def deny(scope: Scope, devices: Devices, note: Note = "", *, yes: Yes = False) -> None:
    """Deny devices, also in accounts that have never seen them; a registered certificate is set INACTIVE.

    Its session is ended, in every account.

    Example: jitrctl device deny sensor-0001 sensor-0002 --note "lost in transit"
    """
    carry_out = partial(_take_away, OperatorAction.DENIED)
    give_order(
        scope,
        devices,
        "have it denied",
        carry_out,
        note=note,
        yes=yes,
        resolve=known_or_held_targets,
        ends_sessions=True,
    )


@over_stages
def deactivate(
    scope: Scope,
    devices: OptionalDevices = None,
    note: Note = "",
    from_file: FromFile = None,
    origin: OfOrigin = None,
    issued_between: IssuedBetween = None,
    thing_group: OfGroup = None,
    *,
    dry_run: DryRun = False,
    despite_problems: Despite = False,
    yes: Yes = False,
) -> None:
    """Set certificates INACTIVE, end their sessions, and prevent their activation until they are released.

    `device release --revoked` takes it back, at most 1,000 named devices in one command. With --from, --ca or
    --thing-group, many at once, as `device revoke` does.

    Example: jitrctl device deactivate device.pem --account dev --note "sold"
    """
    if selection := select(from_file, origin, issued_between, thing_group):
        _refuse_named(devices)
        take_away_many(
            scope,
            selection,
            OperatorAction.DEACTIVATED,
            note=note,
            dry_run=dry_run,
            despite=despite_problems,
            yes=yes,
        )
        return
    devices = _named(devices, dry_run=dry_run, despite=despite_problems)
    carry_out = partial(_take_away, OperatorAction.DEACTIVATED)
    give_order(scope, devices, "have it deactivated", carry_out, note=note, yes=yes, ends_sessions=True)


@over_stages
def revoke(
    scope: Scope,
    devices: OptionalDevices = None,
    note: Note = "",
    from_file: FromFile = None,
    origin: OfOrigin = None,
    issued_between: IssuedBetween = None,
    thing_group: OfGroup = None,
    *,
    dry_run: DryRun = False,
    despite_problems: Despite = False,
    yes: Yes = False,
) -> None:
    """Set certificates REVOKED, and end their sessions; accounts that have never seen them will refuse them.

    REVOKED is final on AWS IoT. For a hold, use `device deactivate`.

    With --from, --ca or --thing-group, many at once. They are counted in each account first. Then the orders are
    written, so that none of them is activated from then on, and the functions carry them out at the account's rate,
    also after jitrctl has ended. If it is interrupted, or an account cannot be reached, the same command does the rest.

    Example: jitrctl device revoke --from stolen.txt --note "keys were on a stolen laptop"
    """
    if selection := select(from_file, origin, issued_between, thing_group):
        _refuse_named(devices)
        take_away_many(
            scope,
            selection,
            OperatorAction.REVOKED,
            note=note,
            dry_run=dry_run,
            despite=despite_problems,
            yes=yes,
            warning=_REVOKED_IS_FINAL,
        )
        return
    devices = _named(devices, dry_run=dry_run, despite=despite_problems)
    carry_out = partial(_take_away, OperatorAction.REVOKED)
    give_order(
        scope,
        devices,
        "have it revoked",
        carry_out,
        note=note,
        yes=yes,
        ends_sessions=True,
        warning=_REVOKED_IS_FINAL,
    )


def _refuse_named(devices: Sequence[str] | None) -> None:
    """Raises Unusable."""
    if devices:
        raise Unusable("--from, --ca and --thing-group find the devices: leave out those that are named")


def _named(devices: Sequence[str] | None, *, dry_run: bool, despite: bool) -> list[str]:
    """The devices that were named; raises Unusable when there are none, or options are for many."""
    if not devices:
        raise Unusable(
            "say which devices: a certificate, id or thing of each; or many with --from, --ca or --thing-group"
        )
    if dry_run or despite:
        raise Unusable("--dry-run and --despite-problems can only be said with --from, --ca or --thing-group")
    return list(devices)


def give_order(
    scope: Scope,
    devices: Sequence[str],
    what: str,
    carry_out: CarryOut,
    *,
    note: str,
    yes: bool,
    resolve: Resolve = known_targets,
    ends_sessions: bool = False,
    finish: Callable[[Stage, str], None] | None = None,
    warning: str = "",
) -> None:
    """Give an order on certificates in all stages of the scope: resolve, plan, ask, run in each stage, audit.

    `devices` is what the operator gave. `what` names the order in the plan ("approve it"); `yes` asks nothing.
    `ends_sessions`: after the status also the device's session is ended, and ten seconds later looked at again.
    `finish` is the part of the order that comes after the sessions. `warning` is shown below the plan.

    Raises Unusable, Refused, typer.Exit.
    """
    # Resolve: all of the devices, or none
    starts = parse_devices(read_devices(devices))
    stages, not_opened = scope.open_stages()
    targets = {target.given: target.certificate_id for target in (resolve(scope, starts, stages) if stages else ())}

    # Plan
    known = SearchKeys(frozenset(targets.values()))
    views = scope.across(lambda stage: DeviceView.of(stage, known), doing="reading", stages=stages)
    shown = {done.stage: done.value.certificates for done in views.done}

    # Ask
    if shown:
        scope.confirm([*_plan(targets, what, shown), *([warning] if warning else [])], yes=yes)

    # Run in each stage
    sessions = DeviceSessions()

    def run(stage: Stage, device: str) -> Ordered:
        certificate_id = targets[device]
        order = OrderContext(by=stage.caller, note=note)
        seen = shown[stage][certificate_id]
        ordered = carry_out(stage, certificate_id, order, seen.record)
        if ends_sessions:
            ended = sessions.end(stage, certificate_id, ordered.status, seen) if ordered.status else ()
            ordered = replace(ordered, sessions=ended)
        if finish and ordered.status:
            finish(stage, certificate_id)
        if ordered.action:  # Audit
            publish_own_verdict(stage, certificate_id, ordered.action, ordered.status)
        return ordered

    results = run_each(scope, list(targets), list(shown), run, doing="carrying it out")
    results, was_interrupted = look_again(scope, results, sessions) if ends_sessions else (results, False)
    several = len(targets) > 1
    failed = (*not_opened, *views.failed)
    unreached = failed or [one for one in results.failed if isinstance(one.cause, ENDS_THE_STAGE)]
    report_each(
        scope,
        results,
        rows=lambda device, ordered: [
            ({"device": name_of(device)} if several else {})
            | {"certificate": short(targets[device]), "now": ordered.text}
            | ({} if ordered.sessions is None else {"session": _sessions_in_words(ordered.sessions)})
        ],
        fields=lambda device, ordered: _fields(targets[device], ordered),
        failed=failed,
        notes=[_THE_REST] if unreached and results.done else [],
        **({} if several else {"certificate_id": next(iter(targets.values()), "")}),
    )
    if was_interrupted:
        raise typer.Exit(Exit.INTERRUPTED)


def _fields(certificate_id: str, ordered: Ordered) -> dict[str, Any]:
    """The fields of one device in the document; see docs/json."""
    fields: dict[str, Any] = {"certificate_id": certificate_id, "status": ordered.text}
    if ordered.sessions is not None:
        fields |= {"ok": ordered.is_complete, "sessions": [one.document() for one in ordered.sessions]}
    return fields


def _sessions_in_words(sessions: Sequence[DeviceSession]) -> str:
    return "; ".join(map(str, sessions)) or "none"


def name_of(device: str) -> str:
    """A device as the operator gave it, for a table's cell that has the certificate's id beside it."""
    return short(device) if certificate_id_in(device) else device


def _plan(targets: Mapping[str, str], what: str, shown: Mapping[Stage, Mapping[str, StageCertificate]]) -> list[str]:
    """What an order would do: each certificate, and its state in each stage; of several, equal states on one line."""
    lines = []
    for given, certificate_id in targets.items():
        states = [(describe(found[certificate_id]), str(stage)) for stage, found in shown.items()]
        named = ""
        if len(targets) > 1:
            named = "" if certificate_id_in(given) else f" ({given})"
            states = [(state, ", ".join(one for same, one in states if same == state)) for state in dict(states)]
        lines += [
            f"Certificate {certificate_id}{named}: {what}, in",
            *(f"  {where}  {state}" for state, where in states),
        ]
    return lines


def open_operator(stage: Stage) -> Operator:
    """The operator's access to devices in a stage."""
    return Operator(client=stage.iot, iot=stage.aws_iot, registry=stage.registry, rules=stage.rules, clock=now)


def describe(found: StageCertificate) -> str:
    """A certificate's state before an order: INACTIVE, sensor-0001, revoked by arn:…/ann 2026-11-26 10:00Z."""
    parts = ["not registered"]
    if found.registered:
        names = ", ".join(found.registered.things) or found.registered.asks_for
        parts = [str(found.registered.status), *([names] if names else [])]
    verdict = found.record.verdict
    return ", ".join([*parts, *([f"{verdict.action} by {verdict.by} {at(verdict.at)}"] if verdict else [])])


def _approve(stage: Stage, certificate_id: str, order: OrderContext, seen: Record) -> Ordered:
    status = open_operator(stage).approve(certificate_id, order, seen=seen)
    text = "approved, evaluated again at its next connect or sweep" if status else "approved for when it comes"
    return Ordered(text=text, action=OperatorAction.APPROVED, status=status)


def _take_away(action: OperatorAction, stage: Stage, certificate_id: str, order: OrderContext, seen: Record) -> Ordered:
    status = open_operator(stage).take_away(certificate_id, action, order, seen=seen)
    text = str(status) if status else "not registered here; refused when it comes"
    if seen.verdict and action.is_weaker_than(seen.verdict.action):
        text += f"; it stays {seen.verdict.action}"
    return Ordered(text=text, action=action, status=status)
