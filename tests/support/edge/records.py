"""Reads what the registry has on a certificate, and writes an operator's verdict."""

from jitr.decisions import Decision
from jitr.record import Record
from jitr.verdicts import OperatorAction
from tests.support.cloud import Cloud
from tests.support.examples import (
    ID,
    said,
)


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
