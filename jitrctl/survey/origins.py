"""Infers how a certificate came to be registered, and names the evidence: AWS IoT does not record it."""

from __future__ import annotations

from enum import StrEnum

from jitr.frozen import value

# Subject and issuer of certificates from CreateKeysAndCertificate and CreateCertificateFromCsr (AWS IoT developer
# guide, "Create AWS IoT client certificates").
_AWS_ISSUER, _AWS_SUBJECT = "Amazon Web Services", "AWS IoT Certificate"
_BY_JITR = frozenset({"activated", "rejected", "held", "replaced"})


class CertificateOrigin(StrEnum):
    """How a certificate came to be registered."""

    JITR = "JITR"
    JITP = "JITP"
    WITHOUT_CA = "without a CA"
    AWS = "issued by AWS"
    FLEET_PROVISIONING = "fleet provisioning"
    UNKNOWN = "unknown"


@value
class CertificateFacts:
    """What the survey found that tells of a certificate's origin."""

    record: str | None  # the outcome of jitr's decision; None: jitr has no record
    ca: str | None
    is_ca_registered: bool
    registers: bool  # the CA: auto-registration is on
    template: str | None  # on the CA
    issuer: str | None  # issuer / subject, of a certificate that was described
    signed_by_fleet: bool  # no CA is named, and one of the fleet's signed it
    provisioning: str | None  # a provisioning template that attaches one of its policies


def infer_origin(facts: CertificateFacts) -> tuple[CertificateOrigin, str]:  # noqa: PLR0911 -- one for each kind of evidence
    """The origin, and its evidence in words."""
    if facts.record in _BY_JITR:
        return CertificateOrigin.JITR, "record of jitr"
    if facts.issuer and (_AWS_ISSUER in facts.issuer or _AWS_SUBJECT in facts.issuer):
        if facts.provisioning:
            evidence = f"issuer of the PEM is AWS; its policy is template {facts.provisioning}'s"
            return CertificateOrigin.FLEET_PROVISIONING, evidence
        return CertificateOrigin.AWS, "issuer of the PEM is AWS"
    if facts.ca and facts.is_ca_registered and not facts.signed_by_fleet:
        if facts.template:
            return CertificateOrigin.JITP, "its CA has a provisioning template"
        if facts.registers:
            return CertificateOrigin.JITR, "its CA registers automatically, without a template"
        return CertificateOrigin.UNKNOWN, "its CA does not register automatically"
    if facts.ca and not facts.signed_by_fleet:
        return CertificateOrigin.UNKNOWN, "its CA is not registered here any more"
    if facts.issuer == "(cannot be read)":
        return CertificateOrigin.UNKNOWN, "its PEM cannot be read"
    evidence = "no caCertificateId" + ("; signed by a CA of the fleet" if facts.signed_by_fleet else "")
    return CertificateOrigin.WITHOUT_CA, evidence
