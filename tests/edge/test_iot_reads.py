"""What is read from AWS IoT: devices, CAs and lists of certificates, and for how long a CA is remembered."""

from typing import Any

import pytest

from jitr.errors import Unavailable
from jitr.iot_models import CaRegistration, ListedCertificate, Status
from tests.support.cases.issuing import NOW, SECOND, certificate_id, ec_key, factory, issue_ca
from tests.support.cloud import Cloud, Wire


def test_a_device_is_described_as_it_is_registered(cloud: Cloud, wire: Wire) -> None:
    pem = factory().leaf()
    device = cloud.aws_iot.describe(cloud.knock(pem))
    assert device.certificate_id == certificate_id(pem)
    assert device.arn.endswith(f":cert/{device.certificate_id}")
    assert device.status is Status.PENDING_ACTIVATION
    assert device.pem == pem
    assert device.ca_certificate_id == factory().certificate_id
    assert device.created_at.tzinfo
    assert wire.operations("iot") == ["DescribeCertificate"]


@pytest.mark.parametrize("status", Status)
def test_every_status_of_aws_is_known(cloud: Cloud, wire: Wire, status: Status) -> None:
    device = cloud.knock()
    description = cloud.iot.describe_certificate(certificateId=device)["certificateDescription"]
    description["status"] = status.value
    wire.answer("DescribeCertificate", {"certificateDescription": description})
    assert cloud.aws_iot.describe(device).status is status


def test_the_statuses_are_those_of_the_api(cloud: Cloud) -> None:
    shape = cloud.iot.meta.service_model.shape_for("CertificateStatus")
    assert set(shape.enum) == {status.value for status in Status}  # type: ignore[attr-defined]


def test_a_certificate_without_a_ca_has_none(cloud: Cloud, wire: Wire) -> None:
    device = cloud.knock()
    description = dict(cloud.iot.describe_certificate(certificateId=device)["certificateDescription"])
    del description["caCertificateId"]
    description["certificatePem"] = issue_ca(key=ec_key(owner="another")).leaf()
    wire.answer("DescribeCertificate", {"certificateDescription": description})
    assert cloud.aws_iot.describe(device).ca_certificate_id is None


def test_a_ca_that_aws_does_not_name_is_found_by_its_signature_without_a_call(cloud: Cloud, wire: Wire) -> None:
    device = cloud.knock()
    description = dict(cloud.iot.describe_certificate(certificateId=device)["certificateDescription"])
    del description["caCertificateId"]
    wire.forget()
    wire.answer("DescribeCertificate", {"certificateDescription": description})
    found = cloud.aws_iot.describe(device)
    assert (found.ca_certificate_id, found.is_ca_named) == (factory().certificate_id, False)
    assert wire.operations("iot") == ["DescribeCertificate"]


def ca_answer(**changes: Any) -> dict[str, Any]:
    description = {
        "certificateId": "cd" * 32,
        "certificatePem": "pem",
        "status": "ACTIVE",
        "certificateMode": "SNI_ONLY",
    }
    return {"certificateDescription": description | changes}


def test_a_ca_is_described_with_its_mode_and_whether_it_is_active(cloud: Cloud, wire: Wire) -> None:
    wire.answer("DescribeCACertificate", ca_answer())
    assert cloud.aws_iot.describe_ca("cd" * 32) == CaRegistration(
        certificate_id="cd" * 32, pem="pem", active=True, mode="SNI_ONLY"
    )
    wire.answer("DescribeCACertificate", ca_answer(status="INACTIVE"))
    cloud.now += 60 * SECOND
    ca = cloud.aws_iot.describe_ca("cd" * 32)
    assert ca
    assert not ca.active


@pytest.mark.parametrize("config", [{"templateBody": "{}", "roleArn": "arn:aws:iam::1:role/x"}, {"templateName": "x"}])
def test_a_provisioning_template_is_seen_by_its_body_or_by_its_name(
    cloud: Cloud, wire: Wire, config: dict[str, str]
) -> None:
    changed = NOW - 30 * SECOND
    wire.answer("DescribeCACertificate", ca_answer(lastModifiedDate=changed) | {"registrationConfig": config})
    ca = cloud.aws_iot.describe_ca("cd" * 32)
    assert ca
    assert (ca.has_template, ca.modified_at) == (True, changed)


def test_a_role_without_a_template_is_no_template(cloud: Cloud, wire: Wire) -> None:
    config = {"registrationConfig": {"roleArn": "arn:aws:iam::1:role/x"}}
    wire.answer("DescribeCACertificate", ca_answer() | config)
    ca = cloud.aws_iot.describe_ca("cd" * 32)
    assert ca
    assert not ca.has_template


def test_a_ca_that_names_no_mode_is_in_default_mode(cloud: Cloud, wire: Wire) -> None:
    description = {"certificateId": "cd" * 32, "certificatePem": "pem", "status": "ACTIVE"}
    wire.answer("DescribeCACertificate", {"certificateDescription": description})
    ca = cloud.aws_iot.describe_ca("cd" * 32)
    assert ca
    assert ca.mode == "DEFAULT"


def test_a_cas_description_is_kept_for_60_seconds(cloud: Cloud, wire: Wire) -> None:
    wire.answer("DescribeCACertificate", ca_answer(), ca_answer(status="INACTIVE"))
    first = cloud.aws_iot.describe_ca("cd" * 32)
    cloud.now = NOW + 59.999 * SECOND
    assert cloud.aws_iot.describe_ca("cd" * 32) is first
    assert len(wire.of("DescribeCACertificate")) == 1
    cloud.now = NOW + 60 * SECOND
    assert cloud.aws_iot.describe_ca("cd" * 32) != first
    assert len(wire.of("DescribeCACertificate")) == 2


def test_a_ca_that_aws_does_not_know_is_remembered_too(cloud: Cloud, wire: Wire) -> None:
    assert cloud.aws_iot.describe_ca("cd" * 32) is None
    assert cloud.aws_iot.describe_ca("cd" * 32) is None
    assert len(wire.of("DescribeCACertificate")) == 1
    cloud.now += 60 * SECOND
    wire.answer("DescribeCACertificate", ca_answer())
    assert cloud.aws_iot.describe_ca("cd" * 32)


def test_each_ca_is_kept_by_itself(cloud: Cloud) -> None:
    assert cloud.aws_iot.describe_ca("cd" * 32) is None
    assert cloud.aws_iot.describe_ca(factory().certificate_id)


def test_a_ca_that_could_not_be_described_is_asked_for_again(cloud: Cloud, wire: Wire) -> None:
    wire.fail("DescribeCACertificate", "ThrottlingException")
    with pytest.raises(Unavailable):
        cloud.aws_iot.describe_ca(factory().certificate_id)
    assert cloud.aws_iot.describe_ca(factory().certificate_id)


def listed(number: int, status: str = "PENDING_ACTIVATION") -> dict[str, Any]:
    return {"certificateId": f"{number:064x}", "status": status, "creationDate": NOW - number * SECOND}


def test_the_certificates_of_a_ca_come_page_by_page_newest_first(cloud: Cloud, wire: Wire) -> None:
    wire.answer(
        "ListCertificatesByCA",
        {"certificates": [listed(1), listed(2, "ACTIVE")], "nextMarker": "more"},
        {"certificates": [], "nextMarker": "still more"},
        {"certificates": [listed(3)]},
    )
    pages = list(cloud.aws_iot.certificates_of("cd" * 32))
    assert [[one.certificate_id for one in page.certificates] for page in pages] == [
        [f"{1:064x}", f"{2:064x}"],
        [],
        [f"{3:064x}"],
    ]
    assert [page.next_marker for page in pages] == ["more", "still more", None]
    assert pages[0].certificates[1] == ListedCertificate(
        certificate_id=f"{2:064x}", status=Status.ACTIVE, created_at=NOW - 2 * SECOND
    )
    asked = {"caCertificateId": "cd" * 32, "pageSize": 250, "ascendingOrder": False}
    assert wire.of("ListCertificatesByCA") == [
        asked,
        asked | {"marker": "more"},
        asked | {"marker": "still more"},
    ]


def test_the_certificates_of_a_ca_go_on_from_a_marker(cloud: Cloud, wire: Wire) -> None:
    wire.answer("ListCertificatesByCA", {"certificates": [listed(1)]})
    (page,) = cloud.aws_iot.certificates_of("cd" * 32, "from here")
    assert page.next_marker is None
    assert wire.of("ListCertificatesByCA")[0]["marker"] == "from here"


def test_all_certificates_of_the_account_come_page_by_page_newest_first(cloud: Cloud, wire: Wire) -> None:
    wire.answer("ListCertificates", {"certificates": [listed(1)], "nextMarker": "more"}, {"certificates": [listed(2)]})
    pages = list(cloud.aws_iot.certificates())
    assert [one.certificate_id for page in pages for one in page.certificates] == [f"{1:064x}", f"{2:064x}"]
    asked = {"pageSize": 250, "ascendingOrder": False}
    assert wire.of("ListCertificates") == [asked, asked | {"marker": "more"}]


def test_a_page_is_asked_for_only_when_it_is_wanted(cloud: Cloud, wire: Wire) -> None:
    wire.answer("ListCertificatesByCA", {"certificates": [listed(1)], "nextMarker": "more"})
    assert next(iter(cloud.aws_iot.certificates_of("cd" * 32))).certificates
    assert len(wire.of("ListCertificatesByCA")) == 1
