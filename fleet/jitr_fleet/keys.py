"""Declares every key of fleet.toml, one row each: its type, reader and default, or that it is required.

A new key is a row here, a field in model.py and a row in docs/fleet.md, which a test compares with these tables. How
keys of different tables have to agree is checked in checks.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jitr.admission.check_list import MODES
from jitr.admission.naming import MOST_GROUPS
from jitr.brake import EVERYTHING, BrakeLimits
from jitr.rules import (
    NEED_ISSUER,
    CertificateMode,
    CheckMode,
    EnrollmentRule,
    OnReject,
    OnReplacement,
    OnStaleCrl,
    default_mode,
)
from jitr_fleet.choices import BrakeMode, IotLogging, RegisteredBy
from jitr_fleet.endpoint_urls import endpoint_urls
from jitr_fleet.names import (
    account_id,
    attributes,
    boundary,
    fleet_name,
    function_arn,
    kms_key,
    organization,
    own_name,
    region,
    role_arn,
    tags,
    thing_name,
    thing_word,
    topic,
)
from jitr_fleet.problems import KeyPosition, guess_word, suggest
from jitr_fleet.values import (
    Reader,
    choice,
    duration,
    each,
    flag,
    integer,
    integers,
    one_of,
    path,
    pattern,
    rate,
    text,
    type_of,
)

REQUIRED = object()

CURVES = ["P-256", "P-384", "P-521"]  # what AWS IoT accepts in device certificates
MAX_EXTRAS = 20  # each group is an ARN in the function's role, whose policies have 10,240 characters (IAM quota)
# AWS's own provisioning tool asks for quotas of 100 per second; more than ten times that is a mistake.
MAX_ACTIVATIONS = 1000
# One device in ten seconds: at a lower rate, a call's turn would come after the function's timeout (60 s).
MIN_ACTIVATIONS = 0.1
MAX_RSA_BITS = 16_384  # cryptography and OpenSSL verify no larger modulus

# The values of a table: each key that could be read, under its name. A key that could not be read is left out.
Draft = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: its type in words, its reader, its default as TOML would write it.

    `default` REQUIRED means that the key must be given, and `example` shows what to write; None means that the key may
    be left out and has no default.
    """

    kind: str
    read: Reader
    default: object = REQUIRED
    example: str = ""


Keys = Mapping[str, Key]


def table(keys: Keys) -> Reader:
    """Read a table with exactly these keys into a Draft."""

    def read(value: object, place: KeyPosition) -> Draft | None:
        if not isinstance(value, dict):
            place.problem(f"is {type_of(value)}, a table is expected", f"write keys below [{place}]")
            return None
        unknown = [name for name in value if name not in keys]
        for name in unknown:
            place.at(name).problem("is not a key of fleet.toml", suggest(name, keys))
        misspelled = {guess_word(name, keys) for name in unknown}
        draft: Draft = {}
        for name, key in keys.items():
            here = place.at(name)
            written = value.get(name, key.default)
            if written is REQUIRED:
                if name not in misspelled:
                    here.problem("is missing", f"add {key.example}")
            elif written is None:
                if name not in misspelled:
                    draft[name] = None
            elif (read_value := key.read(written, here)) is not None:
                draft[name] = read_value
        return draft

    return read


def tables_by_name(keys: Keys, example: str, *, may_be_empty: bool = False) -> Reader:
    """Read a table of tables with names of the user's choice, such as [ca.*], into a Draft for each name."""

    def read(value: object, place: KeyPosition) -> dict[str, Draft] | None:
        if not isinstance(value, dict):
            place.problem(f"is {type_of(value)}, a table is expected", f"write {example}")
            return None
        if not value and not may_be_empty:
            place.problem("is empty", f"add {example}")
        drafts: dict[str, Draft] = {}
        for name, written in value.items():
            here = place.at(name)
            own_name(name, here)
            drafts[name] = table(keys)(written, here) or {}
        return drafts

    return read


FLEET: Keys = {
    "name": Key(kind="name", read=fleet_name, example='name = "acme"'),
}

CHECK_MODES: Keys = {
    check: Key(kind="enforce, observe or off", read=choice(CheckMode), default=default_mode(check).value)
    for check in MODES
}

_LIMITS = BrakeLimits()
# Larger limits would in effect switch the brake off.
MAX_REFUSED, MAX_GROWTH = 100_000, 1000

BRAKE: Keys = {
    "mode": Key(kind="on or off", read=choice(BrakeMode), default="on"),
    "refused": Key(kind="integer", read=integer(least=0, greatest=MAX_REFUSED), default=_LIMITS.refused),
    "share": Key(kind="number", read=rate(greatest=EVERYTHING), default=_LIMITS.share),
    "growth": Key(kind="number", read=rate(greatest=MAX_GROWTH), default=_LIMITS.growth),
}

CA: Keys = {
    "certificate": Key(kind="path", read=path, example='certificate = "certs/factory.pem"'),
    "common_name": Key(kind="pattern", read=pattern, default=None),
    "serial_number": Key(kind="pattern", read=pattern, default=None),
    "san_uri": Key(kind="pattern", read=pattern, default=None),
    "san_dns": Key(kind="pattern", read=pattern, default=None),
    "thing_name": Key(kind="template", read=thing_name, default="{common_name}"),
    "thing_type": Key(kind="text", read=thing_word, default=None),
    "thing_groups": Key(kind="list of texts", read=each(thing_word, greatest=MOST_GROUPS), default=[]),
    "attributes": Key(kind="table of templates", read=attributes, default={}),
    "billing_group": Key(kind="text", read=thing_word, default=None),
    "existing": Key(kind="boolean", read=flag, default=False),
    "shadow": Key(kind="path", read=path, default=None),
    "policy": Key(kind="path", read=path, default=None),
    "registered_by": Key(kind="jitrctl or stack", read=choice(RegisteredBy), default="jitrctl"),
    "enrollment": Key(kind="open, listed or approve", read=choice(EnrollmentRule), default="open"),
    "extra_types": Key(kind="list of texts", read=each(thing_word, greatest=MAX_EXTRAS), default=[]),
    "extra_groups": Key(kind="list of texts", read=each(thing_word, greatest=MAX_EXTRAS), default=[]),
    "hook": Key(kind="ARN of a function", read=function_arn, default=None),
    "home": Key(kind="list of accounts' names", read=each(text), default=[]),
    "on_reject": Key(kind="deactivate, revoke or leave", read=choice(OnReject), default="deactivate"),
    "on_replacement": Key(kind="rotate, reject or share", read=choice(OnReplacement), default="rotate"),
    "on_stale_crl": Key(kind="hold or admit", read=choice(OnStaleCrl), default="hold"),
    "revocation_of_active": Key(kind="enforce, observe or off", read=choice(CheckMode), default="observe"),
    "rotation_window": Key(kind="duration", read=duration(), default="60d"),
    "overlap": Key(kind="duration", read=duration(), default="7d"),
    "succeeds": Key(kind="name of a CA", read=text, default=None),
    "minimum_remaining_life": Key(kind="duration", read=duration(), default="0s"),
    "maximum_life": Key(kind="duration", read=duration(least=1), default=None),
    "rsa_bits": Key(kind="two integers", read=integers(least=2048, greatest=MAX_RSA_BITS), default=[2048, 8192]),
    "curves": Key(kind="list of P-256, P-384, P-521", read=each(one_of(CURVES)), default=CURVES),
    "checks": Key(kind="table", read=table(CHECK_MODES), default={}),
    "brake": Key(kind="table", read=table(BRAKE), default={}),
}

# A source of certificates registered without a CA has a CA's keys, except those that are about the CA itself, its CRLs,
# and what happens to certificates that devices registered.
_OF_CAS_ALONE = {
    "certificate",
    "registered_by",
    "home",
    "on_reject",
    "on_stale_crl",
    "revocation_of_active",
    "succeeds",
    "checks",
    "brake",
}
SOURCE_CHECK_MODES: Keys = {check: key for check, key in CHECK_MODES.items() if check not in NEED_ISSUER}
SOURCE: Keys = {
    **{name: key for name, key in CA.items() if name not in _OF_CAS_ALONE},
    "checks": Key(kind="table", read=table(SOURCE_CHECK_MODES), default={}),
}

SWEEP: Keys = {
    "every": Key(kind="duration", read=duration(least=60, greatest=86_400), default="15m"),
    "pending_after": Key(kind="duration", read=duration(least=1), default="10m"),
    "horizon": Key(kind="duration", read=duration(least=60), default="7d"),
}

HUB: Keys = {
    "account": Key(kind="name of an account", read=text, example='account = "prod"'),
    "region": Key(kind="Region", read=region, default=None),
    "organization": Key(kind="id of an organization", read=organization, default=None),
}

STACK: Keys = {
    "tags": Key(kind="table of texts", read=tags, default={}),
    "permission_boundary": Key(kind="ARN of a managed policy", read=boundary, default=None),
    "termination_protection": Key(kind="boolean", read=flag, default=False),
    "iot_logging": Key(kind="off, error, warn, info or debug", read=choice(IotLogging), default=None),
    "snap_start": Key(kind="boolean", read=flag, default=False),
    "kms_key": Key(kind="ARN of a KMS key", read=kms_key, default=None),
}

ALARMS: Keys = {
    "topic": Key(kind="ARN of an SNS topic", read=topic, default=None),
    "backlog": Key(kind="duration", read=duration(least=60), default="15m"),
    "rejection_rate": Key(kind="number", read=rate(greatest=100), default=20),
    "ca_expiry": Key(kind="duration", read=duration(least=86_400), default="90d"),
    "device_expiry": Key(kind="duration", read=duration(least=86_400), default="14d"),
}

METRICS: Keys = {
    "rejections_by_reason": Key(kind="boolean", read=flag, default=False),
}

REGISTRATION: Keys = {
    "mode": Key(kind="DEFAULT or SNI_ONLY", read=choice(CertificateMode), example='mode = "SNI_ONLY"'),
    "verification_certificate": Key(kind="path", read=path, default=None),
    "registered_by": Key(kind="jitrctl or stack", read=choice(RegisteredBy), default=None),
    "jitp": Key(kind="boolean", read=flag, default=False),
}

ACCOUNT: Keys = {
    "id": Key(kind="12 digits in quotes", read=account_id, example='id = "111111111111"'),
    "regions": Key(kind="list of Regions", read=each(region, least=1), example='regions = ["eu-central-1"]'),
    "profile": Key(kind="text", read=text, default=None),
    "role_arn": Key(kind="ARN of a role", read=role_arn, default=None),
    "endpoint_url": Key(kind="URL, or table of URLs", read=endpoint_urls, default=None),
    "activations_per_second": Key(
        kind="number", read=rate(least=MIN_ACTIVATIONS, greatest=MAX_ACTIVATIONS), default=10
    ),
    "kms_key": Key(kind="ARN of a KMS key", read=kms_key, default=None),
    "snap_start": Key(kind="boolean", read=flag, default=None),
    # An account needs a CA or a source: checks.py.
    "ca": Key(
        kind="table",
        read=tables_by_name(REGISTRATION, 'ca.factory = { mode = "SNI_ONLY" }', may_be_empty=True),
        default={},
    ),
    "registered": Key(kind="table", read=tables_by_name({}, "registered.maker = {}"), default=None),
}

DOCUMENT: Keys = {
    "fleet": Key(kind="table", read=table(FLEET), example='[fleet] with name = "acme"'),
    "ca": Key(kind="table", read=tables_by_name(CA, "a table [ca.factory]", may_be_empty=True), default={}),
    "registered": Key(kind="table", read=tables_by_name(SOURCE, "a table [registered.maker]"), default=None),
    "sweep": Key(kind="table", read=table(SWEEP), default={}),
    "stack": Key(kind="table", read=table(STACK), default={}),
    "alarms": Key(kind="table", read=table(ALARMS), default={}),
    "hub": Key(kind="table", read=table(HUB), default=None),
    "metrics": Key(kind="table", read=table(METRICS), default={}),
    "account": Key(
        kind="table", read=tables_by_name(ACCOUNT, "a table [account.dev]"), example="a table [account.dev]"
    ),
}

# The tables under the headings that docs/fleet.md gives them.
TABLES: Mapping[str, Keys] = {
    "fleet": FLEET,
    "ca.<name>": CA,
    "ca.<name>.checks": CHECK_MODES,
    "ca.<name>.brake": BRAKE,
    "registered.<name>": SOURCE,
    "registered.<name>.checks": SOURCE_CHECK_MODES,
    "sweep": SWEEP,
    "hub": HUB,
    "stack": STACK,
    "alarms": ALARMS,
    "metrics": METRICS,
    "account.<name>": ACCOUNT,
    "account.<name>.ca.<ca>": REGISTRATION,
}
