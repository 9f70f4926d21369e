"""Orders beside verdicts on certificates are given: kept, carried out, announced.

These are `ca apply | rotate | retire | switch-mode | pause | resume | accept-rejections`, `device reconcile | adopt`
and `device release --rejected-for`. An order is kept (jitrctl/audit/log.py) before it is carried out, so that one that
was broken off is seen too, and is announced afterwards, as docs/events/operator-order.v1.schema.json describes, also
when it was broken off; before a stack it is announced alone. An order that finds nothing to do leaves nothing.
Only an error is announced as breaking an order off. A second Ctrl-C, and whatever else ends jitrctl itself, ends it
before it can announce anything: of that order there is what was kept, without the mark that it was completed.

An announcement that fails neither undoes an order nor stops others: it is told beside the results (Stage.warnings).
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
from jitrctl.terminal import err, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitrctl.session.stage import Stage

ORDER_DETAIL_TYPE = "Operator Order"
# What is urgent does not wait for a DynamoDB that takes calls and never answers, five times half a minute long.
_AT_ONCE = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 1})


@contextmanager
def audited(
    stage: Stage, order: str, subject: str, steps: Sequence[object], note: str, *, urgent: bool = False
) -> Iterator[None]:
    """Keep an order, have it carried out in the `with` block, and announce it; without steps, only the block.

        for ca in cas:
            with on_record(stage, "ca apply", ca.certificate_id, steps, note):
                ...

    `urgent` carries it out also where it cannot be kept, because DynamoDB cannot be reached at once, and says so.

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
        # Some of its steps may be done, and who repeats it announces the others alone.
        _announce(stage, given, "broken off, and", completed=False)
        raise
    _announce(stage, given, "carried out and kept, but" if is_kept else "carried out, but", completed=True)
    if is_kept:
        _mark_completed(stage, dynamodb, given)


def order_detail(stage: Stage, given: AuditEntry, *, completed: bool) -> dict[str, Any]:
    """The detail of the event, version 1."""
    told = event_detail(
        stage, order=given.order, subject=given.subject, by=given.by, at=given.at.isoformat(timespec="milliseconds")
    )
    told["steps"] = list(given.steps)
    return told | ({"note": given.note} if given.note else {}) | ({} if completed else {"completed": False})


def _keep(stage: Stage, dynamodb: Any, given: AuditEntry, *, urgent: bool) -> bool:
    try:
        return keep(stage, dynamodb, given)
    except Unavailable as error:
        if not urgent or isinstance(error, NotPermitted):
            raise
        _tell(stage, f"`{given.order}` cannot be kept ({error}), and is carried out all the same")
        return False


def _announce(stage: Stage, given: AuditEntry, done: str, *, completed: bool) -> None:
    detail = order_detail(stage, given, completed=completed)
    if why := publish_event(stage, ORDER_DETAIL_TYPE, detail, given.at):
        stage.warnings.append(
            f"{_in_words(stage, given)} was {done} could not be announced ({why}): tell those who listen"
        )


def _mark_completed(stage: Stage, dynamodb: Any, given: AuditEntry) -> None:
    """A mark that cannot be written fails nothing: without it, no more is said of the order than is known."""
    try:
        mark_completed(stage, dynamodb, given)
    except (BotoCoreError, ClientError, Unavailable) as error:
        why = explain(error) if isinstance(error, NotPermitted) or not isinstance(error, Unavailable) else str(error)
        _tell(stage, f"{_in_words(stage, given)} was carried out, and that it was cannot be kept ({why})")


def _in_words(stage: Stage, given: AuditEntry) -> str:
    """An order as those need it who have to tell others: with its subject, and all that was to be done."""
    names = {BRAKE: "the brake"} | {ca.certificate_id: f"CA {ca.name}" for ca in stage.fleet.cas}
    subject = names.get(given.subject) or f"certificate {short(given.subject)}"
    return f"`{given.order}` about {subject} ({'; '.join(given.steps)})"


def _tell(stage: Stage, text: str) -> None:
    err.print(f"{stage}: {text}", markup=False, soft_wrap=True)
