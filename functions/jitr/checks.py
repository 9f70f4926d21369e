"""The single checks of admission: each looks at one application and returns, or raises Rejected with its Reason.

Decides what each numbered check asks. It refuses to know in which order they run and which of them count: that is
admission.py, where the list of checks stands.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from jitr import naming
from jitr.certificates import Certificate
from jitr.errors import Reason, Rejected
from jitr.registrations import CaRegistration, DeviceRegistration
from jitr.rules import CaRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """All that a check may look at."""

    device: DeviceRegistration
    certificate: Certificate
    ca: CaRegistration | None  # what AWS says of the CA that the certificate names; None when it knows no such CA
    rules: CaRules
    now: datetime


Check = Callable[[Application], None]


@lru_cache(maxsize=64)
def read_certificate(pem: str) -> Certificate:
    """Read a certificate, or take it from the last few that were read: a function meets the same CAs all the time.

    Raises Rejected(UNREADABLE).
    """
    return Certificate.from_pem(pem)


def check_identity(application: Application) -> None:
    """(1) AWS does not document that the id is the fingerprint, so a difference is curable, and loud."""
    if application.certificate.fingerprint != application.device.certificate_id:
        raise Rejected(
            Reason.FINGERPRINT_MISMATCH,
            f"AWS IoT describes certificate {application.certificate.fingerprint} under another id",
        )


def check_issuance(application: Application) -> None:
    """(2) The CA as it stands in this account, then its signature."""
    rules, registered = application.rules, application.ca
    if registered is None:
        raise Rejected(Reason.CA_UNKNOWN, f"CA {rules.name} is not registered in this account and Region any more")
    fleet_ca = read_certificate(rules.certificate_pem)
    try:
        differs = read_certificate(registered.pem).fingerprint != fleet_ca.fingerprint
    except Rejected:
        differs = True
    if differs:
        raise Rejected(
            Reason.CA_DIFFERS,
            f"the registered CA certificate is not the one that fleet.toml names {rules.name}",
        )
    if not fleet_ca.is_ca():
        raise Rejected(
            Reason.CA_DIFFERS, f"the certificate of CA {rules.name} does not say CA:TRUE in basicConstraints"
        )
    if not fleet_ca.not_before <= application.now.replace(microsecond=0) <= fleet_ca.not_after:
        raise Rejected(
            Reason.CA_NOT_VALID_NOW,
            f"CA {rules.name} is valid from {fleet_ca.not_before:%Y-%m-%d} to {fleet_ca.not_after:%Y-%m-%d}",
        )
    if not registered.active:
        raise Rejected(Reason.CA_INACTIVE, f"CA {rules.name} is INACTIVE in this account; activate it")
    if registered.mode != rules.certificate_mode:
        raise Rejected(
            Reason.CA_WRONG_MODE,
            f"CA {rules.name} is registered in mode {registered.mode}, fleet.toml declares {rules.certificate_mode}",
        )
    if not application.certificate.is_issued_by(fleet_ca):
        raise Rejected(Reason.NOT_ISSUED_BY_CA, f"CA {rules.name} did not issue this certificate")


def check_validity(application: Application) -> None:
    """(3) RFC 5280 §4.1.2.5: notBefore and notAfter are both inclusive, in whole seconds; so is our clock here."""
    certificate, now = application.certificate, application.now.replace(microsecond=0)
    if now < certificate.not_before:
        raise Rejected(Reason.NOT_YET_VALID, f"not valid before {_time(certificate.not_before)}, now {_time(now)}")
    if now > certificate.not_after:
        raise Rejected(Reason.EXPIRED, f"not valid after {_time(certificate.not_after)}, now {_time(now)}")
    minimum = timedelta(seconds=application.rules.minimum_remaining_life)
    if certificate.not_after - now < minimum:
        raise Rejected(
            Reason.EXPIRES_TOO_SOON,
            f"not valid after {_time(certificate.not_after)}, the rules ask for {_duration(minimum)} of remaining life",
        )


def check_key(application: Application) -> None:
    """(4) What NIST SP 800-57 and AWS IoT both take: RSA from 2048 bits, the three NIST prime curves."""
    key, rules = application.certificate.key, application.rules
    if key.algorithm == "RSA":
        least, greatest = rules.rsa_bits
        if not least <= key.bits <= greatest:
            raise Rejected(Reason.KEY_SIZE_REFUSED, f"an RSA key of {key.bits} bits, allowed are {least} to {greatest}")
    elif key.algorithm != "EC" or key.curve not in rules.curves:
        raise Rejected(Reason.KEY_TYPE_REFUSED, f"a key of type {key}, allowed are RSA, {', '.join(rules.curves)}")


def check_subject(application: Application) -> None:
    """(7) One common name that the CA's pattern matches in full."""
    naming.refuse_policy_wildcards(application.certificate)
    common_name = naming.only_common_name(application.certificate)
    if not re.fullmatch(application.rules.common_name, common_name):
        raise Rejected(
            Reason.COMMON_NAME_REFUSED,
            f"common name {common_name!a} does not match {application.rules.common_name!r}",
        )


def _duration(span: timedelta) -> str:
    days, seconds = span.days, span.seconds
    return f"{days} days" if not seconds else f"{days} days and {seconds} s" if days else f"{seconds} s"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
