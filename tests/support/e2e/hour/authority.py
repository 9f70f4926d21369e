"""Something is wrong with a CA, or it is to change: its state, its mode, its CRL, its successor."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from jitr.aws.crl_bucket import object_key
from tests.support.e2e.hour.outcome import HourError, Step

if TYPE_CHECKING:
    from tests.support.e2e.hour.operator import Operator

_SUCCESSOR = """
[ca.factory-2]
certificate = "certs/factory-2.pem"
common_name = "sensor-[0-9]{4,}"
policy = "device.json"
succeeds = "factory"
"""


def inactive(operator: Operator) -> str:
    operator.client("iot").update_ca_certificate(certificateId=operator.ca_id(), newStatus="INACTIVE")
    status = operator.jitrctl("fleet status --account dev", code=1)
    operator.read(status, "it is INACTIVE")
    operator.follow(status)
    return operator.comes_in("sensor-0601")


def not_automatic(operator: Operator) -> str:
    operator.client("iot").update_ca_certificate(certificateId=operator.ca_id(), newAutoRegistrationStatus="DISABLE")
    why = operator.ask_why(operator.connect("sensor-0602"))
    operator.read(why, "auto-registration is broken")
    operator.follow(why)
    return operator.comes_in("sensor-0602")


def without_crl(operator: Operator) -> str:
    """`fleet status` says it at once, and so does doctor about a device."""
    status = operator.jitrctl("fleet status --account dev --account prod", code=1)
    operator.read(status, "the CRL of CA meters is not published")
    why = operator.ask_why(operator.connect("meter-0604", ca="meters"))
    operator.read(why, "CRL_MISSING")
    _issue_crl(operator, timedelta(days=30))
    operator.follow(status)
    operator.let_a_minute_pass()
    return operator.comes_in("meter-0604", ca="meters")


def stale_crl(operator: Operator) -> str:
    _issue_crl(operator, timedelta(seconds=-1))
    operator.client("s3").put_object(
        Bucket=operator.names.crl_bucket(operator.account("dev").id, operator.account("dev").region),
        Key=object_key(operator.ca_id("meters")),
        Body=(operator.checkout.folder / "meters.crl").read_bytes(),
    )
    operator.let_a_minute_pass()
    why = operator.ask_why(operator.connect("meter-0605", ca="meters"))
    operator.read(why, "CRL_STALE")
    _issue_crl(operator, timedelta(days=30))
    operator.follow(why)
    operator.let_a_minute_pass()
    return operator.comes_in("meter-0605", ca="meters")


def mode_switched(operator: Operator) -> str:
    """The fleet file says another mode than the one that the CA is registered in."""
    operator.change_fleet(
        lambda text: text.replace('ca.factory = { mode = "DEFAULT" }', 'ca.factory = { mode = "SNI_ONLY" }')
    )
    operator.run("jitrctl local deploy --account dev")
    status = operator.jitrctl("fleet status --account dev", code=1)
    operator.read(status, "mode")
    operator.follow(status)
    operator.jitrctl("fleet status --account dev")
    return f"{operator.comes_in('sensor-0605')}; {operator.comes_in('sensor-0001')}"


def rotated(operator: Operator) -> str:
    """A successor is registered beside the CA; a device with a young certificate has one of the successor's."""
    operator.comes_in("sensor-0606", "prod")
    operator.change_fleet(
        lambda text: text.replace("[sweep]", f"{_SUCCESSOR}\n[sweep]").replace(
            'ca.factory = { mode = "SNI_ONLY" }',
            'ca.factory = { mode = "SNI_ONLY" }\nca.factory-2 = { mode = "SNI_ONLY" }',
        )
    )
    operator.run("jitrctl local deploy --account prod")
    rotation = operator.jitrctl("ca rotate --ca factory --account prod")
    told = operator.read(rotation, "say rotation_window = ")
    line = re.search(r'rotation_window = "\d+d"', told)
    if line is None:
        raise HourError(told)
    operator.cures.append(line[0])
    operator.change_fleet(lambda text: text.replace('succeeds = "factory"', f'succeeds = "factory"\n{line[0]}'))
    operator.run("jitrctl local deploy --account prod")
    return f"of factory-2 {operator.comes_in('sensor-0606', 'prod', ca='factory-2')}"


def _issue_crl(operator: Operator, life: timedelta) -> None:
    """The CA issues a CRL that is in force for so long, into the file that the cure names."""
    ca, begins = operator.issuing_ca("meters"), datetime.now(UTC)
    key = serialization.load_pem_private_key(ca.key.read_bytes(), None)
    issuer = x509.load_pem_x509_certificate(ca.certificate.read_bytes()).subject
    builder = x509.CertificateRevocationListBuilder(issuer, begins - timedelta(hours=1), begins + life)
    crl = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    (operator.checkout.folder / "meters.crl").write_bytes(crl.public_bytes(serialization.Encoding.PEM))


STEPS = (
    Step(name="CRL missing", broken="the CA must have a CRL, and none is published", play=without_crl),
    Step(name="CA inactive", broken="somebody deactivated the CA", play=inactive),
    Step(name="no auto-registration", broken="the CA registers no new devices", play=not_automatic),
    Step(name="CRL stale", broken="the CA's CRL is not in force any more", play=stale_crl),
    Step(name="mode switched", broken="the CA is to be SNI_ONLY in dev, too", play=mode_switched),
    Step(name="CA rotated", broken="devices are to have certificates of the CA's successor", play=rotated),
)
