"""Makes thing names and attribute values that AWS IoT allows from a certificate, or refuses it.

A value that does not fit is refused, never rewritten: a rewritten name could be another device's name.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from string import Formatter

from cryptography.x509.oid import ExtensionOID

from jitr.errors import Reason, Rejected
from jitr.rules import TEMPLATE_FIELDS, CaRules
from jitr.x509.certificate import Certificate
from jitr.x509.extensions import extension_name

# IoT API reference: CreateThing thingName; AttributePayload attribute values (no spaces, "+", "*" or non-ASCII).
THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
ATTRIBUTE_NAME = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")
ATTRIBUTE_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")

# Every thing has an attribute of jitr's; attribute names with this prefix are reserved.
RESERVED_PREFIX = "jitr"

# Quotas: static thing groups per thing; attributes per thing, 3 without a thing type, 50 (adjustable) with one.
MOST_GROUPS = 10
MOST_ATTRIBUTES_UNTYPED = 3 - 1  # one is jitr's
MOST_ATTRIBUTES_TYPED = 50 - 1

# Developer guide, "X.509 certificate policy variables": a value with one of these is not substituted, or, inside a
# topic filter, widens it.
POLICY_WILDCARDS = frozenset("*$+?#")

# The longest value that a pattern is matched against. A common name has at most 64 characters (RFC 5280,
# ub-common-name), a thing name 128. With fleet/jitr_fleet/patterns.py, which refuses patterns with catastrophic
# backtracking, this bounds the work.
MATCHED_LENGTH = 256
# Each naming field: its name in messages, and the reasons for none, several, or one that does not match.
_LABELS = {
    "common_name": "common name",
    "serial_number": "serialNumber of the subject",
    "san_uri": "URI of subjectAltName",
    "san_dns": "DNS name of subjectAltName",
}
_REASONS = {
    "common_name": (Reason.COMMON_NAME_MISSING, Reason.COMMON_NAME_AMBIGUOUS, Reason.COMMON_NAME_REFUSED),
    "serial_number": (Reason.SERIAL_NUMBER_REFUSED,) * 3,
    "san_uri": (Reason.SAN_URI_REFUSED,) * 3,
    "san_dns": (Reason.SAN_DNS_REFUSED,) * 3,
}
# Fields that come from an extension.
_EXTENSIONS = {
    "san_uri": ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    "san_dns": ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    "subject_key_identifier": ExtensionOID.SUBJECT_KEY_IDENTIFIER,
}
_QUOTED = 130  # characters of a value in a detail; a thing name that is slightly too long is shown whole


def refuse_policy_wildcards(rules: CaRules, certificate: Certificate) -> None:
    """Refuse a value with a policy wildcard, if the policy or a template can use the value.

    These are the naming fields and those of the templates; and if the CA's policy uses certificate variables, every
    value that can fill one.

    Raises Rejected(SUBJECT_UNSAFE), and as `_field_values` does.
    """
    used = dict.fromkeys((*rules.patterns, *_template_fields(rules)))
    checked = {field: _field_values(field, certificate) for field in used if field in TEMPLATE_FIELDS}
    if rules.policy_uses_certificates:
        if rules.policy_uses_alternative_names:
            _refuse_unreadable("san_uri", certificate)
        checked = {**certificate.policy_values(), **checked}
    for field, values in checked.items():
        if any(not POLICY_WILDCARDS.isdisjoint(value) for value in values):
            raise Rejected(
                Reason.SUBJECT_UNSAFE,
                f"a value of {field} holds one of {' '.join(sorted(POLICY_WILDCARDS))}, which would widen a policy",
            )


def check_naming_fields(rules: CaRules, certificate: Certificate) -> None:
    """Refuse a certificate unless it holds each naming field of its CA exactly once, fully matching its pattern.

    Raises Rejected with the field's own reason, and as `_field_values` does.
    """
    for field in rules.patterns:
        _match(field, rules, certificate)


def _match(field: str, rules: CaRules, certificate: Certificate) -> re.Match[str]:
    """Match the certificate's one value of a field with the CA's pattern.

    Raises Rejected with the field's own reason, and as `_field_values` does.
    """
    values, label = _field_values(field, certificate), _LABELS[field]
    missing, ambiguous, refused = _REASONS[field]
    if not values or not values[0]:
        raise Rejected(missing, f"the certificate holds no {label}; issue it with one")
    if len(values) > 1:
        raise Rejected(ambiguous, f"the certificate holds {len(values)} {label}s; issue it with one")
    value, pattern = values[0], rules.patterns[field]
    match = re.fullmatch(pattern, value) if len(value) <= MATCHED_LENGTH else None
    if match is None:
        raise Rejected(refused, f"{label} {quote(value)} does not match {pattern!a}")
    return match


@lru_cache(maxsize=64)
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    """A template's literal texts, each with the field that follows it; None at the end."""
    return tuple((literal, field) for literal, field, _spec, _conversion in Formatter().parse(template))


def _template_fields(rules: CaRules) -> tuple[str, ...]:
    return tuple(field for template in rules.templates for _, field in _parts(template) if field is not None)


def _field_values(field: str, certificate: Certificate) -> tuple[str, ...]:
    """The values of a template field.

    Raises Rejected(EXTENSIONS_UNREADABLE) when it comes from an extension that cannot be read.
    """
    _refuse_unreadable(field, certificate)
    return certificate.field_values(field)


def _refuse_unreadable(field: str, certificate: Certificate) -> None:
    extension = _EXTENSIONS.get(field)
    why = certificate.extensions.why_unreadable(extension.dotted_string) if extension else None
    if extension and why:
        raise Rejected(
            Reason.EXTENSIONS_UNREADABLE,
            f"{extension_name(extension.dotted_string)} cannot be read, and the rules need it: {why}",
        )


def quote(value: str) -> str:
    """A certificate's value for a message: ASCII, in quotes, cut to the length of a line."""
    return ascii(value if len(value) <= _QUOTED else f"{value[:_QUOTED]}...")


def thing_name(rules: CaRules, certificate: Certificate) -> str:
    """The thing name that the rules make of a certificate.

    Raises Rejected(NAME_NOT_LEGAL, SUBJECT_FIELD_MISSING), and as `_value` does.
    """
    name = fill(rules.thing_name, rules, certificate)
    if not THING_NAME.fullmatch(name):
        raise Rejected(
            Reason.NAME_NOT_LEGAL,
            f"the thing name {quote(name)} is not 1 to 128 of the characters a-z A-Z 0-9 : _ -",
        )
    for _, named in _parts(rules.thing_name):
        if named in TEMPLATE_FIELDS and _field_values(named, certificate) == ("",):
            # All devices with an empty field would get the same name.
            raise Rejected(
                Reason.SUBJECT_FIELD_MISSING, f"the thing name uses {{{named}}}, and it is empty in the certificate"
            )
    return name


def attribute_value(attribute: str, rules: CaRules, certificate: Certificate) -> str:
    """The value that the rules make for one thing attribute.

    Raises Rejected(NAME_NOT_LEGAL, SUBJECT_FIELD_MISSING), and as `_value` does.
    """
    value = fill(rules.attributes[attribute], rules, certificate)
    if not ATTRIBUTE_VALUE.fullmatch(value):
        raise Rejected(
            Reason.NAME_NOT_LEGAL,
            f"the value {quote(value)} of attribute {attribute} is not up to 800 of a-z A-Z 0-9 _ . , @ / : # = [ ] -",
        )
    return value


def fill(template: str, rules: CaRules, certificate: Certificate, known: Mapping[str, str] | None = None) -> str:
    """Fill a template with the certificate's values; `fleet/` has checked its syntax and fields.

    `known` are values of fields that are not the certificate's.

    Raises Rejected(SUBJECT_FIELD_MISSING), and as `_value` does.
    """

    def value(field: str | None) -> str:
        if field is None:
            return ""
        return known[field] if known and field in known else _value(field, rules, certificate)

    return "".join(literal + value(field) for literal, field in _parts(template))


def _value(field: str, rules: CaRules, certificate: Certificate) -> str:
    """The one value of a field, or of a named group in one of the CA's patterns.

    Raises Rejected(SUBJECT_FIELD_MISSING), and as `_match` and `_field_values` do.
    """
    if field not in TEMPLATE_FIELDS:
        source = next(name for name, pattern in rules.patterns.items() if field in re.compile(pattern).groupindex)
        return _match(source, rules, certificate)[field]
    values = _field_values(field, certificate)
    if len(values) != 1:
        raise Rejected(
            Reason.SUBJECT_FIELD_MISSING,
            f"the rules use {{{field}}}, and the certificate holds {len(values) or 'none'} of it; it needs exactly one",
        )
    return values[0]
