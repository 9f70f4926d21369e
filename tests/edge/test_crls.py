"""CRLs in S3: read when they changed, at most one look a minute, and what is said when there is none."""

from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody

from jitr.aws.crl_bucket import NOTHING, Crls, object_key
from jitr.decisions import Outcome
from jitr.errors import NotPermitted, Reason, Unavailable
from jitr.iot_models import Status
from jitr.record import Record
from jitr.rules import Rules
from jitr.x509.crl import CrlProblem, RevocationList
from jitr.x509.crl_entries import RevocationReason
from tests.support.cases.issuing import ACCOUNT, NOW, REGION, SECOND, factory, rules_for
from tests.support.cases.revoking import entry, issue_crl
from tests.support.cloud import Wire, client
from tests.support.edge.deployed import CRLS
from tests.support.examples import LEAST

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CA = rules_for(factory()).cas[0]
MINUTE = timedelta(minutes=1)
HELD = replace(LEAST, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, reason=Reason.CA_INACTIVE)


class Bucket:
    """The stack's bucket, and one execution environment that reads from it."""

    def __init__(self, session: boto3.Session, wire: Wire) -> None:
        self.s3: S3Client = client(session, "s3")
        self.wire = wire
        self.now: datetime = NOW
        self.clients_made = 0
        self.s3.create_bucket(Bucket=CRLS, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.crls = Crls(self.make_client, CRLS, ACCOUNT, clock=lambda: self.now)

    def make_client(self) -> "S3Client":
        self.clients_made += 1
        return self.s3

    def put(self, body: bytes) -> str:
        answer = self.s3.put_object(Bucket=CRLS, Key=object_key(CA.certificate_id), Body=body)
        self.wire.forget()
        return answer["ETag"]


@pytest.fixture
def bucket(session: boto3.Session, wire: Wire) -> Bucket:
    return Bucket(session, wire)


def test_no_client_is_made_until_a_ca_asks(bucket: Bucket) -> None:
    assert bucket.clients_made == 0
    bucket.crls.of(CA)
    bucket.now += MINUTE
    bucket.crls.of(CA)
    assert bucket.clients_made == 1


def test_a_list_is_read_once_and_looked_at_again_after_a_minute_only(bucket: Bucket, wire: Wire) -> None:
    version = bucket.put(issue_crl(factory(), [entry(7)]))

    first = bucket.crls.of(CA)
    bucket.now += MINUTE - SECOND
    assert bucket.crls.of(CA) is first
    assert len(wire.of("GetObject")) == 1
    bucket.now += SECOND
    assert bucket.crls.of(CA) is first, "not sent, not read again"

    assert first.version == version
    assert isinstance(first.revocations, RevocationList)
    assert first.revocations.reason_of(7) is RevocationReason.unspecified
    once, again = wire.of("GetObject")
    assert (once["Bucket"], once["Key"]) == (CRLS, f"crl/{CA.certificate_id}.crl")
    assert "IfNoneMatch" not in once
    assert again["IfNoneMatch"] == version


def test_a_new_list_is_seen_within_a_minute(bucket: Bucket) -> None:
    bucket.put(issue_crl(factory(), number=1))
    before = bucket.crls.of(CA)
    version = bucket.put(issue_crl(factory(), [entry(7)], number=2))
    assert bucket.crls.of(CA) is before

    bucket.now += MINUTE
    after = bucket.crls.of(CA)

    assert after.version == version
    assert isinstance(after.revocations, RevocationList)
    assert after.revocations.number == 2


def test_a_ca_without_a_list_is_asked_for_again_after_a_minute(bucket: Bucket, wire: Wire) -> None:
    assert [bucket.crls.of(CA), bucket.crls.of(CA)] == [NOTHING, NOTHING]
    assert len(wire.of("GetObject")) == 1

    bucket.put(issue_crl(factory()))
    bucket.now += MINUTE
    assert isinstance(bucket.crls.of(CA).revocations, RevocationList)


def test_a_list_that_is_taken_away_is_gone(bucket: Bucket) -> None:
    bucket.put(issue_crl(factory()))
    bucket.crls.of(CA)
    bucket.s3.delete_object(Bucket=CRLS, Key=object_key(CA.certificate_id))

    bucket.now += MINUTE
    assert bucket.crls.of(CA) == NOTHING


def test_what_is_no_list_is_an_answer_with_a_version_of_its_own(bucket: Bucket) -> None:
    version = bucket.put(b"<html>")

    published = bucket.crls.of(CA)

    assert published.version == version
    assert published.revocations == CrlProblem("it is neither DER nor a PEM text with one CRL: it holds 0 of them")


def test_what_would_not_fit_into_memory_is_not_read(bucket: Bucket, wire: Wire) -> None:
    body = StreamingBody(BytesIO(), 2**30)
    wire.answer("GetObject", {"ETag": '"e"', "ContentLength": 2**30, "Body": body})

    assert isinstance(bucket.crls.of(CA).revocations, CrlProblem)


@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("InternalError", 500)])
def test_s3_that_does_not_answer_is_unavailable_and_left_in_peace_for_a_while(
    bucket: Bucket, wire: Wire, code: str, status: int
) -> None:
    bucket.put(issue_crl(factory()))
    wire.fail("GetObject", code, status=status)

    with pytest.raises(Unavailable, match=f"GetObject: {code}"):
        bucket.crls.of(CA)
    asked = len(wire.of("GetObject"))
    with pytest.raises(Unavailable, match=f"GetObject: {code}"):
        bucket.crls.of(CA)
    assert len(wire.of("GetObject")) == asked
    bucket.now += 10 * SECOND
    assert isinstance(bucket.crls.of(CA).revocations, RevocationList)


def test_what_another_environment_saw_in_a_newer_list_is_not_judged_by_an_older_one(bucket: Bucket) -> None:
    bucket.put(issue_crl(factory(), number=1))
    before = bucket.crls.of(CA)
    bucket.now += SECOND
    version = bucket.put(issue_crl(factory(), [entry(7)], number=2))
    held = replace(HELD, crl=version, decided_at=bucket.now)
    assert bucket.crls.of(CA, replace(held, crl=before.version)) is before
    assert bucket.crls.of(CA, held).version == version


def test_a_connection_that_breaks_and_a_body_that_is_cut_off_are_unavailable(bucket: Bucket, wire: Wire) -> None:
    wire.break_down("GetObject", EndpointConnectionError(endpoint_url="https://s3"))
    with pytest.raises(Unavailable):
        bucket.crls.of(CA)
    bucket.now += 10 * SECOND
    wire.answer("GetObject", {"ETag": '"e"', "ContentLength": 10, "Body": StreamingBody(BytesIO(b"cut"), 10)})
    with pytest.raises(Unavailable, match="IncompleteReadError"):
        bucket.crls.of(CA)


def test_a_refusal_of_s3_says_nothing_about_the_neighbours_of_a_held_certificate(bucket: Bucket, wire: Wire) -> None:
    wire.fail("GetObject", "AccessDenied", status=403)
    held = Record(decision=replace(HELD, reason=Reason.CRL_MISSING, ca_certificate_id=CA.certificate_id))
    assert bucket.crls.changed_since({HELD.certificate_id: held}, Rules(fleet="acme", cas=(CA,))) == set()


def test_a_bucket_of_somebody_else_is_not_read_from(bucket: Bucket, wire: Wire) -> None:
    bucket.crls.of(CA)
    assert wire.of("GetObject")[0]["ExpectedBucketOwner"] == ACCOUNT
    bucket.now += MINUTE
    wire.fail("GetObject", "AccessDenied", status=403)
    with pytest.raises(NotPermitted, match="GetObject"):
        bucket.crls.of(CA)
