"""What the project's launcher adds to the local AWS's certificates, on ministack's own module and in this process."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core.responses import request_scope
from ministack.services import iot

from jitrctl.localaws import status_dates

CERTIFICATE = "ab" * 32
PATH = f"/certificates/{CERTIFICATE}"


@pytest.fixture(autouse=True)
def _certificate() -> Iterator[None]:
    with request_scope("111111111111", "eu-central-1"):
        iot._certificates[CERTIFICATE] = {
            "certificateArn": f"arn:aws:iot:eu-central-1:111111111111:cert/{CERTIFICATE}",
            "certificateId": CERTIFICATE,
            "status": "PENDING_ACTIVATION",
            "certificatePem": "pem",
            "ownedBy": "111111111111",
            "creationDate": 1000.0,
        }
        yield
        del iot._certificates[CERTIFICATE]


def modified_at() -> Any:
    status, _, body = status_dates._handle("GET", PATH, b"", {})
    assert status == 200
    return json.loads(body)["certificateDescription"]["lastModifiedDate"]


def test_a_certificate_is_dated_by_its_registration_and_by_each_status_that_is_set() -> None:
    assert modified_at() == 1000.0
    assert status_dates._handle("PUT", PATH, b"", {"newStatus": "INACTIVE"})[0] == 200
    first = modified_at()
    assert first > 1000.0
    assert status_dates._handle("PUT", PATH, b"", {"newStatus": "nonsense"})[0] == 400
    assert modified_at() == first
    assert status_dates._handle("PUT", PATH, b"", {"newStatus": "INACTIVE"})[0] == 200
    assert modified_at() >= first


def test_other_answers_are_left_as_they_are() -> None:
    assert status_dates._handle("GET", "/certificates/" + "cd" * 32, b"", {})[0] == 404
