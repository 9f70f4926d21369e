"""`jitrctl device show | where`: shows one device in every account."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr.errors import Reason
from jitr.event_details import decision_fields
from jitr.iot_models import Status
from jitr.rules import is_source
from jitr.store.registry_items import from_verdict
from jitrctl.audit import log
from jitrctl.device import live_connection
from jitrctl.device.leftovers import LeftBehind, left_behind, present_owners
from jitrctl.device.missing import list_missing, reconcile_command
from jitrctl.device.search import DeviceView, StageCertificate, parse_device, search
from jitrctl.run.scope import Scope, over_stages
from jitrctl.session.fleet_option import with_fleet_option
from jitrctl.terminal import at, out, short, table

if TYPE_CHECKING:
    from jitr.iot_models import DeviceRegistration
    from jitr.x509.certificate import Certificate
    from jitrctl.session.stage import Stage

Device = Annotated[
    str,
    typer.Argument(
        metavar="CERT|ID|THING|SERIAL", help="A certificate's file, its id or its serial number, or a thing's name."
    ),
]

_ACTIVATED_SINCE = "AWS IoT or an operator has activated it since; the daily pass of the sweep records that"


@over_stages
def show(scope: Scope, device: Device) -> None:
    """Show a device in every account: certificates, thing, policy, decision, verdict, old certificates still in use.

    Also whether its client is connected, since when and from where; or why it disconnected in the last 30 minutes.

    Example: jitrctl device show sensor-0001
    """
    found, failed, known = search(scope, parse_device(device))
    bare = {done.stage: done.value for done in found.done}
    views = scope.across(lambda stage: _with_orders(stage, bare[stage]), doing="reading", stages=list(bare))
    failed = (*failed, *found.failed)
    seen = {done.stage: done.value for done in views.done}
    behind = left_behind(seen)

    def show_results() -> None:
        things = sorted(present_owners(seen) or known.things)
        out.print(f"[bold]{', '.join(things)}[/bold]" if things else "a certificate without a thing")
        for certificate_id in _by_age(seen):
            _show_certificate(certificate_id, seen, scope.fleet_option)
        _show_left_behind(behind)

    scope.report(
        views,
        show=show_results,
        fields=lambda view: {
            "certificates": [_document(one, view) for one in view.certificates.values() if one.is_known]
        },
        failed=failed,
        things=sorted(known.things),
        left_behind=[_left_behind_document(one) for one in behind],
    )


@over_stages
def where(scope: Scope, device: Device) -> None:
    """Show in which accounts a device is, in short: each certificate's status there.

    Example: jitrctl device where device.pem
    """
    views, failed, _ = search(scope, parse_device(device))

    def rows(_: Stage, view: DeviceView) -> list[dict[str, str]]:
        known = [one for one in view.certificates.values() if one.is_known]
        return [{"certificate": short(one.certificate_id), **_status(one)} for one in known] or [
            {"certificate": "-", "status": "not known here", "decision": ""}
        ]

    scope.report(
        views,
        rows=rows,
        fields=lambda view: {
            "certificates": [
                {"certificate_id": one.certificate_id, "status": one.registered.status if one.registered else None}
                for one in view.certificates.values()
                if one.is_known
            ]
        },
        failed=failed,
    )


def _status(found: StageCertificate) -> dict[str, str]:
    decision = found.record.decision
    return {
        "status": str(found.registered.status) if found.registered else "not registered",
        "decision": " ".join(map(str, filter(None, (decision.outcome, decision.reason)))) if decision else "none",
    }


def _by_age(views: dict[Stage, DeviceView]) -> list[str]:
    """The certificate ids, the latest issued first."""
    ids = {one.certificate_id for view in views.values() for one in view.certificates.values()}

    def age(certificate_id: str) -> float:
        certificate = _certificate(certificate_id, views)
        return certificate.not_before.timestamp() if certificate else 0.0

    return sorted(ids, key=lambda one: (-age(one), one))


def _certificate(certificate_id: str, views: dict[Stage, DeviceView]) -> Certificate | None:
    """The parsed certificate, from any stage that has it."""
    certificates = (view.certificates.get(certificate_id) for view in views.values())
    return next((one.registered.certificate for one in certificates if one and one.registered), None)


def _show_certificate(certificate_id: str, views: dict[Stage, DeviceView], fleet_option: str) -> None:
    out.print(f"\n[bold]Certificate[/bold] {certificate_id}", soft_wrap=True)
    if certificate := _certificate(certificate_id, views):
        out.print(
            f"{certificate.subject}; {certificate.key}; {certificate.not_before:%F} to {certificate.not_after:%F}\n"
            f"serial {certificate.serial}",
            style="dim",
            markup=False,
        )
    rows, unknown, notes = [], [], []
    for stage, view in views.items():
        found = view.certificates[certificate_id]
        if not found.is_known:
            unknown.append(str(stage))
            continue
        rows.append(_row(stage, found))
        lines = (
            *_notes(found),
            *(with_fleet_option(one, fleet_option) for one in (*_cures(stage, found), *_missing(stage, view, found))),
            *_connection(view, certificate_id),
            *_order(view, certificate_id),
        )
        notes += [f"{stage}: {note}" for note in lines]
    if rows:
        out.print(table(rows))
    if unknown:
        named = ", ".join(unknown) if len(unknown) <= 6 else f"{len(unknown)} stages, {unknown[0]} the first of them"  # noqa: PLR2004
        out.print(f"Not known in {named}.", style="dim", markup=False)
    for note in notes:
        out.print(note, markup=False, soft_wrap=True)


def _row(stage: Stage, found: StageCertificate) -> dict[str, str]:
    registered, decision = found.registered, found.record.decision
    return {
        "stage": str(stage),
        "status": f"{registered.status} ({registered.mode})" if registered else "not registered",
        "attached": " ".join((*registered.things, *registered.policies)) or "nothing" if registered else "",
        "decision": f"{decision.reason or decision.outcome} {at(decision.decided_at)}" if decision else "none",
    }


def _notes(found: StageCertificate) -> list[str]:
    """What does not fit into the table: the reason, the verdict, predecessor and successor."""
    decision, verdict = found.record.decision, found.record.verdict
    notes = []
    if decision and decision.reason:
        notes.append(f"{decision.outcome}, {decision.reason}: {decision.detail}")
    if found.record.is_held_under_template:
        is_active = found.registered is not None and found.registered.status is Status.ACTIVE
        notes.append(_ACTIVATED_SINCE if is_active else "evaluated again once no provisioning template is on its CA")
    elif decision and decision.next_evaluation:
        notes.append(f"evaluated again at {at(decision.next_evaluation)}, or when its rules, entries or CRL change")
    if decision and decision.would_reject:
        notes.append(f"would be refused if it were enforced: {', '.join(map(str, decision.would_reject))}")
    if decision and decision.replaces:
        notes.append(f"it followed {short(decision.replaces)}")
    if follower := found.record.replaced_by or (decision.replaced_by if decision else None):
        notes.append(f"{short(follower)} followed it")
    if found.record.origin:
        notes.append(f"adopted; before jitr it was registered by: {found.record.origin}")
    if verdict:
        said = f": {verdict.note}" if verdict.note else ""
        notes.append(f"{verdict.action} by {verdict.by} {at(verdict.at)}{said}")
    if found.record.intent:
        notes.append(f"begun and not yet recorded: {found.record.intent.outcome}")
    return notes


def _with_orders(stage: Stage, view: DeviceView) -> DeviceView:
    """The view with the last order about each known certificate, and the connection of its thing."""
    known = [one.certificate_id for one in view.certificates.values() if one.is_known]
    given = {certificate_id: log.read_last_if_readable(stage, certificate_id) for certificate_id in known}
    return replace(
        view,
        orders={certificate_id: order for certificate_id, order in given.items() if order},
        connections={
            one.certificate_id: live_connection.read(stage, one.registered.things[0])
            for one in view.certificates.values()
            if one.registered and one.registered.things
        },
        missing={one.certificate_id: list_missing(stage, one) for one in view.certificates.values()},
    )


def _cures(stage: Stage, found: StageCertificate) -> list[str]:
    """What to do about a refusal: doctor says it; of a second certificate under the name also the usual order."""
    decision, registered = found.record.decision, found.registered
    if decision is None or decision.reason is None or registered is None or registered.status is Status.ACTIVE:
        return []
    place = f"--account {stage.account.name} --region {stage.region}"
    cures = [f"what to do: `jitrctl doctor {found.certificate_id} {place}`"]
    if decision.reason is Reason.NOT_A_ROTATION and is_source(decision.ca_certificate_id):
        cures.append(
            "if it is the same device: import it again with "
            f"`jitrctl device import FILE --may-follow --source {decision.ca} {place}`"
        )
    elif decision.reason is Reason.NOT_A_ROTATION:
        cures.append(
            f"if it is a rotation before its time: `jitrctl enrollment allow {found.certificate_id} --may-follow`"
        )
    return cures


def _missing(stage: Stage, view: DeviceView, found: StageCertificate) -> list[str]:
    """What the rules give it and it lacks, with the command that gives it."""
    missing = view.missing.get(found.certificate_id, ())
    if not missing:
        return []
    command = reconcile_command(stage, found.certificate_id)
    return [*(f"missing: {one}" for one in missing), f"cure: `{command}`"]


def _order(view: DeviceView, certificate_id: str) -> list[str]:
    return [str(view.orders[certificate_id])] if certificate_id in view.orders else []


def _connection(view: DeviceView, certificate_id: str) -> list[str]:
    return [str(view.connections[certificate_id])] if certificate_id in view.connections else []


def _show_left_behind(behind: list[LeftBehind]) -> None:
    if behind:
        out.print("\n[bold]Left behind[/bold]")
    for one in behind:
        out.print(str(one), markup=False)
        if one.order:
            out.print(f"  When the device no longer needs it there: {one.order}", markup=False, soft_wrap=True)


def _document(found: StageCertificate, view: DeviceView) -> dict[str, Any]:
    registered, record = found.registered, found.record
    connection = view.connections.get(found.certificate_id)
    document: dict[str, Any] = {"certificate_id": found.certificate_id, "status": None}
    if registered:
        document |= {
            "status": registered.status,
            "mode": registered.mode,
            "ca_certificate_id": registered.device.ca_certificate_id,
            "ca_named_by": _ca_named_by(registered.device),
            "registered_at": registered.device.created_at.isoformat(),
            "things": list(registered.things),
            "policies": list(registered.policies),
        }
        if registered.certificate:
            document |= {
                "subject": registered.certificate.subject,
                "issuer": registered.certificate.issuer,
                "serial": registered.certificate.serial,
                "not_before": registered.certificate.not_before.isoformat(),
                "not_after": registered.certificate.not_after.isoformat(),
                "reader": registered.certificate.reader.value,
            }
    return document | {
        "decision": decision_fields(record.decision) if record.decision else None,
        "verdict": from_verdict(record.verdict) if record.verdict else None,
        "replaced_by": record.replaced_by,
        "origin": record.origin,
        "connection": connection.document() if connection else None,
        "last_order": log.document(view.orders.get(found.certificate_id)),
        "missing": list(view.missing.get(found.certificate_id, ())),
    }


def _ca_named_by(device: DeviceRegistration) -> str | None:
    """From what the certificate's CA is known; None when it is not."""
    if device.ca_certificate_id is None:
        return None
    return "AWS IoT" if device.is_ca_named else "signature or record"


def _left_behind_document(one: LeftBehind) -> dict[str, Any]:
    return {
        "account": one.stage.account.name,
        "region": one.stage.region,
        "thing_name": one.thing_name,
        "certificate_id": one.certificate_id,
        "status": one.status,
        "followed_by": one.followed_by,
        "retiring": one.retiring,
    }
