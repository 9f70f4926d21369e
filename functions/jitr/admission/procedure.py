"""The decision: may this certificate become a device, and which one?

AWS IoT has checked only that a registered CA signed the certificate. `admit` decides the rest. It is pure: what AWS
says, the rules and the time come in, an Identity or a Reason comes out, and nothing else is known here.

The checks, in order (a CA's rules set each to enforce, observe or off, by its name):

    0  the CA that AWS names, or that signed it where AWS names none (issuers.py), is one of this account's (it brings
       the rules; never off)
    1  identity   the PEM holds one readable certificate, and the certificate id is the SHA-256 of its DER
    2  issuance   the registered CA is the fleet's, is a CA, within its validity, ACTIVE, in the declared mode;
                  names chain and its key signed the certificate (X.509 v1 included)
    3  validity   not before, not after, minimum remaining life, maximum life
    4  key        type, RSA modulus, curve; no key that is known to be weak (ROCA), nor the CA's own
    5  signature  SHA-256 or better
    6  extensions when present: no CA, digital signature, client authentication, nothing critical that is unknown
    7  subject    what devices are named by (common name, serialNumber, URI, DNS name) once, fully matching;
                  nothing that widens a policy, where the policy or a template can use it
       names      what the templates make of the certificate is legal (it is what is provisioned; never off)
    8  revocation the CA's CRL, in force now, does not list it (off by default: somebody has to publish CRLs)
    9  enrollment any entry that denies blocks; else any that allows; else the CA's rule: open, listed or approve
   10  hook       the fleet's own function, asked by the caller about those who passed (1) to (9): hook_contract.py

To add a check: a Reason in errors.py, a function in checks.py, and a line in check_list.py (CONTRIBUTING.md).

What it leaves to its caller: that the certificate is PENDING_ACTIVATION, and what its record says.
"""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from jitr.admission import naming
from jitr.admission.check_list import CHECKS, Check
from jitr.admission.checks import CheckInput, fleet_ca, read_certificate
from jitr.admission.enrollment import NO_ENTRIES, Enrollment
from jitr.admission.identity import Identity, enrolled_identity, identity_of
from jitr.errors import CRL_LATE, Reason, Rejected
from jitr.frozen import value
from jitr.iot_models import CaRegistration, DeviceRegistration
from jitr.rules import HOOK, CaRules, CheckMode, OnStaleCrl, Rules
from jitr.x509.certificate import Certificate
from jitr.x509.crl import Revocations
from jitr.x509.signature_twin import twin_id


class CheckStatus(StrEnum):
    """What became of one check."""

    PASS = "pass"  # noqa: S105 -- a verdict, no password
    REJECT = "reject"
    OBSERVE = "observe"  # would have rejected; the rules only observe it
    OFF = "off"
    NOT_EVALUATED = "not evaluated"  # an earlier failure left nothing to look at


@value
class CheckOutcome:
    """One check's verdict; `refusal` is there for REJECT and OBSERVE."""

    check: str
    verdict: CheckStatus
    refusal: Rejected | None = None


@value
class Examination:
    """Every check's finding, in order, and the identity when nothing was rejected."""

    findings: tuple[CheckOutcome, ...]
    certificate: Certificate | None
    identity: Identity | None

    @property
    def refusal(self) -> Rejected | None:
        """The first refusal that counts."""
        return next((f.refusal for f in self.findings if f.verdict is CheckStatus.REJECT), None)

    def admit(self) -> Identity:
        """The identity.

        Raises Rejected with the reason of the first enforced check that failed.
        """
        if self.refusal:
            raise self.refusal
        assert self.identity is not None  # noqa: S101 -- nothing rejected means an identity
        return self.identity

    def after_hook(self, identity: Identity | None, refusal: Rejected | None, mode: CheckMode) -> Self:
        """The same with what the hook said: the identity that it left, or why it refused."""
        verdict = CheckStatus.PASS
        if refusal:
            verdict = CheckStatus.OBSERVE if mode is CheckMode.OBSERVE else CheckStatus.REJECT
        finding = CheckOutcome(check=HOOK, verdict=verdict, refusal=refusal)
        return replace(self, findings=(*self.findings[:-1], finding), identity=identity)

    @property
    def would_reject(self) -> tuple[Reason, ...]:
        """The reasons of the checks that the rules only observe."""
        return tuple(f.refusal.reason for f in self.findings if f.verdict is CheckStatus.OBSERVE and f.refusal)


def admit(
    device: DeviceRegistration,
    ca: CaRegistration | None,
    rules: Rules,
    *,
    revocations: Revocations = None,
    enrollment: Enrollment = NO_ENTRIES,
    now: datetime,
) -> Identity:
    """Decide on one certificate.

    `ca` is what AWS says of the CA that the certificate names, or None when it knows no such CA; `revocations` is what
    is published as that CA's CRL; `enrollment` is what the entries of the certificate and of its thing name
    (`thing_name_of`) say.

    Raises Rejected with the reason of the first enforced check that fails.
    """
    return examine(device, ca, rules, revocations=revocations, enrollment=enrollment, now=now).admit()


def examine(
    device: DeviceRegistration,
    ca: CaRegistration | None,
    rules: Rules,
    *,
    revocations: Revocations = None,
    enrollment: Enrollment = NO_ENTRIES,
    now: datetime,
) -> Examination:
    """Run every check that can be run, also after a failure, and report each one."""
    # (0) The CA brings the rules; without it there is nothing to judge by.
    ca_rules = _rules_of(device, rules)
    if ca_rules is None:
        return _nothing_to_examine((), "ca", _without_rules(device, rules))
    known = CheckOutcome(check="ca", verdict=CheckStatus.PASS)

    # (1, first half) Of a certificate that cannot be read nothing can be said, but what an entry says of its id.
    try:
        certificate = read_certificate(device.pem)
    except Rejected as refusal:
        return _denied(known, ca_rules, enrollment) or _nothing_to_examine((known,), "identity", refusal)

    # (1) to (9); names are made even when a check failed, so that one run reports everything.
    application = CheckInput(
        device=device,
        certificate=certificate,
        ca=ca,
        rules=ca_rules,
        revocations=revocations,
        enrollment=enrollment,
        now=now,
    )
    findings = (
        known,
        *(_finding(check, application) for check in CHECKS),
        _hook_finding(ca_rules),
    )
    identity = None
    if not any(finding.verdict is CheckStatus.REJECT for finding in findings):
        identity = identity_of(ca_rules, certificate)
        # What the entries give goes to those whom they let in, not to those who were only observed.
        if any(finding.check == "enrollment" and finding.verdict is CheckStatus.PASS for finding in findings):
            identity = enrolled_identity(identity, enrollment)
    return Examination(findings=findings, certificate=certificate, identity=identity)


def thing_name_of(device: DeviceRegistration, rules: Rules) -> str | None:
    """The name of the thing that the certificate asks to be, admitted or not.

    None when it makes no legal name, or has no CA of this account: it is refused then, whatever else is known of it.
    """
    ca_rules = _rules_of(device, rules)
    if ca_rules is None:
        return None
    try:
        return naming.thing_name(ca_rules, read_certificate(device.pem))
    except Rejected:
        return None


def twin_id_of(device: DeviceRegistration, rules: Rules) -> str | None:
    """The certificate id of the same certificate with its signature written differently; None when it has no twin."""
    ca_rules = _rules_of(device, rules)
    if ca_rules is None:
        return None
    try:
        return twin_id(read_certificate(device.pem), fleet_ca(ca_rules))
    except Rejected:
        return None


def _rules_of(device: DeviceRegistration, rules: Rules) -> CaRules | None:
    return rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None


def _without_rules(device: DeviceRegistration, rules: Rules) -> Rejected:
    """Why no rules apply to a certificate."""
    if device.possible_cas:
        names = " and ".join(ca.name for ca in rules.cas if ca.certificate_id in device.possible_cas)
        return Rejected(
            Reason.CA_AMBIGUOUS,
            f"AWS IoT names no CA, and CAs {names} have the key that signed it; its authority key identifier does not "
            "say which by issuer and serial number",
        )
    if device.ca_certificate_id is None:
        why = ""
        try:
            read_certificate(device.pem)
        except Rejected as refusal:
            if refusal.reason is Reason.UNREADABLE:
                return refusal
            why = f": {refusal.detail}"
        return Rejected(
            Reason.CA_UNKNOWN,
            f"AWS IoT names no CA, and none of fleet.toml for this account is known to have signed it{why}",
        )
    return Rejected(
        Reason.CA_UNKNOWN, f"fleet.toml lists no CA with certificate id {device.ca_certificate_id} for this account"
    )


def _finding(check: Check, application: CheckInput) -> CheckOutcome:
    mode = application.rules.mode_of(check.name) if check.has_mode else CheckMode.ENFORCE
    if mode is CheckMode.OFF:
        return CheckOutcome(check=check.name, verdict=CheckStatus.OFF)
    try:
        check.run(application)
    except Rejected as refusal:
        tolerated = mode is CheckMode.OBSERVE or (
            refusal.reason in CRL_LATE and application.rules.on_stale_crl is OnStaleCrl.ADMIT
        )
        verdict = CheckStatus.OBSERVE if tolerated else CheckStatus.REJECT
        return CheckOutcome(check=check.name, verdict=verdict, refusal=refusal)
    return CheckOutcome(check=check.name, verdict=CheckStatus.PASS)


def _hook_finding(rules: CaRules) -> CheckOutcome:
    """(10) Only the function itself can say."""
    is_off = rules.mode_of(HOOK) is CheckMode.OFF
    return CheckOutcome(check=HOOK, verdict=CheckStatus.OFF if is_off else CheckStatus.NOT_EVALUATED)


def _nothing_to_examine(before: tuple[CheckOutcome, ...], failed: str, refusal: Rejected) -> Examination:
    after = ORDER[ORDER.index(failed) + 1 :]
    rejected = CheckOutcome(check=failed, verdict=CheckStatus.REJECT, refusal=refusal)
    rest = (CheckOutcome(check=name, verdict=CheckStatus.NOT_EVALUATED) for name in after)
    return Examination(findings=(*before, rejected, *rest), certificate=None, identity=None)


def _denied(known: CheckOutcome, rules: CaRules, enrollment: Enrollment) -> Examination | None:
    """The examination of a certificate that an entry denies, which needs no reading; None when none does."""
    try:
        enrollment.refuse_denied()
    except Rejected as refusal:
        if rules.mode_of("enrollment") is not CheckMode.ENFORCE:
            return None
        findings = (
            CheckOutcome(check=name, verdict=CheckStatus.REJECT, refusal=refusal)
            if name == "enrollment"
            else CheckOutcome(check=name, verdict=CheckStatus.NOT_EVALUATED)
            for name in ORDER[1:]
        )
        return Examination(findings=(known, *findings), certificate=None, identity=None)
    return None


ORDER = ("ca", *(check.name for check in CHECKS), HOOK)  # of the findings
