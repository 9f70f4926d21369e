"""Writes and ends the orders of imports: certificates that an operator registers without a CA.

    certificate#<id>   import_order   the source, who ordered it, when and why; due = look, for the sweep

The order is written before the registration, so that it says which source's rules apply, and so that an INACTIVE
certificate without one is never activated. A decision ends it (registry_writes.record_decision).
"""

from datetime import datetime
from typing import Any

from jitr.import_order import ImportOrder
from jitr.record import Record
from jitr.store import registry_writes
from jitr.store.dynamodb import key, values
from jitr.store.registry_items import SCHEMA, certificate_key, from_import_order, milliseconds
from jitr.store.registry_table import RegistryTable
from jitr.store.registry_writes import Due


class ImportOrders(RegistryTable):
    """The orders of imports of one fleet in one account and Region."""

    def order_import(self, certificate_id: str, order: ImportOrder, *, seen: Record, look_at: datetime) -> bool:
        """Write an order, if the record is still the one seen; False when it is not.

        If the import ends before the certificate is decided on, the sweep evaluates it after `look_at`.

        Raises Unavailable.
        """
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key(certificate_key(certificate_id)),
            "UpdateExpression": "SET import_order = :order, due = :due, due_at = :look_at, #schema = :schema",
            "ExpressionAttributeNames": {"#schema": "schema"},
            "ExpressionAttributeValues": values(
                order=from_import_order(order), due=Due.LOOK.value, look_at=milliseconds(look_at), schema=SCHEMA
            ),
        }
        registry_writes.require_import_order(update, seen.import_order)
        registry_writes.require_as_seen(update, seen)
        return self._update(update)

    def end_import(self, certificate_id: str, order: ImportOrder) -> None:
        """End an order that was not carried out, if it is still this one: the certificate is not the import's.

        Raises Unavailable.
        """
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key(certificate_key(certificate_id)),
            "UpdateExpression": "REMOVE import_order",
        }
        registry_writes.require_import_order(update, order)
        self._update(update)
