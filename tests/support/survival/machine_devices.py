"""The devices of the state machine's world: certificates of one CA, the same in every process."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from simulation import Authority, Leaf
from simulation.clock import START

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One certificate that a device may connect with."""

    label: str
    common_name: str
    leaf: Leaf

    @property
    def id(self) -> str:
        return self.leaf.certificate_id

    def __repr__(self) -> str:
        return self.label

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(self.label)


def _authority() -> Authority:
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Survival CA")])
    builder = _builder(name, name, key.public_key(), START - 3650 * _DAY, START + 3650 * _DAY, 1)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(certificate=builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True), key=key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


AUTHORITY = _authority()


_DEVICE_KEY = ec.derive_private_key(11, ec.SECP256R1()).public_key()


def _slot(number: int, label: str, common_name: str, begins: float, ends: float) -> Slot:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _builder(
        subject, AUTHORITY.certificate.subject, _DEVICE_KEY, START + begins * _DAY, START + ends * _DAY, 100 + number
    )
    signed = builder.sign(AUTHORITY.key, hashes.SHA256(), ecdsa_deterministic=True)
    leaf = Leaf.of(signed, ca_certificate_id=AUTHORITY.certificate_id)
    return Slot(label=label, common_name=common_name, leaf=leaf)


_FAMILY = (
    # label, name, and the days from the clock's start to its begin and end
    ("ending", "sensor-1", -300, 30),
    ("follower", "sensor-1", -1, 365),
    ("twin_follower", "sensor-1", -1, 365),
    ("issued_earlier", "sensor-1", -400, 10),
    ("long_lived", "sensor-2", -100, 300),
    ("duplicate", "sensor-2", -1, 365),
    ("badger", "badger-3", -1, 365),
    ("not_yet_valid", "sensor-4", 2, 365),
    ("short_lived", "sensor-5", -10, 1),
    ("next_short_lived", "sensor-5", -0.1, 365),
)


# Several of each, so that there is always one that nothing was decided on yet.
SLOTS = tuple(
    _slot(family * 100 + number, f"{label}_{family}", f"{name}{family}", begins, ends)
    for family in range(3)
    for number, (label, name, begins, ends) in enumerate(_FAMILY)
)


BY_ID = {slot.id: slot for slot in SLOTS}


NAMES = sorted({slot.common_name for slot in SLOTS})
