"""Keeps and publishes the orders that are no verdicts on certificates, around carrying them out.

These are `ca apply | rotate | retire | switch-mode | pause | resume | accept-rejections`, `crl approve`,
`device reconcile | adopt | import` and `device release --rejected-for`. An order is kept (jitrctl/audit/log.py) before
it is carried out, so that an interrupted one leaves a trace. Afterwards it is published, as
docs/events/operator-order.v1.schema.json describes, also when an error ended it. Without a stack it is only published.
An order with nothing to do leaves nothing. When a second Ctrl-C ends jitrctl itself, nothing is published: the kept
order lacks the mark that it was completed.

An event that cannot be published neither undoes an order nor stops others: it is a warning beside the results
(Stage.warnings).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jitr.errors import NotPermitted, Unavailable
from jitrctl.audit.events import event_detail, publish_event
from jitrctl.audit.log import BRAKE, AuditEntry, keep, mark_completed
from jitrctl.clock import now
from jitrctl.session.aws_errors import explain
from jitrctl.terminal import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitrctl.session.stage import Stage

ORDER_DETAIL_TYPE = "Operator Order"
# An urgent order does not wait for a DynamoDB that does not answer: the default is five times 30 s.
_AT_ONCE = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 1})


@contextmanager
def audited(
    stage: Stage, order: str, subject: str, steps: Sequence[object], note: str, *, urgent: bool = False
) -> Iterator[None]:
    """Keep an order, carry it out in the `with` block, and publish it; without steps, only run the block.

        for ca in cas:
            with audited(stage, "ca apply", ca.certificate_id, steps, note):
                ...

    With `urgent` it is carried out also when it cannot be kept because DynamoDB does not answer at once.

    Raises Unavailable and botocore's errors when it cannot be kept; then nothing is carried out.
    """
    if not steps:
        yield
        return
    given = AuditEntry(order=order, subject=subject, steps=tuple(map(str, steps)), by=stage.caller, at=now(), note=note)
    dynamodb = stage.access.client("dynamodb", _AT_ONCE) if urgent else stage.dynamodb
    is_kept = _keep(stage, dynamodb, given, urgent=urgent)
    try:
        yield
    except Exception:
        # Some of its steps may be done; the same order again publishes only the others.
        _announce(stage, given, "broken off, and", completed=False)
        raise
    _announce(stage, given, "carried out and kept, but" if is_kept else "carried out, but", completed=True)
    if is_kept:
        _mark_completed(stage, dynamodb, given)


def order_detail(stage: Stage, given: AuditEntry, *, completed: bool) -> dict[str, Any]:
    """The detail of the event, version 1."""
    detail = event_detail(
        stage, order=given.order, subject=given.subject, by=given.by, at=given.at.isoformat(timespec="milliseconds")
    )
    detail["steps"] = list(given.steps)
    return detail | ({"note": given.note} if given.note else {}) | ({} if completed else {"completed": False})


def _keep(stage: Stage, dynamodb: Any, given: AuditEntry, *, urgent: bool) -> bool:
    try:
        return keep(stage, dynamodb, given)
    except Unavailable as error:
        if not urgent or isinstance(error, NotPermitted):
            raise
        _report(stage, f"`{given.order}` cannot be kept ({error}), but is carried out")
        return False


def _announce(stage: Stage, given: AuditEntry, done: str, *, completed: bool) -> None:
    detail = order_detail(stage, given, completed=completed)
    if why := publish_event(stage, ORDER_DETAIL_TYPE, detail, given.at):
        stage.warnings.append(
            f"{_in_words(stage, given)} was {done} could not be announced ({why}): tell the event's consumers"
        )


def _mark_completed(stage: Stage, dynamodb: Any, given: AuditEntry) -> None:
    """Mark the order; a failure is only reported: without the mark, the order is shown as not known to be completed."""
    try:
        mark_completed(stage, dynamodb, given)
    except (BotoCoreError, ClientError, Unavailable) as error:
        why = explain(error) if isinstance(error, NotPermitted) or not isinstance(error, Unavailable) else str(error)
        _report(stage, f"{_in_words(stage, given)} was carried out, and that it was cannot be kept ({why})")


def _in_words(stage: Stage, given: AuditEntry) -> str:
    """An order with its subject and its steps, for a warning."""
    names = {BRAKE: "the brake"} | {ca.certificate_id: f"CA {ca.name}" for ca in stage.fleet.cas}
    names |= {source.certificate_id: f"source {source.name}" for source in stage.fleet.sources}
    subject = names.get(given.subject) or f"certificate {given.subject}"
    return f"`{given.order}` about {subject} ({'; '.join(given.steps)})"


def _report(stage: Stage, text: str) -> None:
    warn(f"{stage}: {text}")
