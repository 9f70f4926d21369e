"""An order about one certificate, in every account that is meant: shown, confirmed, carried out, announced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.audit.events import announce
from jitrctl.clock import now
from jitrctl.device.operations import Operator
from jitrctl.device.search import Known, Sighting, View, only_certificate
from jitrctl.device.selector import known_from
from jitrctl.terminal import at, short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jitr.iot_models import Status
    from jitr.record import Record
    from jitr.verdicts import OperatorAction
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage


def order(
    scope: Scope,
    device: str,
    what: str,
    work: Callable[[Stage, str, Record], str],
    *,
    yes: bool,
    meaning: Callable[[Scope, Known, Sequence[Stage]], str] = only_certificate,
) -> None:
    """Show what would be done and to what, ask, do it, and say what the certificate is then.

    `meaning` says which certificate is meant where a thing is named. `work` is also given what the registry said when
    the certificate was shown: an order is about that, and not about what a colleague has ordered since.
    """
    start = known_from(device)
    stages, failed = scope.opened()
    certificate_id = meaning(scope, start, stages) if stages else ""
    seen = scope.across(
        lambda stage: View.of(stage, Known(frozenset({certificate_id}))), doing="looking", stages=stages
    )
    if seen.done:
        scope.confirm(
            [
                f"Certificate {certificate_id}: {what}, in",
                *(f"  {done.stage}  {in_words(done.value.sightings[certificate_id])}" for done in seen.done),
            ],
            yes=yes,
        )
    shown = {done.stage: done.value.sightings[certificate_id].record for done in seen.done}
    results = scope.across(
        lambda stage: work(stage, certificate_id, shown[stage]), doing="carrying it out", stages=list(shown)
    )
    scope.report(
        results,
        rows=lambda _, status: [{"certificate": short(certificate_id), "now": status}],
        fields=lambda status: {"status": status},
        failed=(*failed, *seen.failed),
        certificate_id=certificate_id,
    )


def in_words(sighting: Sighting) -> str:
    """What a certificate is before an order: INACTIVE, sensor-0001, revoked by arn:…/ann 2026-11-26 10:00Z."""
    told = ["not registered"]
    if sighting.registered:
        names = ", ".join(sighting.registered.things) or sighting.registered.asks_for
        told = [str(sighting.registered.status), *([names] if names else [])]
    verdict = sighting.record.verdict
    return ", ".join([*told, *([f"{verdict.action} by {verdict.by} {at(verdict.at)}"] if verdict else [])])


def announced(stage: Stage, certificate_id: str, word: OperatorAction, status: Status | None) -> None:
    """Announce the verdict that was just written; another operator's that came since is announced by that one."""
    verdict = stage.registry.recall([certificate_id])[certificate_id].verdict
    if verdict and (verdict.action, verdict.by) == (word, stage.caller):
        announce(stage, certificate_id, verdict, status)


def operator(stage: Stage) -> Operator:
    return Operator(client=stage.iot, iot=stage.aws_iot, registry=stage.registry, rules=stage.rules, clock=now)
