"""Reads how many certificates a stage has of its sources, registered without a CA, and how many are unclaimed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitr.iot_models import Status
from jitr.store.sweep_state import ACCOUNT, UNCLAIMED, count_key

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


def count_unclaimed(recorded: Mapping[str, int], listed: Mapping[str, Mapping[str, int]]) -> Mapping[str, int]:
    """Status → certificates that are of no CA and no source of the stage, as the sweep counted them last.

    `recorded` are the full pass's counts: those whose record names none, and those of each CA; `listed` are the
    certificates that AWS lists under each CA, by its id and by status. A CA's own from before jitr have no record, but
    AWS lists them under the CA.
    """
    unclaimed = {status.value: recorded.get(count_key(UNCLAIMED, status), 0) for status in Status}
    for ca_certificate_id, by_status in listed.items():
        for status in unclaimed:
            known = recorded.get(count_key(ca_certificate_id, status), 0)
            unclaimed[status] -= max(by_status.get(status, 0) - known, 0)
    return {status: number for status, number in unclaimed.items() if number > 0}
