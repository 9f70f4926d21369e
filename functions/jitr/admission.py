"""The decision: may this certificate become a device, and which one?

AWS IoT has checked only that a registered CA signed the certificate. `admit` decides the rest. It is pure: what AWS
says, the rules and the time come in, an Identity or a Reason comes out, and nothing else is known here.

The checks, in order (a CA's rules set each to enforce, observe or off, by its name):

    0  the CA that AWS names is one of this account's (it brings the rules; never off)
    1  identity   the PEM holds one readable certificate, and the certificate id is the SHA-256 of its DER
    2  issuance   the registered CA is the fleet's, is a CA, within its validity, ACTIVE, in the declared mode;
                  names chain and its key signed the certificate (X.509 v1 included)
    3  validity   not before, not after, minimum remaining life
    4  key        type, RSA modulus, curve
    5  subject    one common name, fully matching; nothing that widens a policy
    6  the names made from the subject are legal (they are what is provisioned; never off)

To add a check: a Reason in errors.py, its name in rules.CHECKS, a function below and a line in `_CHECKS`.

What it leaves to its caller: that the certificate is PENDING_ACTIVATION, and what its record says.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jitr import naming
from jitr.certificates import Certificate
from jitr.errors import Reason, Rejected
from jitr.registrations import CaRegistration, DeviceRegistration
from jitr.rules import CHECKS, CaRules, CheckMode, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who an admitted device is: everything that provisioning needs."""

    ca: str  # the CA's name in fleet.toml
    thing_name: str
    thing_type: str | None
    thing_groups: tuple[str, ...]
    attributes: Mapping[str, str]
    policy: str


class Verdict(StrEnum):
    """What became of one check."""

    PASS = "pass"  # noqa: S105 -- a verdict, no password
    REJECT = "reject"
    OBSERVE = "observe"  # would have rejected; the rules only observe it
    OFF = "off"
    NOT_EVALUATED = "not evaluated"  # an earlier failure left nothing to look at


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's verdict; `refusal` is there for REJECT and OBSERVE."""

    check: str
    verdict: Verdict
    refusal: Rejected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Every check's finding, in order, and the identity when nothing was rejected."""

    findings: tuple[Finding, ...]
    certificate: Certificate | None
    identity: Identity | None

    @property
    def refusal(self) -> Rejected | None:
        """The first refusal that counts."""
        return next((f.refusal for f in self.findings if f.verdict is Verdict.REJECT), None)

    def admit(self) -> Identity:
        """The identity.

        Raises Rejected with the reason of the first enforced check that failed.
        """
        if self.refusal:
            raise self.refusal
        assert self.identity is not None  # noqa: S101 -- nothing rejected means an identity
        return self.identity

    @property
    def would_reject(self) -> tuple[Reason, ...]:
        """The reasons of the checks that the rules only observe."""
        return tuple(f.refusal.reason for f in self.findings if f.verdict is Verdict.OBSERVE and f.refusal)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Application:
    """All that a check may look at."""

    device: DeviceRegistration
    certificate: Certificate
    ca: CaRegistration | None
    rules: CaRules
    now: datetime


def admit(device: DeviceRegistration, ca: CaRegistration | None, rules: Rules, *, now: datetime) -> Identity:
    """Decide on one certificate.

    `ca` is what AWS says of the CA that the certificate names, or None when it knows no such CA.

    Raises Rejected with the reason of the first enforced check that fails.
    """
    return examine(device, ca, rules, now=now).admit()


def examine(device: DeviceRegistration, ca: CaRegistration | None, rules: Rules, *, now: datetime) -> Examination:
    """Run every check that can be run, also after a failure, and report each one."""
    # (0) The CA brings the rules; without it there is nothing to judge by.
    ca_rules = rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None
    if ca_rules is None:
        named = device.ca_certificate_id or "none"
        refusal = Rejected(Reason.CA_UNKNOWN, f"fleet.toml lists no CA with certificate id {named} for this account")
        return _nothing_to_examine("ca", refusal)

    # (1, first half) Nothing can be said of a certificate that cannot be read.
    try:
        certificate = Certificate.from_pem(device.pem)
    except Rejected as refusal:
        return _nothing_to_examine("identity", refusal)

    # (1) to (5)
    application = _Application(device=device, certificate=certificate, ca=ca, rules=ca_rules, now=now)
    findings = [_finding(name, check, application) for name, check in _CHECKS.items()]

    # (6) Names are made even when a check failed, so that one run reports everything.
    identity = None
    try:
        identity = _identity(application)
        findings.append(Finding(check="names", verdict=Verdict.PASS))
    except Rejected as refusal:
        findings.append(Finding(check="names", verdict=Verdict.REJECT, refusal=refusal))

    rejected = any(finding.verdict is Verdict.REJECT for finding in findings)
    return Examination(findings=tuple(findings), certificate=certificate, identity=None if rejected else identity)


def _finding(name: str, check: Callable[[_Application], None], application: _Application) -> Finding:
    mode = application.rules.mode_of(name)
    if mode is CheckMode.OFF:
        return Finding(check=name, verdict=Verdict.OFF)
    try:
        check(application)
    except Rejected as refusal:
        verdict = Verdict.OBSERVE if mode is CheckMode.OBSERVE else Verdict.REJECT
        return Finding(check=name, verdict=verdict, refusal=refusal)
    return Finding(check=name, verdict=Verdict.PASS)


def _nothing_to_examine(failed: str, refusal: Rejected) -> Examination:
    names = ("ca", *CHECKS, "names")
    after = names[names.index(failed) + 1 :]
    rejected = Finding(check=failed, verdict=Verdict.REJECT, refusal=refusal)
    rest = (Finding(check=name, verdict=Verdict.NOT_EVALUATED) for name in after)
    return Examination(findings=(rejected, *rest), certificate=None, identity=None)


def _check_identity(application: _Application) -> None:
    """(1) AWS does not document that the id is the fingerprint, so a difference is curable, and loud."""
    if application.certificate.fingerprint != application.device.certificate_id:
        raise Rejected(
            Reason.FINGERPRINT_MISMATCH,
            f"AWS IoT describes certificate {application.certificate.fingerprint} under another id",
        )


def _check_issuance(application: _Application) -> None:
    """(2) The CA as it stands in this account, then its signature."""
    rules, registered = application.rules, application.ca
    if registered is None:
        raise Rejected(Reason.CA_UNKNOWN, f"CA {rules.name} is not registered in this account and Region any more")
    fleet_ca = Certificate.from_pem(rules.certificate_pem)
    try:
        differs = Certificate.from_pem(registered.pem).fingerprint != fleet_ca.fingerprint
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


def _check_validity(application: _Application) -> None:
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


def _check_key(application: _Application) -> None:
    """(4) What NIST SP 800-57 and AWS IoT both take: RSA from 2048 bits, the three NIST prime curves."""
    key, rules = application.certificate.key, application.rules
    if key.algorithm == "RSA":
        least, greatest = rules.rsa_bits
        if not least <= key.bits <= greatest:
            raise Rejected(Reason.KEY_SIZE_REFUSED, f"an RSA key of {key.bits} bits, allowed are {least} to {greatest}")
    elif key.algorithm != "EC" or key.curve not in rules.curves:
        raise Rejected(Reason.KEY_TYPE_REFUSED, f"a key of type {key}, allowed are RSA, {', '.join(rules.curves)}")


def _check_subject(application: _Application) -> None:
    """(5) One common name that the CA's pattern matches in full."""
    naming.refuse_policy_wildcards(application.certificate)
    common_name = naming.only_common_name(application.certificate)
    if not re.fullmatch(application.rules.common_name, common_name):
        raise Rejected(
            Reason.COMMON_NAME_REFUSED,
            f"common name {common_name!a} does not match {application.rules.common_name!r}",
        )


def _identity(application: _Application) -> Identity:
    """(6) The names that provisioning will use."""
    rules, certificate = application.rules, application.certificate
    return Identity(
        ca=rules.name,
        thing_name=naming.thing_name(rules.thing_name, certificate),
        thing_type=rules.thing_type,
        thing_groups=rules.thing_groups,
        attributes={
            name: naming.attribute_value(name, template, certificate) for name, template in rules.attributes.items()
        },
        policy=rules.policy,
    )


def _duration(span: timedelta) -> str:
    days, seconds = span.days, span.seconds
    return f"{days} days" if not seconds else f"{days} days and {seconds} s" if days else f"{seconds} s"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


_CHECKS: Mapping[str, Callable[[_Application], None]] = {
    "identity": _check_identity,
    "issuance": _check_issuance,
    "validity": _check_validity,
    "key": _check_key,
    "subject": _check_subject,
}
assert tuple(_CHECKS) == CHECKS  # noqa: S101 -- fleet.toml offers exactly the checks that exist
