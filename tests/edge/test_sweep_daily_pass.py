"""The sweep's daily pass over all certificates: what it counts, records and reports."""

from dataclasses import replace

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.store.sweep_state import ACCOUNT, UNCLAIMED, count_key
from jitr.verdicts import OperatorAction
from tests.support.cases.issuing import DAY, NOW, factory
from tests.support.cloud import Cloud, Wire
from tests.support.edge.sweeping import Listing, daily_counts, listed_certificates
from tests.support.examples import ACTIVATION, HOUR, MINUTE, said


def test_the_counts_of_each_status_are_kept(cloud: Cloud, listing: Listing) -> None:
    listing(*listed_certificates("ACTIVE", "REVOKED", "ACTIVE", "INACTIVE"))
    cloud.swept()
    assert daily_counts(cloud) == {"ACTIVE": 2, "REVOKED": 1, "INACTIVE": 1}
    finished = cloud.journal.full_pass(factory().certificate_id)
    assert (finished.began_at, finished.finished_at, finished.marker) == (NOW, NOW, None)


def test_everything_is_counted_once_a_day(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(*listed_certificates("ACTIVE"))
    asked = []
    for _ in range(4):
        cloud.swept()
        asked.append(wire.operations("iot"))
        cloud.now += DAY / 2
    # Once for each page of the look back, of the CA's count and of the full pass.
    assert asked == [["ListCertificates", "ListCertificatesByCA", "ListCertificates"], ["ListCertificates"]] * 2
    assert daily_counts(cloud) == {"ACTIVE": 1}


def test_a_count_that_time_ran_out_for_goes_on_where_it_stopped_and_counts_nothing_twice(
    cloud: Cloud, listing: Listing
) -> None:
    listing.page = 2
    listing(*listed_certificates("ACTIVE", "ACTIVE", "REVOKED", "ACTIVE", "INACTIVE"))
    for minutes in (0, 15):
        cloud.now = NOW + minutes * MINUTE
        left = iter([True, False, True, False])  # a page of each
        assert cloud.swept(lambda left=left: next(left)).unfinished == ["factory", "full pass"]  # type: ignore[misc]
    going = cloud.journal.full_pass(factory().certificate_id)
    assert (going.began_at, going.finished_at, going.marker) == (NOW, None, "4")
    cloud.now += 15 * MINUTE
    assert cloud.swept().unfinished == []
    finished = cloud.journal.full_pass(factory().certificate_id)
    assert finished.counts == {"ACTIVE": 3, "REVOKED": 1, "INACTIVE": 1}
    assert (finished.began_at, finished.finished_at) == (NOW, NOW + 30 * MINUTE)
    passed = cloud.journal.full_pass(ACCOUNT)
    assert (passed.began_at, passed.finished_at) == (NOW, NOW + 30 * MINUTE)


def test_the_full_pass_counts_by_the_ca_that_the_record_names(cloud: Cloud, listing: Listing) -> None:
    listing.of["listed under none"] = list(listed_certificates("ACTIVE", "ACTIVE", "INACTIVE", "ACTIVE"))
    ca = factory().certificate_id
    for number in (1, 3):
        cloud.registry.record(replace(ACTIVATION, certificate_id=f"{number:064x}", ca_certificate_id=ca))
    cloud.swept()
    assert daily_counts(cloud) == {}
    assert cloud.journal.last_pass(ACCOUNT).counts == {
        count_key(ca, "ACTIVE"): 1,
        count_key(ca, "INACTIVE"): 1,
        count_key(UNCLAIMED, "ACTIVE"): 2,
    }


def test_what_is_known_and_listed_under_no_ca_is_recorded_when_it_is_taken_away(cloud: Cloud, listing: Listing) -> None:
    """Of a certificate that nobody knows, only a CA's list says that it is the fleet's."""
    listing.of["listed under none"] = list(listed_certificates("REVOKED", "REVOKED"))
    known, unknown = f"{1:064x}", f"{2:064x}"
    decided_at = NOW - HOUR
    cloud.registry.record(
        replace(ACTIVATION, certificate_id=known, registered_at=NOW - 30 * DAY, decided_at=decided_at)
    )
    cloud.swept()
    records = cloud.registry.recall([known, unknown])
    assert records[known].was_revoked_or_deactivated
    assert records[unknown].decision is None
    listing(*listed_certificates("REVOKED", "REVOKED"))
    cloud.now += DAY
    cloud.swept()
    assert cloud.registry.recall([unknown])[unknown].was_revoked_or_deactivated


@pytest.mark.parametrize("word", OperatorAction)
@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED"])
def test_an_active_certificate_against_which_a_verdict_stands_is_reported(
    cloud: Cloud, listing: Listing, word: OperatorAction, status: str
) -> None:
    listing(*listed_certificates(status, "ACTIVE"))
    cloud.registry.give_verdict(f"{1:064x}", said(word), seen=None)
    disagrees = status == "ACTIVE" and not word.allows_activation
    assert cloud.swept().disagreements == int(disagrees)
    assert cloud.counted()["Disagreements"] == int(disagrees)
    warnings = [line for line in cloud.logged() if line["level"] == "WARNING"]
    assert [line["certificate_id"] for line in warnings] == [f"{1:064x}"] * disagrees


@pytest.mark.parametrize("by", ["certificate", "twin", "thing name"])
def test_an_active_certificate_that_an_entry_denies_is_reported(cloud: Cloud, listing: Listing, by: str) -> None:
    listing(*listed_certificates("ACTIVE", "ACTIVE"))
    first = f"{1:064x}"
    cloud.registry.record(replace(ACTIVATION, certificate_id=first))
    assert cloud.swept().disagreements == 0
    assert ACTIVATION.thing_name
    assert ACTIVATION.twin_id
    subject = {
        "certificate": Subject(SubjectKind.CERTIFICATE, first),
        "twin": Subject(SubjectKind.CERTIFICATE, ACTIVATION.twin_id),
        "thing name": Subject(SubjectKind.THING, ACTIVATION.thing_name),
    }[by]
    cloud.enroll(Entry(subject=subject, rule=EntryRule.DENY))
    cloud.now += DAY
    assert cloud.swept().disagreements == 1
    (warning,) = [line for line in cloud.logged() if line["level"] == "WARNING"]
    assert warning["certificate_id"] == first


def test_the_sweep_reports_and_overrules_nobody(cloud: Cloud, wire: Wire, listing: Listing) -> None:
    listing(*listed_certificates("ACTIVE"))
    cloud.registry.give_verdict(f"{1:064x}", said(OperatorAction.REVOKED), seen=None)
    cloud.swept()
    assert set(wire.operations("iot")) == {"ListCertificates", "ListCertificatesByCA"}
