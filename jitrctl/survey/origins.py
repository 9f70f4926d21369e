"""Infers how a certificate came to be registered, and names the evidence: AWS IoT does not record it."""

from __future__ import annotations

from enum import StrEnum

from jitr.frozen import value
from jitr.iot_models import Status
from jitr.rules import CertificateMode, is_source

# Issuer and subject of certificates from CreateKeysAndCertificate and CreateCertificateFromCsr: the issuer's one field
# is OU, "Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US" (AWS IoT guide, "Create AWS IoT client
# certificates"). Anybody's CA may write the same; but what AWS issued is in DEFAULT mode and names no CA (AWS IoT API
# reference, CertificateDescription).
_AWS_ISSUER, _AWS_SUBJECT = "Amazon Web Services O=Amazon.com Inc.", "CN=AWS IoT Certificate"
_BY_JITR = frozenset({"activated", "rejected", "held", "replaced"})
# Of a device that jitr holds since a provisioning template is on its CA: that says nothing of who registered it.
HELD_UNDER_TEMPLATE = "held under a template"
# A first connection sets it. So do CreateKeysAndCertificate and CreateCertificateFromCsr by MQTT, until RegisterThing,
# which follows within an hour (AWS IoT guide, "Device provisioning MQTT API").
_PENDING = "PENDING_ACTIVATION, as after a first connection; fleet provisioning sets it too, for an hour at most"


class CertificateOrigin(StrEnum):
    """How a certificate came to be registered."""

    JITR = "JITR"
    JITP = "JITP"
    WITHOUT_CA = "without a CA"
    AWS = "issued by AWS"
    FLEET_PROVISIONING = "fleet provisioning"
    UNKNOWN = "unknown"


_Inferred = tuple[CertificateOrigin, str]


@value
class CertificateFacts:
    """What the survey found that tells of a certificate's origin."""

    status: str
    mode: str | None  # None: AWS does not say
    record: str | None  # the outcome of jitr's decision, or HELD_UNDER_TEMPLATE; None: jitr has no record
    record_ca: str | None  # the CA or source of that decision
    ca: str | None
    is_named: bool  # AWS itself names the CA; if not, one of the fleet's signed it
    is_ca_registered: bool
    registers: bool  # the CA: auto-registration is on
    template: str | None  # on the CA
    template_policies: frozenset[str]  # that the CA's template attaches; none if they are not known
    is_described: bool
    issuer: str | None  # of a certificate that was described; None: it cannot be read
    subject: str | None
    policies: frozenset[str]  # attached
    provisioning: str | None  # a fleet provisioning template that attaches one of its policies
    jitp: str | None  # likewise one for JITP, on the CA or not
    names_sni_only: bool  # AWS names the CAs of other certificates in SNI_ONLY mode here
    other_fleet: str | None  # another fleet of jitr that attached a policy


def infer_origin(facts: CertificateFacts) -> _Inferred:
    """The origin, and its evidence in words."""
    if facts.record in _BY_JITR:
        if facts.record_ca and is_source(facts.record_ca):
            return CertificateOrigin.WITHOUT_CA, "jitr imported it from a source of the fleet file"
        return CertificateOrigin.JITR, "record of jitr"
    if facts.other_fleet:
        return CertificateOrigin.JITR, f"has a policy of jitr's fleet {facts.other_fleet}"
    if facts.ca and not is_source(facts.ca):
        return _infer_under_ca(facts)
    return _infer_without_ca(facts)


def _infer_under_ca(facts: CertificateFacts) -> _Inferred:
    if not facts.is_ca_registered:
        return CertificateOrigin.UNKNOWN, "its CA is not registered here any more"
    if not facts.is_named and facts.status != Status.PENDING_ACTIVATION:
        if facts.names_sni_only:
            evidence = "signed by a CA of the fleet, and AWS names no CA, as it does of others in SNI_ONLY mode"
            return CertificateOrigin.WITHOUT_CA, evidence
        if not facts.registers:
            evidence = "no caCertificateId; signed by a CA of the fleet, which does not register automatically"
            return CertificateOrigin.WITHOUT_CA, evidence
    found = _infer_registered(facts)
    if facts.is_named:
        return found
    return found[0], f"{found[1]}; AWS names no CA, one of the fleet signed it"


def _infer_registered(facts: CertificateFacts) -> _Inferred:
    """Of a certificate that a registered CA issued: by its template, by a handler of events, or by hand."""
    if facts.template:
        evidence = "its CA has a provisioning template"
        if facts.template_policies & facts.policies:
            evidence += ", which attaches its policy"
        elif facts.template_policies and facts.policies:
            evidence += ", which attaches another policy"
        return CertificateOrigin.JITP, evidence
    if facts.jitp:
        return CertificateOrigin.JITP, f"template {facts.jitp} attaches its policy, and is not on its CA"
    if facts.status == Status.PENDING_ACTIVATION:
        return CertificateOrigin.JITR, _PENDING
    if facts.registers:
        return CertificateOrigin.JITR, "its CA registers automatically, without a template"
    return CertificateOrigin.UNKNOWN, "its CA does not register automatically"


def _infer_without_ca(facts: CertificateFacts) -> _Inferred:
    is_issuer, is_subject = _AWS_ISSUER in (facts.issuer or ""), _AWS_SUBJECT in (facts.subject or "")
    by_aws = (is_issuer or is_subject) and facts.mode != CertificateMode.SNI_ONLY
    if facts.provisioning:
        issuer = "AWS issued it" if by_aws else "AWS did not issue it, as with a certificate provider"
        evidence = f"its policy is fleet provisioning template {facts.provisioning}'s; {issuer}"
        return CertificateOrigin.FLEET_PROVISIONING, evidence
    if by_aws:
        evidence = "its issuer is AWS" if is_issuer else "its subject is what AWS writes"
        return CertificateOrigin.AWS, f"{evidence}, and no caCertificateId"
    if facts.mode == CertificateMode.SNI_ONLY:
        return CertificateOrigin.WITHOUT_CA, "SNI_ONLY, and no caCertificateId"
    if facts.is_described and facts.issuer is None:
        return CertificateOrigin.UNKNOWN, "its PEM cannot be read"
    if facts.mode == CertificateMode.DEFAULT:
        return CertificateOrigin.UNKNOWN, "DEFAULT mode without a caCertificateId, and AWS did not issue it"
    return CertificateOrigin.WITHOUT_CA, "no caCertificateId, and AWS did not issue it"
