"""Runs admission offline on a certificate file, with the functions' own code.

AWS's state is assumed as the fleet file declares it: the CA is registered, ACTIVE and in its mode, the certificate is
pending. Enrollment entries and hooks are in no file, and are not evaluated.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import ssl
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jitr.admission.applicant import Applicant
from jitr.admission.check_list import CHECKS, UNREAD_OFFLINE
from jitr.admission.procedure import CheckStatus, Examination, examine
from jitr.errors import Rejected, UnusableCrl
from jitr.iot_models import CaRegistration, DeviceRegistration, Status
from jitr.rules import HOOK, CaRules, CertificateMode, CheckMode, Rules
from jitr.x509.certificate import Certificate
from jitr.x509.crl import RevocationList
from jitr_fleet.certificate_file import crl_in
from jitrctl.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from pathlib import Path

_BEGIN = "-----BEGIN CERTIFICATE-----"

# All checks in the order of their numbers, and what a device that passes it has.
SENTENCES = {
    "ca": "judged as a device of CA {ca}",
    **{check.name: check.sentence for check in CHECKS},
    HOOK: "the hook allows it",
}
_IDENTITY = ("ca", "thing_name", "thing_type", "thing_groups", "attributes", "policy", "billing_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of one check; `number` is empty for the names, which belong to check 7."""

    number: str
    check: str
    verdict: CheckStatus
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """Whether the certificate would be admitted, and the result of each check."""

    examination: Examination
    checks: tuple[CheckResult, ...]

    @property
    def admitted(self) -> bool:
        return self.examination.refusal is None

    @property
    def reader(self) -> str | None:
        """Which reader read the certificate: "library" or "second"; None when neither could."""
        certificate = self.examination.certificate
        return certificate.reader.value if certificate else None

    def document(self) -> dict[str, Any]:
        """For --json."""
        refusal, identity = self.examination.refusal, self.examination.identity
        return {
            "admitted": self.admitted,
            "reason": refusal.reason.name if refusal else None,
            "detail": refusal.detail if refusal else None,
            "checks": [{"check": one.check, "verdict": one.verdict.value, "detail": one.detail} for one in self.checks],
            "reader": self.reader,
            "identity": (
                {name: getattr(identity, name) for name in _IDENTITY}
                | {"shadow": json.loads(identity.shadow) if identity.shadow else None}
                if identity
                else None
            ),
        }


def rules_without_fleet(ca_pem: str, path: Path) -> Rules:
    """The default rules for devices of one CA, with any common name that makes a thing name.

    Raises Unusable when it cannot be read.
    """
    try:
        ca = Certificate.from_pem(ca_pem)
    except Rejected as error:
        raise Unusable(f"{path} cannot be used as a CA: {error.detail}") from error
    rules = CaRules(
        name="ca-file",
        certificate_id=ca.fingerprint,
        certificate_pem=ca_pem,
        certificate_mode=CertificateMode.SNI_ONLY,
        common_name="[a-zA-Z0-9:_-]{1,128}",
        policy="",
        checks={"revocation": CheckMode.ENFORCE},  # once a CRL is given
    )
    return Rules(fleet="none", cas=(rules,))


def verify(pem: str, rules: Rules, *, ca: str | None, crl: Path | None = None, now: datetime) -> VerifyResult:
    """Examine a certificate under an account's rules.

    `ca` names the CA that AWS IoT would name; without it, that is the one that issued the certificate. `crl` is the
    file with that CA's CRL, as it would be published.

    Raises Unusable when the account has no CA of that name, or the CRL cannot be relied upon.
    """
    ca_rules = _named(rules, ca) if ca else _issuer(pem, rules)
    device = DeviceRegistration(
        certificate_id=_id_of(pem),
        arn="",
        status=Status.PENDING_ACTIVATION,
        pem=pem,
        ca_certificate_id=ca_rules.certificate_id,
        created_at=now,
    )
    unread = {check: why for check, why in UNREAD_OFFLINE.items() if check != "revocation" or not crl}
    examination = examine(
        # The check `revocation` stays: critical extensions are understood because of it.
        Applicant.of(device, without_checks(unread.keys() - {"revocation"}, rules)),
        as_declared(ca_rules),
        revocations=_read_crl(crl, ca_rules) if crl else empty_crl(now),
        now=now,
    )
    return VerifyResult(examination=examination, checks=_results(examination, ca_rules, unread))


def _read_crl(path: Path, ca: CaRules) -> RevocationList:
    try:
        return RevocationList.read(crl_in(path.read_bytes()), Certificate.from_pem(ca.certificate_pem))
    except OSError as error:
        raise Unusable(f"{path} cannot be read ({error.strerror}): name the CA's CRL") from error
    except UnusableCrl as error:
        raise Unusable(f"{path} cannot be used as the CRL of CA {ca.name}: {error}") from error


def empty_crl(now: datetime) -> RevocationList:
    """A CRL in force for every certificate, without entries."""
    return RevocationList(
        this_update=now - timedelta(days=1),
        next_update=now + timedelta(days=1),
        number=None,
        size=0,
        distribution_points=frozenset(),
        rows={},
    )


def without_checks(checks: Collection[str], rules: Rules) -> Rules:
    """The rules with these checks off: an entry that was not read must not count as missing."""
    off = dict.fromkeys(checks, CheckMode.OFF)

    def without(origins: tuple[CaRules, ...]) -> tuple[CaRules, ...]:
        return tuple(replace(one, checks={**one.checks, **off}) for one in origins)

    return replace(rules, cas=without(rules.cas), sources=without(rules.sources))


def _named(rules: Rules, name: str) -> CaRules:
    for origin in rules.origins:
        if origin.name == name:
            return origin
    raise Unusable(f"the account has no CA {name}: it has {', '.join(one.name for one in rules.origins)}")


def _issuer(pem: str, rules: Rules) -> CaRules:
    """The CA that issued the certificate; if none did, the nearest one, so that all other checks are evaluated too.

    In an account that has no CA, a source.
    """
    try:
        certificate = Certificate.from_pem(pem)
    except Rejected:
        return rules.origins[0]  # it is refused as unreadable under any CA
    cas = [(ca, Certificate.from_pem(ca.certificate_pem)) for ca in rules.cas]
    issuers = [ca for ca, read in cas if certificate.is_issued_by(read)]
    signers = [ca for ca, read in cas if certificate.is_signed_by(read)]
    namesakes = [ca for ca, read in cas if certificate.names_as_issuer(read)]
    return next(iter((*issuers, *signers, *namesakes, *rules.origins)))


def as_declared(rules: CaRules) -> CaRegistration:
    return CaRegistration(
        certificate_id=rules.certificate_id, pem=rules.certificate_pem, active=True, mode=rules.certificate_mode
    )


def _id_of(pem: str) -> str:
    """The id that AWS IoT gives the certificate; zeros when it cannot be decoded: AWS IoT would not register it."""
    block = pem[pem.index(_BEGIN) :]
    end = block.find(ssl.PEM_FOOTER)
    try:
        der = ssl.PEM_cert_to_DER_cert(block[: end + len(ssl.PEM_FOOTER)])
    except (ValueError, binascii.Error):
        return "0" * 64
    return hashlib.sha256(der).hexdigest()


def _results(examination: Examination, ca: CaRules, unread: Mapping[str, str]) -> tuple[CheckResult, ...]:
    found = {outcome.check: outcome for outcome in examination.outcomes}
    results = []
    number = -1
    for check, passed in SENTENCES.items():
        number += check != "names"
        outcome = found.get(check)
        verdict = outcome.status if outcome else CheckStatus.NOT_EVALUATED
        if check in unread and ca.mode_of(check) is not CheckMode.OFF:
            verdict = CheckStatus.NOT_EVALUATED
        if outcome and outcome.refusal:
            detail = f"{outcome.refusal.reason.name}: {outcome.refusal.detail}"
        elif verdict is CheckStatus.PASS:
            detail = passed.format(ca=ca.name)
        elif verdict is CheckStatus.OFF:
            detail = "the rules do not ask for it"
        else:
            detail = unread.get(check, "an earlier failure left nothing to look at")
        shown = "" if check == "names" else str(number)
        results.append(CheckResult(number=shown, check=check, verdict=verdict, detail=detail))
    return tuple(results)
