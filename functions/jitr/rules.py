"""The fleet's rules for one account and Region, as the functions read them.

infra writes `rules.json` next to this package into every stage's function asset; the functions read it once. `fleet/`
checks what people write before the deployment, so reading here is strict and short: a file that does not fit is a
broken deployment.
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

# The versions of both readers of certificates. A certificate that neither can read is held until one of them changes.
# Increment the second reader's number with every change to what it accepts.
READERS = f"readers: cryptography {cryptography.__version__}, second 2"

RULES_SCHEMA = 1
RULES_FILE = "rules.json"

# Subject and certificate fields that a template may use.
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

# Fields that a CA can name its devices by: the certificate must hold exactly one, and the CA's pattern fully match it.
NAMING_FIELDS = ("common_name", "serial_number", "san_uri", "san_dns")

# The prefix of policy variables that AWS IoT fills from a certificate's subject, issuer and alternative names
# (developer guide, "X.509 certificate policy variables"). `iot:CertificateId` is not among them: it holds no wildcard.
CERTIFICATE_VARIABLES = "iot:certificate."
ALTERNATIVE_NAME_VARIABLES = "iot:certificate.subject.alternativename."

# The name of the hook among the checks (admission/check_list.py).
HOOK = "hook"

# The checks that need an issuer; for a source of certificates registered without a CA they are off.
NEED_ISSUER = frozenset({"issuance", "revocation"})
_SOURCE = "registered."


def source_id(name: str) -> str:
    """What records and owners have in place of a CA's id, for certificates of the source `[registered.<name>]`.

    It is no id of a certificate (64 hex digits), so a source is never taken for a CA, nor for another source.
    """
    return f"{_SOURCE}{name}"


def is_source(ca_certificate_id: str | None) -> bool:
    """Whether this names a source and not a CA, also one that fleet.toml no longer has."""
    return ca_certificate_id is not None and ca_certificate_id.startswith(_SOURCE)


class CertificateMode(StrEnum):
    """How a CA is registered in an account (RegisterCACertificate, `certificateMode`)."""

    DEFAULT = "DEFAULT"
    SNI_ONLY = "SNI_ONLY"


class CheckMode(StrEnum):
    """What a failed check does: refuse the device, only record the refusal, or nothing (it is not run)."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


class OnReject(StrEnum):
    """What happens to a certificate that is refused for a final reason."""

    DEACTIVATE = "deactivate"
    REVOKE = "revoke"
    LEAVE = "leave"


class OnStaleCrl(StrEnum):
    """What happens to a device while no CRL is in force."""

    HOLD = "hold"
    ADMIT = "admit"  # and record that it would have been held


class EnrollmentRule(StrEnum):
    """Which devices without an enrollment entry are admitted."""

    OPEN = "open"  # all that pass the other checks
    LISTED = "listed"  # none: an entry has to allow the device
    APPROVE = "approve"  # those that an operator approves


class OnReplacement(StrEnum):
    """What a new certificate may do if another certificate owns its thing name."""

    ROTATE = "rotate"  # take it over, if it looks like a rotation (admission/rotation.py)
    REJECT = "reject"
    SHARE = "share"  # become another certificate of the same thing


def default_mode(check: str) -> CheckMode:
    """The mode of a check without a rule: enforced, unless the fleet must provide something first."""
    return _DEFAULT_MODES.get(check, CheckMode.ENFORCE)


_DEFAULT_MODES = {
    "revocation": CheckMode.OFF,  # a CRL must be published first
}


@value
class CaRules:
    """The requirements for the devices of one CA, or of one source, and what they become.

    A source has the certificates that an operator registers without a CA (`jitrctl device import`).
    """

    name: str
    certificate_id: str  # lower-case hex SHA-256 of the CA certificate's DER; of a source: `source_id`
    certificate_pem: str = ""  # a source has none
    certificate_mode: CertificateMode = CertificateMode.SNI_ONLY  # also that of certificates registered without a CA
    # The fleet file says that a provisioning template is on the CA here: its pending devices are held while it is.
    jitp: bool = False
    common_name: str | None = None  # regular expression, full match; None: not checked
    serial_number: str | None = None  # the same for the subject's serialNumber
    san_uri: str | None = None  # the same for the URI in subjectAltName
    san_dns: str | None = None  # the same for the DNS name in subjectAltName
    thing_name: str = "{common_name}"
    thing_type: str | None = None
    thing_groups: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    billing_group: str | None = None  # of new things, and of existing ones that are in none
    # The first shadow of a thing without one: the request of UpdateThingShadow as JSON, template fields in its strings.
    shadow: str | None = None
    policy: str  # the IoT policy's name
    # The certificate variables that the policy uses, in lower case; None: unknown, treated as all of them.
    policy_variables: tuple[str, ...] | None = None
    enrollment: EnrollmentRule = EnrollmentRule.OPEN
    # What an enrollment entry or the hook may give a device in addition; the stack creates them.
    extra_types: tuple[str, ...] = ()
    extra_groups: tuple[str, ...] = ()
    hook: str | None = None  # the ARN of the hook's function, which decides after all checks passed
    on_reject: OnReject = OnReject.DEACTIVATE
    on_replacement: OnReplacement = OnReplacement.ROTATE
    rotation_window: int = 5_184_000  # seconds before a certificate's end in which another may take over its name
    overlap: int = 604_800  # seconds for which both stay ACTIVE
    succeeds: str | None = None  # certificate id of the CA that this one succeeds in rotations
    on_stale_crl: OnStaleCrl = OnStaleCrl.HOLD
    # What a CRL does to certificates that are registered already. Nothing changes unless fleet.toml says so: REVOKED is
    # final in AWS IoT.
    revocation_of_active: CheckMode = CheckMode.OBSERVE
    checks: Mapping[str, CheckMode] = field(default_factory=dict)
    minimum_remaining_life: int = 0  # seconds
    maximum_life: int | None = None  # seconds from notBefore to notAfter
    rsa_bits: tuple[int, int] = (2048, 8192)  # least and greatest modulus, inclusive
    curves: tuple[str, ...] = ("P-256", "P-384", "P-521")
    brake: BrakeLimits | None = field(default_factory=BrakeLimits)  # None: off

    @property
    def digest(self) -> str:
        """A hash of the CA's rules, by which the brake counts; its limits and `jitp` ask nothing of a device."""
        rules = {name: part for name, part in asdict(self).items() if name not in ("brake", "jitp")}
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def patterns(self) -> Mapping[str, str]:
        """The fields that name the devices (NAMING_FIELDS) → their patterns."""
        return {name: written for name in NAMING_FIELDS if (written := getattr(self, name)) is not None}

    @property
    def templates(self) -> tuple[str, ...]:
        """All templates that are filled from a certificate."""
        return (self.thing_name, *self.attributes.values())

    @property
    def policy_uses_certificates(self) -> bool:
        """Whether the devices' policy uses values of their certificates."""
        return self.policy_variables is None or bool(self.policy_variables)

    @property
    def policy_uses_alternative_names(self) -> bool:
        """Whether the devices' policy uses values of subjectAltName."""
        return self.policy_variables is None or any(
            name.startswith(ALTERNATIVE_NAME_VARIABLES) for name in self.policy_variables
        )

    @property
    def asks_hook(self) -> bool:
        """Whether there is a hook, and its check is not off."""
        return self.mode_of(HOOK) is not CheckMode.OFF

    @property
    def crl_mode(self) -> CheckMode:
        """What a CRL does to registered certificates; nothing where the check of new ones is off."""
        return CheckMode.OFF if self.mode_of("revocation") is CheckMode.OFF else self.revocation_of_active

    @property
    def is_source(self) -> bool:
        """Whether these are the rules of a source and not of a CA."""
        return is_source(self.certificate_id)

    def mode_of(self, check: str) -> CheckMode:
        if (check == HOOK and self.hook is None) or (check in NEED_ISSUER and self.is_source):
            return CheckMode.OFF
        return self.checks.get(check, default_mode(check))


# Fields of Rules that say when the sweep looks, and decide on no device.
_SWEEP = frozenset({"pending_after", "horizon", "every", "device_expiry"})


@value
class Rules:
    """The rules of one fleet for one account and Region."""

    fleet: str
    cas: tuple[CaRules, ...]
    pending_after: int = 600  # seconds that a certificate may be pending before the sweep sends it
    horizon: int = 604_800  # seconds that the sweep looks back
    every: int = 900  # seconds from one sweep to the next
    device_expiry: int = 1_209_600  # seconds before its end in which a device's certificate counts as expiring
    sources: tuple[CaRules, ...] = ()  # of certificates registered without a CA

    @property
    def origins(self) -> tuple[CaRules, ...]:
        """All CAs and sources: where the devices' certificates come from."""
        return (*self.cas, *self.sources)

    def ca(self, certificate_id: str | None) -> CaRules | None:
        """The rules of the CA with this certificate id, or of the source; None if it is None, or not this account's."""
        return next((one for one in self.origins if one.certificate_id == certificate_id), None)

    @property
    def digest(self) -> str:
        """A hash of the rules and of the readers' versions; the sweep's keys are not part of it.

        Decisions carry it, so that a held device is evaluated again when either changes.
        """
        deciding = {name: part for name, part in asdict(self).items() if name not in _SWEEP}
        return hashlib.sha256(f"{_to_json(deciding)}\n{READERS}".encode()).hexdigest()[:16]

    def to_json(self) -> str:
        return _to_json(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises Misconfigured when it has another schema, or does not fit.
        """
        try:
            document = json.loads(text)
            schema = document.pop("schema")
            if schema != RULES_SCHEMA:
                raise Misconfigured(f"{RULES_FILE} has schema {schema}, this code reads {RULES_SCHEMA}: deploy again")
            cas = tuple(_ca_rules(ca) for ca in document.pop("cas"))
            # `jitrctl fleet try-rules` also reads rules of an earlier version, which knew no sources.
            sources = tuple(_ca_rules(one) for one in document.pop("sources", ()))
            return cls(cas=cas, sources=sources, **document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Misconfigured(f"{RULES_FILE} does not fit this code ({error!r}): deploy again") from error

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """Read rules.json from the root of the function's asset (`/var/task`), the folder of this package.

        Raises Misconfigured when it is missing, or does not fit.
        """
        path = (directory or Path(__file__).parents[1]) / RULES_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise Misconfigured(
                f"{path} cannot be read ({error.strerror}): the asset was built without rules"
            ) from error
        return cls.from_json(text)


def _to_json(rules: Mapping[str, Any]) -> str:
    return json.dumps({"schema": RULES_SCHEMA, **rules}, indent=1, sort_keys=True)


def _ca_rules(document: dict[str, Any]) -> CaRules:
    least, greatest = document.pop("rsa_bits")
    variables = document.pop("policy_variables", None)
    # `jitrctl fleet try-rules` also reads rules of an earlier version, which had no brake.
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
        revocation_of_active=CheckMode(document.pop("revocation_of_active", CheckMode.OBSERVE)),
        checks={name: CheckMode(mode) for name, mode in document.pop("checks").items()},
        thing_groups=tuple(document.pop("thing_groups")),
        rsa_bits=(least, greatest),
        curves=tuple(document.pop("curves")),
        brake=None if brake is None else BrakeLimits(**brake),
        **document,
    )
