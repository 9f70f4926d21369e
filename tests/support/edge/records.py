"""Reads what the registry has on a certificate, and writes an operator's verdict."""

from dataclasses import replace
from datetime import datetime

from jitr.decisions import Decision
from jitr.record import Record
from jitr.store.registry_writes import Due
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.cases.issuing import DAY, NOW
from tests.support.cloud import Cloud
from tests.support.examples import ID, said


def recall(cloud: Cloud, certificate_id: str = ID) -> Record:
    """The record of one certificate."""
    return cloud.registry.recall([certificate_id])[certificate_id]


def deny(cloud: Cloud, certificate_id: str = ID, word: OperatorAction = OperatorAction.DENIED) -> None:
    """Write a verdict as jitrctl does for an operator who has seen the record as it is now."""
    seen = recall(cloud, certificate_id).verdict
    cloud.registry.give_verdict(certificate_id, said(word), seen=seen)


def recall_decision(cloud: Cloud, device: str) -> Decision:
    """The decision on a certificate, which there is."""
    found = recall(cloud, device).decision
    assert found
    return found


def first_verdict(word: OperatorAction, note: str = "") -> OperatorVerdict:
    """A verdict as it is stored when no other was given before it."""
    return replace(said(word, note=note), version=1)


def due_ids(cloud: Cloud, what: Due, by: datetime = NOW + 400 * DAY, most: int = 100) -> list[str]:
    """The ids of what is due by a moment, longest overdue first."""
    return cloud.registry.list_due(what, by, most=most)


def recall_reason(cloud: Cloud, device: str) -> str | None:
    """The name of the reason of the decision on a certificate, if there is one."""
    decision = cloud.registry.recall([device])[device].decision
    return decision.reason.name if decision and decision.reason else None
