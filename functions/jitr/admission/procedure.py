"""Decides whether a certificate may become a device, and which device.

AWS IoT has checked only that a registered CA signed the certificate. `examine` runs the other checks. It is pure: its
input is what AWS says, the rules and the time; its result is an Admitted or a refusal with a Reason.

The checks, in order (a CA's rules set each to enforce, observe or off, by its name):

    0  the CA that AWS names, or that signed it if AWS names none (issuers.py), is one of this account's (its rules
       apply; never off)
    1  identity   the PEM holds one readable certificate, and the certificate id is the SHA-256 of its DER
    2  issuance   the registered CA is the fleet's, is a CA, within its validity, ACTIVE, in the declared mode;
                  the issuer's name is its subject, and its key signed the certificate (X.509 v1 included)
    3  validity   not before, not after, minimum remaining life, maximum life
    4  key        type, RSA modulus, curve; not a known weak key (ROCA), not the CA's own
    5  signature  SHA-256 or better
    6  extensions when present: no CA, digital signature, client authentication, no unknown critical extension
    7  subject    each naming field (common name, serialNumber, URI, DNS name) exactly once, fully matching;
                  no policy wildcard in a value that the policy or a template can use
       names      the names that the templates make are legal (they are provisioned, so it is never off)
    8  revocation the CA's CRL, in force now, does not list it (off by default: CRLs must be published first)
    9  enrollment any entry that denies blocks; else any that allows; else the CA's rule: open, listed or approve
   10  hook       the fleet's own function; the caller invokes it after (1) to (9) passed: hook_contract.py

To add a check: a Reason in errors.py, a function in checks.py, and a line in check_list.py (CONTRIBUTING.md).

The caller checks that the certificate is PENDING_ACTIVATION, and what its record says.
"""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from jitr.admission.applicant import Admitted, Applicant
from jitr.admission.check_list import CHECKS, Check
from jitr.admission.checks import CheckInput
from jitr.admission.enrollment import NO_ENTRIES, Enrollment
from jitr.admission.identity import Identity, enrolled_identity, identity_of
from jitr.errors import CRL_LATE, Reason, Rejected
from jitr.frozen import value
from jitr.iot_models import CaRegistration
from jitr.rules import HOOK, CaRules, CheckMode, OnStaleCrl
from jitr.x509.certificate import Certificate
from jitr.x509.crl import Revocations


class CheckStatus(StrEnum):
    """The result of one check."""

    PASS = "pass"  # noqa: S105 -- a status, no password
    REJECT = "reject"
    OBSERVE = "observe"  # failed, but the rules only observe this check
    OFF = "off"
    NOT_EVALUATED = "not evaluated"  # an earlier failure left it without input


@value
class CheckOutcome:
    """One check and its result; `refusal` is set for REJECT and OBSERVE."""

    check: str
    status: CheckStatus
    refusal: Rejected | None = None


@value
class Examination:
    """The outcome of every check, in order, and their result: admitted, or the first refusal that is enforced."""

    outcomes: tuple[CheckOutcome, ...]
    certificate: Certificate | None  # None: it cannot be read, or was not
    result: Admitted | Rejected

    @property
    def admitted(self) -> Admitted | None:
        """What was admitted; None when an enforced check failed."""
        return self.result if isinstance(self.result, Admitted) else None

    @property
    def refusal(self) -> Rejected | None:
        """The refusal of the first enforced check that failed."""
        return self.result if isinstance(self.result, Rejected) else None

    @property
    def identity(self) -> Identity | None:
        """The device that is admitted."""
        return self.result.identity if isinstance(self.result, Admitted) else None

    @property
    def would_reject(self) -> tuple[Reason, ...]:
        """The reasons of the failed checks that the rules only observe."""
        return tuple(one.refusal.reason for one in self.outcomes if one.status is CheckStatus.OBSERVE and one.refusal)

    def admit(self) -> Admitted:
        """Return what was admitted.

        Raises Rejected with the reason of the first enforced check that failed.
        """
        if isinstance(self.result, Rejected):
            raise self.result
        return self.result

    def allow_by_hook(self, admitted: Admitted, *, observed: Rejected | None = None) -> Self:
        """The examination after the hook allowed the device; `observed` is a refusal that the rules only observe."""
        status = CheckStatus.OBSERVE if observed else CheckStatus.PASS
        return self._with_hook(CheckOutcome(check=HOOK, status=status, refusal=observed), admitted)

    def refuse_by_hook(self, refusal: Rejected) -> Self:
        """The examination after the hook, or an entry of the name that it gave, refused the device."""
        return self._with_hook(CheckOutcome(check=HOOK, status=CheckStatus.REJECT, refusal=refusal), refusal)

    def _with_hook(self, outcome: CheckOutcome, result: Admitted | Rejected) -> Self:
        return replace(self, outcomes=(*self.outcomes[:-1], outcome), result=result)


def examine(
    applicant: Applicant,
    ca: CaRegistration | None,
    *,
    revocations: Revocations = None,
    enrollment: Enrollment = NO_ENTRIES,
    now: datetime,
) -> Examination:
    """Run every check on one certificate, also after a failure.

    `ca` is what AWS says of the CA that the certificate names, or None when AWS knows no such CA. `revocations` is what
    is published as that CA's CRL. `enrollment` holds the entries of the certificate and of its thing name
    (`Applicant.thing_name`).
    """
    # (0) The CA determines the rules.
    device, ca_rules, certificate = applicant.device, applicant.resolved, applicant.read
    if isinstance(ca_rules, Rejected):
        return _nothing_to_examine((), "ca", ca_rules)
    known = CheckOutcome(check="ca", status=CheckStatus.PASS)

    # (1, first half) Of a certificate that cannot be read, only an entry for its id can be checked.
    if isinstance(certificate, Rejected):
        return _denied(known, ca_rules, enrollment) or _nothing_to_examine((known,), "identity", certificate)

    # (1) to (9): all of them, so that one run reports everything.
    check_input = CheckInput(
        device=device,
        certificate=certificate,
        ca=ca,
        rules=ca_rules,
        revocations=revocations,
        enrollment=enrollment,
        now=now,
    )
    outcomes = (
        known,
        *(_run_check(check, check_input) for check in CHECKS),
        _hook_outcome(ca_rules),
    )
    first = next((one.refusal for one in outcomes if one.status is CheckStatus.REJECT), None)
    if first:
        return Examination(outcomes=outcomes, certificate=certificate, result=first)
    identity = identity_of(ca_rules, certificate)
    # Entries give something only to devices that they allow, not to those whose refusal is only observed.
    if any(one.check == "enrollment" and one.status is CheckStatus.PASS for one in outcomes):
        identity = enrolled_identity(identity, enrollment)
    admitted = Admitted(device=device, certificate=certificate, rules=ca_rules, identity=identity)
    return Examination(outcomes=outcomes, certificate=certificate, result=admitted)


def _run_check(check: Check, check_input: CheckInput) -> CheckOutcome:
    mode = check_input.rules.mode_of(check.name) if check.has_mode else CheckMode.ENFORCE
    if mode is CheckMode.OFF:
        return CheckOutcome(check=check.name, status=CheckStatus.OFF)
    try:
        check.run(check_input)
    except Rejected as refusal:
        tolerated = mode is CheckMode.OBSERVE or (
            refusal.reason in CRL_LATE and check_input.rules.on_stale_crl is OnStaleCrl.ADMIT
        )
        status = CheckStatus.OBSERVE if tolerated else CheckStatus.REJECT
        return CheckOutcome(check=check.name, status=status, refusal=refusal)
    return CheckOutcome(check=check.name, status=CheckStatus.PASS)


def _hook_outcome(rules: CaRules) -> CheckOutcome:
    """(10) Not evaluated here: the caller invokes the hook."""
    is_off = rules.mode_of(HOOK) is CheckMode.OFF
    return CheckOutcome(check=HOOK, status=CheckStatus.OFF if is_off else CheckStatus.NOT_EVALUATED)


def _nothing_to_examine(before: tuple[CheckOutcome, ...], failed: str, refusal: Rejected) -> Examination:
    after = ORDER[ORDER.index(failed) + 1 :]
    rejected = CheckOutcome(check=failed, status=CheckStatus.REJECT, refusal=refusal)
    rest = (CheckOutcome(check=name, status=CheckStatus.NOT_EVALUATED) for name in after)
    return Examination(outcomes=(*before, rejected, *rest), certificate=None, result=refusal)


def _denied(known: CheckOutcome, rules: CaRules, enrollment: Enrollment) -> Examination | None:
    """The examination of an unreadable certificate that an entry denies; None when no entry denies it."""
    try:
        enrollment.refuse_denied()
    except Rejected as refusal:
        if rules.mode_of("enrollment") is not CheckMode.ENFORCE:
            return None
        outcomes = (
            CheckOutcome(check=name, status=CheckStatus.REJECT, refusal=refusal)
            if name == "enrollment"
            else CheckOutcome(check=name, status=CheckStatus.NOT_EVALUATED)
            for name in ORDER[1:]
        )
        return Examination(outcomes=(known, *outcomes), certificate=None, result=refusal)
    return None


# The order of an examination's outcomes.
ORDER = ("ca", *(check.name for check in CHECKS), HOOK)
