"""What to admit in one account and Region: the fleet's rules, as the functions read them.

infra writes `rules.json` next to this package into every stage's function asset; the functions read it once. All
checking of what people write is done in `fleet/` before deployment, so reading here is strict and short: a file that
does not fit is a broken deployment.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import cryptography

from jitr.brake import BrakeLimits
from jitr.errors import Misconfigured
from jitr.frozen import value

# What reads certificates, the library and jitr's own reader: what neither reads is held until another version looks
# again. Count up with every change to what the second reader takes.
READERS = f"readers: cryptography {cryptography.__version__}, second 2"

RULES_SCHEMA = 1
RULES_FILE = "rules.json"

# Subject and certificate fields that a thing name, attribute or group template may name.
TEMPLATE_FIELDS = (
    "common_name",
    "serial_number",
    "country",
    "state",
    "locality",
    "organization",
    "organizational_unit",
    "dn_qualifier",
    "san_uri",
    "san_dns",
    "subject_key_identifier",
    "certificate_serial",
    "certificate_id",
)

# Fields that a CA can name its devices by: the certificate holds exactly one, and the CA's pattern matches all of it.
NAMING_FIELDS = ("common_name", "serial_number", "san_uri", "san_dns")

# How the variables begin that an IoT policy fills from a certificate's subject, issuer and alternative names (developer
# guide, "X.509 certificate policy variables"); `iot:CertificateId` is none of them: it cannot hold a wildcard.
CERTIFICATE_VARIABLES = "iot:certificate."
ALTERNATIVE_NAME_VARIABLES = "iot:certificate.subject.alternativename."

# What is asked about those who passed all checks (admission/check_list.py).
HOOK = "hook"


class CertificateMode(StrEnum):
    """How a CA is registered in an account (RegisterCACertificate, `certificateMode`)."""

    DEFAULT = "DEFAULT"
    SNI_ONLY = "SNI_ONLY"


class CheckMode(StrEnum):
    """What a failed check does: refuse the device, only record that it would have, or nothing (not run)."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


class OnReject(StrEnum):
    """What becomes of a certificate that is refused for a final reason."""

    DEACTIVATE = "deactivate"
    REVOKE = "revoke"
    LEAVE = "leave"


class OnStaleCrl(StrEnum):
    """What becomes of a device while there is no CRL that is in force."""

    HOLD = "hold"  # until there is one
    ADMIT = "admit"  # it is let in, and recorded as one that would have been held


class EnrollmentRule(StrEnum):
    """Who is let in where no enrollment entry speaks of the device."""

    OPEN = "open"  # everybody who passes the other checks
    LISTED = "listed"  # nobody: an entry has to allow the device
    APPROVE = "approve"  # nobody, until an operator approves the device, or an entry allows it


class OnReplacement(StrEnum):
    """What a new certificate may do that asks for a thing name which another certificate owns."""

    ROTATE = "rotate"  # follow it, when there is a sign that it is a rotation
    REJECT = "reject"
    SHARE = "share"  # be a second certificate of the same thing


def default_mode(check: str) -> CheckMode:
    """How a check is taken where the rules say nothing: enforced, unless somebody has to provide something first."""
    return _DEFAULT_MODES.get(check, CheckMode.ENFORCE)


_DEFAULT_MODES = {
    "revocation": CheckMode.OFF,  # there is no CRL until somebody publishes one
}


@value
class CaRules:
    """What the devices of one CA must be, and what they become."""

    name: str
    certificate_id: str  # lower-case hex SHA-256 of the CA certificate's DER
    certificate_pem: str
    certificate_mode: CertificateMode
    common_name: str | None = None  # regular expression, full match; None: the common name is not looked at
    serial_number: str | None = None  # the same for the subject's serialNumber
    san_uri: str | None = None  # the same for the URI in subjectAltName
    san_dns: str | None = None  # the same for the DNS name in subjectAltName
    thing_name: str = "{common_name}"
    thing_type: str | None = None
    thing_groups: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    policy: str  # the IoT policy's name
    # The certificate variables that the policy names, in lower case; None: not known, as if it named all of them.
    policy_variables: tuple[str, ...] | None = None
    enrollment: EnrollmentRule = EnrollmentRule.OPEN
    # What an enrollment entry or the hook may give a device besides; the stack makes them.
    extra_types: tuple[str, ...] = ()
    extra_groups: tuple[str, ...] = ()
    hook: str | None = None  # ARN of the function that is asked about devices which passed the checks
    on_reject: OnReject = OnReject.DEACTIVATE
    on_replacement: OnReplacement = OnReplacement.ROTATE
    rotation_window: int = 5_184_000  # seconds before its end in which a certificate may be followed by another
    overlap: int = 604_800  # seconds that both work
    succeeds: str | None = None  # certificate id of the CA whose certificates this one's may follow
    on_stale_crl: OnStaleCrl = OnStaleCrl.HOLD
    checks: Mapping[str, CheckMode] = field(default_factory=dict)
    minimum_remaining_life: int = 0  # seconds
    maximum_life: int | None = None  # seconds from notBefore to notAfter
    rsa_bits: tuple[int, int] = (2048, 8192)  # least and greatest modulus, inclusive
    curves: tuple[str, ...] = ("P-256", "P-384", "P-521")
    brake: BrakeLimits | None = field(default_factory=BrakeLimits)  # None: off

    @property
    def digest(self) -> str:
        """Names this exact set of the CA's rules, under which the brake counts; its own figures are none of them."""
        rules = {name: part for name, part in asdict(self).items() if name != "brake"}
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def patterns(self) -> Mapping[str, str]:
        """What the devices are named by: field of NAMING_FIELDS → its pattern."""
        return {name: written for name in NAMING_FIELDS if (written := getattr(self, name)) is not None}

    @property
    def templates(self) -> tuple[str, ...]:
        """Every template that is filled from a certificate."""
        return (self.thing_name, *self.attributes.values())

    @property
    def policy_uses_certificates(self) -> bool:
        """Whether the devices' policy can hold values of their certificates."""
        return self.policy_variables is None or bool(self.policy_variables)

    @property
    def policy_uses_alternative_names(self) -> bool:
        """Whether it can hold values of subjectAltName."""
        return self.policy_variables is None or any(
            name.startswith(ALTERNATIVE_NAME_VARIABLES) for name in self.policy_variables
        )

    @property
    def asks_hook(self) -> bool:
        """Whether there is a hook, and its check is not off."""
        return self.mode_of(HOOK) is not CheckMode.OFF

    def mode_of(self, check: str) -> CheckMode:
        if check == HOOK and self.hook is None:
            return CheckMode.OFF
        return self.checks.get(check, default_mode(check))


@value
class Rules:
    """The rules of one fleet for one account and Region."""

    fleet: str
    cas: tuple[CaRules, ...]
    pending_after: int = 600  # seconds a certificate may be pending before the sweep takes it up
    horizon: int = 604_800  # seconds that the sweep looks back
    every: int = 900  # seconds from one sweep to the next

    def ca(self, certificate_id: str) -> CaRules | None:
        """The rules for the CA with this certificate id, if it is one of this account's."""
        return next((ca for ca in self.cas if ca.certificate_id == certificate_id), None)

    @property
    def digest(self) -> str:
        """Names this exact set of rules, and what reads certificates under it.

        Decisions carry it, so that a held device is judged anew when either changes.
        """
        return hashlib.sha256(f"{self.to_json()}\n{READERS}".encode()).hexdigest()[:16]

    def to_json(self) -> str:
        return json.dumps({"schema": RULES_SCHEMA, **asdict(self)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises Misconfigured when it is another schema, or does not fit.
        """
        try:
            document = json.loads(text)
            schema = document.pop("schema")
            if schema != RULES_SCHEMA:
                raise Misconfigured(f"{RULES_FILE} has schema {schema}, this code reads {RULES_SCHEMA}: deploy again")
            cas = tuple(_ca_rules(ca) for ca in document.pop("cas"))
            return cls(cas=cas, **document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Misconfigured(f"{RULES_FILE} does not fit this code ({error!r}): deploy again") from error

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """Read rules.json from the root of the function asset (`/var/task`), the folder that holds this package.

        Raises Misconfigured when there is none, or it does not fit.
        """
        path = (directory or Path(__file__).parents[1]) / RULES_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise Misconfigured(
                f"{path} cannot be read ({error.strerror}): the asset was built without rules"
            ) from error
        return cls.from_json(text)


def _ca_rules(document: dict[str, Any]) -> CaRules:
    least, greatest = document.pop("rsa_bits")
    variables = document.pop("policy_variables", None)
    # `jitrctl fleet try-rules` reads what an earlier version deployed, which knew no brake.
    brake = document.pop("brake", asdict(BrakeLimits()))
    return CaRules(
        policy_variables=None if variables is None else tuple(variables),
        certificate_mode=CertificateMode(document.pop("certificate_mode")),
        enrollment=EnrollmentRule(document.pop("enrollment")),
        extra_types=tuple(document.pop("extra_types")),
        extra_groups=tuple(document.pop("extra_groups")),
        on_reject=OnReject(document.pop("on_reject")),
        on_replacement=OnReplacement(document.pop("on_replacement")),
        on_stale_crl=OnStaleCrl(document.pop("on_stale_crl")),
        checks={name: CheckMode(mode) for name, mode in document.pop("checks").items()},
        thing_groups=tuple(document.pop("thing_groups")),
        rsa_bits=(least, greatest),
        curves=tuple(document.pop("curves")),
        brake=None if brake is None else BrakeLimits(**brake),
        **document,
    )
