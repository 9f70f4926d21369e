"""S3 as boto3 sees it: objects, if they changed; and what is said of those that are not there."""

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from simulation import Aws, Fault, SimulatedAccount

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def s3(account: SimulatedAccount) -> "S3Client":
    account.s3.create("lists")
    client: S3Client = account.client("s3", caller="register")
    return client


def code_of(error: ClientError) -> tuple[str, int]:
    return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def test_an_object_is_read_with_its_etag_and_length(account: SimulatedAccount, s3: "S3Client") -> None:
    account.s3.put("lists", "crl/one name.crl", b"first\n")

    answer = s3.get_object(Bucket="lists", Key="crl/one name.crl", ExpectedBucketOwner=account.id)

    assert (answer["Body"].read(), answer["ContentLength"]) == (b"first\n", 6)
    assert answer["LastModified"] == account.aws.clock.now().replace(microsecond=0)
    account.s3.put("lists", "crl/one name.crl", b"second\n")
    assert s3.get_object(Bucket="lists", Key="crl/one name.crl")["ETag"] != answer["ETag"]


def test_an_object_that_did_not_change_is_not_sent_again(account: SimulatedAccount, s3: "S3Client") -> None:
    account.s3.put("lists", "one", b"1")
    etag = s3.get_object(Bucket="lists", Key="one")["ETag"]

    with pytest.raises(ClientError) as same:
        s3.get_object(Bucket="lists", Key="one", IfNoneMatch=etag)
    assert code_of(same.value) == ("304", 304)


def test_what_is_not_there_and_what_is_somebody_elses_is_told_apart(s3: "S3Client") -> None:
    asked = [
        {"Bucket": "lists", "Key": "none"},
        {"Bucket": "other", "Key": "none"},
        {"Bucket": "lists", "Key": "none", "ExpectedBucketOwner": "999999999999"},
    ]
    codes = []
    for parameters in asked:
        with pytest.raises(ClientError) as error:
            s3.get_object(**parameters)  # type: ignore[arg-type]
        codes.append(code_of(error.value))
    assert codes == [("NoSuchKey", 404), ("NoSuchBucket", 404), ("AccessDenied", 403)]


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.SERVER_ERROR, Fault.TIMEOUT])
def test_a_fault_is_retried_by_botocore(aws: Aws, account: SimulatedAccount, s3: "S3Client", fault: Fault) -> None:
    account.s3.put("lists", "one", b"1")
    aws.fault = lambda call, _: fault if call.attempt < 3 else None

    assert s3.get_object(Bucket="lists", Key="one")["Body"].read() == b"1"
    assert [call.attempt for call in aws.calls] == [1, 2, 3]
