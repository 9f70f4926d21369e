"""Writes, lists and ends orders to take certificates away: verdicts that the functions carry out.

An order on one device is carried out by jitrctl itself. One on thousands is only written by it: the verdict into each
record, so that no claim succeeds from then on, and beside it that the functions are to set the status.

    certificate#<id>   verdict; `ordered`: the number of the verdict that is still to be carried out
                       `second_look`: it is carried out, and these sessions are looked at once more before it ends
    takeaway#<id>      due = take-away: what the sweep finds and sends to the queue; it ends with `ordered`

The second item is of its own, since something else is due with the certificate's item, and a decision changes that.
Earlier versions ignore both: they refuse the device by its verdict, and the order waits for the next version. Another
verdict has another number, so an order whose verdict was replaced is void.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jitr.iot_models import Status
from jitr.record import Record
from jitr.sessions import SecondLook
from jitr.store import name_writes, registry_writes
from jitr.store.dynamodb import key, set_attributes, values
from jitr.store.registry_items import (
    SCHEMA,
    certificate_key,
    from_second_look,
    from_verdict,
    moment,
    take_away_key,
)
from jitr.store.registry_table import RegistryTable
from jitr.store.registry_writes import Due
from jitr.store.revoked_cas import require_order
from jitr.verdicts import OperatorVerdict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


def urgency(seen: Record) -> int:
    """The order's place among those that are due: ACTIVE devices first, then others that are known here, then the rest.

    As `due_at`, in milliseconds, so that all are due at once, whatever the operator's clock says. Only ACTIVE devices
    have anything to lose: all others are refused by their verdicts already.
    """
    if seen.decision is None:
        return 2
    return 0 if seen.decision.status is Status.ACTIVE else 1


class TakeAwayOrders(RegistryTable):
    """The orders to take certificates away of one fleet in one account and Region."""

    def order_take_away(
        self, certificate_id: str, verdict: OperatorVerdict, *, seen: Record, under: str | None = None
    ) -> OperatorVerdict | None:
        """Write a verdict and the order to carry it out, over the verdict that was seen; None if there is another now.

        `under` is the id of a revoked CA whose order on its devices this is: nothing is written once that was lifted.

        Raises Unavailable.
        """
        given = replace(verdict, version=seen.verdict.number + 1 if seen.verdict else 1)
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key(certificate_key(certificate_id)),
            # due_at 0: due at once, whatever the operator's clock says. swept_at goes: that was another cause.
            "UpdateExpression": "SET verdict = :verdict, #schema = :schema, due = :due, due_at = :due_at,"
            " ordered = :number REMOVE swept_at, second_look",
            "ExpressionAttributeNames": {"#schema": "schema"},
            "ExpressionAttributeValues": values(
                verdict=from_verdict(given), schema=SCHEMA, due=Due.DENIED.value, due_at=0, number=given.number
            ),
        }
        registry_writes.require_verdict(update, seen.verdict)
        due = {"due": Due.TAKE_AWAY.value, "due_at": urgency(seen), "schema": SCHEMA}
        writes: list[TransactWriteItemTypeDef] = [
            {"Update": update},  # type: ignore[typeddict-item]  # built step by step
            {"Update": set_attributes(self._table, take_away_key(certificate_id), **due)},
        ]
        if seen.due == Due.RETIRE.value and seen.due_at:  # version 1 has retirements in the certificate's item
            at = moment(seen.due_at.timestamp() * 1000)
            writes.append({"Update": name_writes.schedule_retirement(self._table, certificate_id, at=at)})
        if under:
            writes.append({"ConditionCheck": require_order(self._table, under, verdict)})
        if self._transact(writes):
            return given
        # botocore tries again when an answer is lost.
        stands = self.recall([certificate_id])[certificate_id].verdict
        return given if stands and from_verdict(stands) == from_verdict(given) else None

    def note_second_look(self, certificate_id: str, record: Record, look: SecondLook) -> bool:
        """Note that the order that was seen is carried out, except for the second look; False if there is another one.

        Raises Unavailable.
        """
        return self._update(
            {
                "TableName": self._table,
                "Key": key(certificate_key(certificate_id)),
                "UpdateExpression": "SET second_look = :look",
                "ConditionExpression": "ordered = :seen",
                "ExpressionAttributeValues": values(look=from_second_look(look), seen=record.ordered),
            }
        )

    def end_take_away(self, certificate_id: str, record: Record) -> None:
        """End the order that was seen: it was carried out, or is void. A newer one stays.

        Raises Unavailable.
        """
        item: TransactWriteItemTypeDef = {
            "Delete": {"TableName": self._table, "Key": key(take_away_key(certificate_id))}
        }
        at: dict[str, Any] = {"TableName": self._table, "Key": key(certificate_key(certificate_id))}
        if record.ordered is None:
            check: Any = {"ConditionCheck": at | {"ConditionExpression": "attribute_not_exists(ordered)"}}
        else:
            check = {
                "Update": at
                | {
                    "UpdateExpression": "REMOVE ordered, second_look",
                    "ConditionExpression": "ordered = :seen",
                    "ExpressionAttributeValues": values(seen=record.ordered),
                }
            }
        self._transact([check, item])
