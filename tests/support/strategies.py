"""Hypothesis strategies for what the registry stores: decisions, owners and verdicts with any values."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.verdicts import OperatorAction, OperatorVerdict

moments = st.datetimes(datetime(2015, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda drawn: drawn.replace(microsecond=drawn.microsecond // 1000 * 1000)
)
texts = st.none() | st.text()
decisions = st.builds(
    Decision,
    certificate_id=st.text(),
    outcome=st.sampled_from(Outcome),
    status=st.sampled_from(Status),
    registered_at=moments,
    decided_at=moments,
    rules_digest=st.text(),
    ca_certificate_id=texts,
    ca=texts,
    thing_name=texts,
    reason=st.none() | st.sampled_from(Reason),
    detail=texts,
    would_reject=st.lists(st.sampled_from(Reason)).map(tuple),
    serial=texts,
    twin_id=texts,
    issuer=texts,
    reader=texts,
    subject=texts,
    replaces=texts,
    replaced_by=texts,
    attempts=st.integers(1, 10**6),
    after=st.none() | moments,
)
owners = st.builds(
    Owner,
    certificate_id=st.text(),
    ca_certificate_id=st.text(),
    serial=st.text(),
    issued_at=moments,
    ends_at=moments,
    registered_at=moments,
)
verdicts = st.builds(OperatorVerdict, action=st.sampled_from(OperatorAction), by=st.text(), at=moments, note=st.text())
