"""Defines jitr's errors, and the reasons for which a device is refused.

    JitrError
    ├── Rejected             a device is refused, with a Reason; an outcome, never a failed message
    ├── UnusableCrl          a CRL that must not be relied upon
    ├── UnreadableEvent      a message that is not a registration event; goes whole to the dead-letter queue
    ├── CertificateUnknown   the certificate id is not registered in AWS IoT
    ├── Unavailable          AWS throttles, fails or cannot be reached; the message is put off, then left to the sweep
    │   └── NotPermitted     AWS refuses a call, since the deployment lacks a permission; there is an alarm for it
    ├── StaleMarker          AWS IoT refuses the marker of a list; the list has to be read from its beginning
    ├── Overtaken            the certificate left PENDING_ACTIVATION during the attempt; it has to be observed again
    └── Misconfigured        settings or rules of this deployment are unusable

A Reason is *final* if the certificate itself is wrong or an entry denies it, and *curable* if time, an operator or
another service can remove the cause. A device that is refused for a curable reason stays PENDING_ACTIVATION, is
recorded as held, and is evaluated again.

A Reason also says what it rests on. If a final one rests on the fleet's rules, a mistake in the rules refuses good
devices. If there are suddenly many of these, they are held instead of rejected (brake.py).
"""

import re
from enum import Enum, unique
from typing import Self

# The action in AWS's messages (IAM user guide, "Troubleshoot access denied error messages").
_NOT_AUTHORIZED = re.compile(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9]+)")


class ReasonKind(Enum):
    """Whether the cause of a refusal can be removed without a new certificate."""

    FINAL = "final"
    CURABLE = "curable"


class Basis(Enum):
    """What a refusal rests on."""

    CERTIFICATE = "certificate"  # the certificate alone, independent of the fleet's rules
    RULES = "rules"  # the requirements in fleet.toml: a mistake there refuses good devices
    OTHERS = "others"  # what an operator, an entry, a CRL, a hook or AWS says about the device


@unique
class Reason(Enum):
    """Why a device is refused; records, metrics, events and docs/rejections.md use the same names.

    Each member has its kind, what it rests on, and its cause in one sentence; none of them can be omitted.
    """

    # The certificate itself, and what AWS says of it.
    UNREADABLE = ReasonKind.CURABLE, Basis.CERTIFICATE, "The certificate cannot be read as X.509 by this version."
    ENCODING_REFUSED = (
        ReasonKind.FINAL,
        Basis.CERTIFICATE,
        "Outside the part that the CA signed, the certificate is not encoded in DER.",
    )
    FINGERPRINT_MISMATCH = (
        ReasonKind.CURABLE,
        Basis.CERTIFICATE,
        "The certificate id is not the SHA-256 of the certificate's DER.",
    )
    WAS_REVOKED = (
        ReasonKind.FINAL,
        Basis.OTHERS,
        "The certificate was revoked or deactivated, then deleted and registered again.",
    )

    # The CA.
    CA_UNKNOWN = ReasonKind.CURABLE, Basis.RULES, "The issuing CA is not one of this account's in fleet.toml."
    CA_AMBIGUOUS = (
        ReasonKind.CURABLE,
        Basis.RULES,
        "AWS IoT names no issuing CA, and several CAs of this account have the key that signed the certificate.",
    )
    CA_DIFFERS = ReasonKind.CURABLE, Basis.RULES, "The registered CA certificate is not the one in fleet.toml."
    CA_INACTIVE = ReasonKind.CURABLE, Basis.OTHERS, "The CA is not ACTIVE in this account."
    CA_HAS_TEMPLATE = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "A provisioning template is on the CA: AWS IoT provisions its devices, until the template is taken off.",
    )
    CA_WRONG_MODE = (
        ReasonKind.CURABLE,
        Basis.RULES,
        "The CA is registered in another certificate mode than fleet.toml declares.",
    )
    CA_NOT_VALID_NOW = ReasonKind.CURABLE, Basis.OTHERS, "The CA certificate is outside its own validity."
    NOT_ISSUED_BY_CA = (
        ReasonKind.FINAL,
        Basis.CERTIFICATE,
        "The certificate was not issued by the CA that AWS IoT names.",
    )
    ISSUER_NAME_DIFFERS = (
        ReasonKind.CURABLE,
        Basis.CERTIFICATE,
        "The CA's key signed the certificate, but the certificate names another issuer.",
    )

    # Validity.
    NOT_YET_VALID = ReasonKind.CURABLE, Basis.CERTIFICATE, "The certificate's notBefore is in the future."
    EXPIRED = ReasonKind.FINAL, Basis.CERTIFICATE, "The certificate's notAfter has passed."
    EXPIRES_TOO_SOON = ReasonKind.FINAL, Basis.RULES, "Less than minimum_remaining_life is left."
    LIVES_TOO_LONG = ReasonKind.FINAL, Basis.RULES, "From notBefore to notAfter is longer than maximum_life."

    # The key.
    KEY_TYPE_REFUSED = (
        ReasonKind.FINAL,
        Basis.RULES,
        "The public key is of a type or curve that the CA's rules do not allow.",
    )
    KEY_SIZE_REFUSED = ReasonKind.FINAL, Basis.RULES, "The RSA modulus is outside the CA's rsa_bits."
    KEY_WEAK = (
        ReasonKind.FINAL,
        Basis.CERTIFICATE,
        "The private key can be computed from the public key (ROCA, CVE-2017-15361, among others).",
    )
    KEY_OF_THE_CA = ReasonKind.FINAL, Basis.CERTIFICATE, "The public key is the CA's own."

    # The signature.
    SIGNATURE_ALGORITHM_REFUSED = (
        ReasonKind.FINAL,
        Basis.RULES,
        "The certificate is signed with a hash weaker than SHA-256.",
    )

    # The extensions.
    EXTENSIONS_UNREADABLE = (
        ReasonKind.CURABLE,
        Basis.CERTIFICATE,
        "An extension that is needed cannot be read by this version, or is there twice.",
    )
    IS_A_CA = ReasonKind.FINAL, Basis.RULES, "The certificate is a CA's: basicConstraints says CA:TRUE."
    KEY_USAGE_REFUSED = (
        ReasonKind.FINAL,
        Basis.RULES,
        "The key usage does not allow digital signatures, with which a TLS client proves itself.",
    )
    EXTENDED_KEY_USAGE_REFUSED = (
        ReasonKind.FINAL,
        Basis.RULES,
        "The extended key usage does not include client authentication.",
    )
    CRITICAL_EXTENSION_UNKNOWN = (
        ReasonKind.FINAL,
        Basis.RULES,
        "A critical extension is not supported by jitr.",
    )

    # The subject, and the names made from it.
    COMMON_NAME_MISSING = ReasonKind.FINAL, Basis.RULES, "The subject holds no common name."
    COMMON_NAME_AMBIGUOUS = ReasonKind.FINAL, Basis.RULES, "The subject holds more than one common name."
    COMMON_NAME_REFUSED = ReasonKind.FINAL, Basis.RULES, "The common name does not fully match the CA's pattern."
    SERIAL_NUMBER_REFUSED = (
        ReasonKind.FINAL,
        Basis.RULES,
        "The subject does not hold exactly one serialNumber that fully matches the CA's pattern.",
    )
    SAN_URI_REFUSED = (
        ReasonKind.FINAL,
        Basis.RULES,
        "The subjectAltName does not hold exactly one URI that fully matches the CA's pattern.",
    )
    SAN_DNS_REFUSED = (
        ReasonKind.FINAL,
        Basis.RULES,
        "The subjectAltName does not hold exactly one DNS name that fully matches the CA's pattern.",
    )
    SUBJECT_UNSAFE = (
        ReasonKind.FINAL,
        Basis.RULES,
        "A value that the policy or a template can use holds a character that would widen an IoT policy (* $ + ? #).",
    )
    SUBJECT_FIELD_MISSING = (
        ReasonKind.FINAL,
        Basis.RULES,
        "A template names a field that the certificate does not hold exactly once.",
    )
    NAME_NOT_LEGAL = (
        ReasonKind.FINAL,
        Basis.RULES,
        "A thing name, attribute or group made from the certificate is not legal in AWS IoT.",
    )

    # Revocation: the content and the state of the CA's CRL.
    REVOKED_BY_CA = ReasonKind.FINAL, Basis.OTHERS, "The CA's CRL lists the certificate as revoked."
    SUSPENDED_BY_CA = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "The CA's CRL lists the certificate as on hold, which a later CRL can lift.",
    )
    CRL_MISSING = ReasonKind.CURABLE, Basis.OTHERS, "No CRL of the CA is published in this account and Region."
    CRL_STALE = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "The CA's CRL is not in force now: its nextUpdate has passed, or its thisUpdate is in the future.",
    )
    CRL_UNUSABLE = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "What is published as the CA's CRL cannot be relied upon for this certificate.",
    )
    # Enrollment: what entries, an operator, or the hook say about the device.
    ENTRY_DENIES = ReasonKind.FINAL, Basis.OTHERS, "An enrollment entry denies the thing name or the certificate."
    OTHER_ACCOUNT = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "The device's enrollment entry does not name this account.",
    )
    ENTRY_UNUSABLE = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "An enrollment entry cannot be read, or requests what the CA's rules do not offer.",
    )
    NOT_LISTED = ReasonKind.CURABLE, Basis.OTHERS, "The CA admits listed devices only, and no entry allows this one."
    AWAITING_APPROVAL = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "The CA admits devices that an operator approves, and none has yet.",
    )
    HOOK_REFUSED = ReasonKind.CURABLE, Basis.OTHERS, "The CA's hook does not allow the device."
    HOOK_FAILED = ReasonKind.CURABLE, Basis.OTHERS, "The CA's hook did not answer, or its answer breaks the contract."

    # Provisioning.
    THING_TAKEN = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "A thing of this name exists, and another principal is attached to it.",
    )
    NOT_A_ROTATION = (
        ReasonKind.CURABLE,
        Basis.RULES,
        "Another certificate owns the thing name, and this one is no rotation of it.",
    )
    REPLACEMENT_REFUSED = (
        ReasonKind.FINAL,
        Basis.RULES,
        "Another certificate owns the thing name, and the CA's rules allow no other.",
    )
    TARGET_MISSING = (
        ReasonKind.CURABLE,
        Basis.OTHERS,
        "A thing type, thing group or policy that the rules name does not exist.",
    )
    LIMIT_EXCEEDED = ReasonKind.CURABLE, Basis.OTHERS, "An AWS IoT resource limit is reached."
    REQUEST_REFUSED = ReasonKind.CURABLE, Basis.OTHERS, "AWS IoT refused a provisioning request as invalid."

    # People.
    OPERATOR_VERDICT = ReasonKind.CURABLE, Basis.OTHERS, "An operator's verdict prevents the activation."

    kind: ReasonKind
    rests_on: Basis
    sentence: str

    def __new__(cls, kind: ReasonKind, rests_on: Basis, sentence: str) -> Self:
        member = object.__new__(cls)
        member._value_ = sentence
        member.kind = kind
        member.rests_on = rests_on
        member.sentence = sentence
        return member

    def __str__(self) -> str:
        return self.name

    @property
    def final(self) -> bool:
        return self.kind is ReasonKind.FINAL


# Reasons that a new CRL can cure.
CRL_AWAITED = frozenset({Reason.SUSPENDED_BY_CA, Reason.CRL_MISSING, Reason.CRL_STALE, Reason.CRL_UNUSABLE})
# No CRL is in force; the rules can admit devices nevertheless (on_stale_crl).
CRL_LATE = frozenset({Reason.CRL_MISSING, Reason.CRL_STALE})
# Another certificate has the thing name.
NAME_LOST = frozenset({Reason.NOT_A_ROTATION, Reason.REPLACEMENT_REFUSED})
# For these reasons a pending certificate is detached again; for other curable ones it stays attached.
DETACHED_FOR = NAME_LOST | {Reason.OPERATOR_VERDICT}


class JitrError(Exception):
    """The base of jitr's own exceptions."""


class Rejected(JitrError):
    """A device is refused; `detail` is one sentence for the device's owner, without secrets or PEM."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class UnusableCrl(JitrError):
    """A CRL must not be relied upon; the text says why, without the CA's name."""


class UnreadableEvent(JitrError):
    """A message is not a registration event; the text says why."""


class CertificateUnknown(JitrError):
    """The certificate is not registered in this account and Region."""


class Unavailable(JitrError):
    """AWS throttles, fails or cannot be reached; a later retry can succeed."""


class NotPermitted(Unavailable):
    """AWS refuses a call because of a permission, a key or the credentials: the deployment is wrong.

    It says nothing about the device, and a retry succeeds once the deployment is repaired. `action` is the IAM action
    if AWS names it (`iot:CreateThing`), else the API's operation.
    """

    def __init__(self, operation: str, message: str) -> None:
        named = _NOT_AUTHORIZED.search(message)
        self.action = named[1] if named else operation
        super().__init__(f"{self.action} is not permitted: {message}")


class StaleMarker(JitrError):
    """AWS IoT refuses the saved marker of a list."""


class Overtaken(JitrError):
    """The certificate left PENDING_ACTIVATION between its observation and its change."""


class Misconfigured(JitrError):
    """The deployment's settings or rules are unusable; the text names the setting."""
