"""Reads how many certificates a stage's sources have: those that were registered without a CA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitr.iot_models import Status
from jitr.store.sweep_state import ACCOUNT, count_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr_fleet.model import Source
    from jitrctl.session.stage import Stage


def read_sources(stage: Stage) -> Mapping[str, Mapping[str, int]]:
    """Source → status → certificates, as the sweep's last full pass counted them by their records.

    Raises Unavailable, botocore's errors.
    """
    if not stage.account.sources:
        return {}
    counts = stage.journal.last_pass(ACCOUNT).counts

    def count(source: Source) -> Mapping[str, int]:
        numbers = {status.value: counts.get(count_key(source.certificate_id, status), 0) for status in Status}
        return {status: number for status, number in numbers.items() if number}

    return {source.name: count(source) for source in stage.account.sources}
