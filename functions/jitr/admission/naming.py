"""From a certificate's subject to names that AWS IoT allows, or a refusal that says why not.

A value that does not fit is refused, never rewritten: a rewritten name can be another device's name.
"""

import re
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

# Every thing carries an attribute of ours; names that begin like it are nobody else's.
RESERVED_PREFIX = "jitr"

# Quotas: static thing groups per thing; attributes per thing, 3 without a thing type, 50 (adjustable) with one.
MOST_GROUPS = 10
MOST_ATTRIBUTES_UNTYPED = 3 - 1  # one is ours
MOST_ATTRIBUTES_TYPED = 50 - 1

# Developer guide, "X.509 certificate policy variables": a value with one of these is not substituted, or, inside a
# topic filter, widens it.
POLICY_WILDCARDS = frozenset("*$+?#")

# What a pattern is tried on. A common name has at most 64 characters (RFC 5280, ub-common-name), a thing name 128; with
# fleet/jitr_fleet/patterns.py, which refuses patterns that backtrack without end, this bounds the work.
MATCHED_LENGTH = 256
# Each field that devices can be named by: its word, and why a certificate is refused without one, with several, or
# with one that does not match.
_WORDS = {
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
# Fields that stand in an extension.
_EXTENSIONS = {
    "san_uri": ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    "san_dns": ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    "subject_key_identifier": ExtensionOID.SUBJECT_KEY_IDENTIFIER,
}
_SHOWN = 130  # characters of a certificate's value in a detail: a thing name that is a little too long stays whole


def refuse_policy_wildcards(rules: CaRules, certificate: Certificate) -> None:
    """Refuse a value that an IoT policy variable must not carry, where the policy or a template can use it.

    Looked at are the values that the device is named by and those that templates use; and everything that a policy
    variable can be filled with, where the CA's policy names any.

    Raises Rejected(SUBJECT_UNSAFE), and as `_field_values` does.
    """
    used = dict.fromkeys((*rules.patterns, *_template_fields(rules)))
    looked_at = {field: _field_values(field, certificate) for field in used if field in TEMPLATE_FIELDS}
    if rules.policy_uses_certificates:
        if rules.policy_uses_alternative_names:
            _refuse_unreadable("san_uri", certificate)
        looked_at = {**certificate.policy_values(), **looked_at}
    for field, values in looked_at.items():
        if any(not POLICY_WILDCARDS.isdisjoint(value) for value in values):
            raise Rejected(
                Reason.SUBJECT_UNSAFE,
                f"a value of {field} holds one of {' '.join(sorted(POLICY_WILDCARDS))}, which would widen a policy",
            )


def check_named(rules: CaRules, certificate: Certificate) -> None:
    """Refuse a certificate that does not hold each field that its CA names devices by exactly once, fully matching.

    Raises Rejected with the field's own reason, and as `_field_values` does.
    """
    for field in rules.patterns:
        _match(field, rules, certificate)


def _match(field: str, rules: CaRules, certificate: Certificate) -> re.Match[str]:
    """What the CA's pattern for a field makes of the one value that the certificate holds of it.

    Raises Rejected with the field's own reason, and as `_field_values` does.
    """
    values, word = _field_values(field, certificate), _WORDS[field]
    missing, ambiguous, refused = _REASONS[field]
    if not values or not values[0]:
        raise Rejected(missing, f"the certificate holds no {word}; issue it with one")
    if len(values) > 1:
        raise Rejected(ambiguous, f"the certificate holds {len(values)} {word}s; issue it with one")
    value, pattern = values[0], rules.patterns[field]
    # What is longer than any name is not even tried.
    match = re.fullmatch(pattern, value) if len(value) <= MATCHED_LENGTH else None
    if match is None:
        raise Rejected(refused, f"{word} {shown(value)} does not match {pattern!a}")
    return match


@lru_cache(maxsize=64)
def _parts(template: str) -> tuple[tuple[str, str | None], ...]:
    """A template's literal texts, each with the field behind it; None at its end."""
    return tuple((literal, field) for literal, field, _spec, _conversion in Formatter().parse(template))


def _template_fields(rules: CaRules) -> tuple[str, ...]:
    return tuple(field for template in rules.templates for _, field in _parts(template) if field is not None)


def _field_values(field: str, certificate: Certificate) -> tuple[str, ...]:
    """The values of a template field.

    Raises Rejected(EXTENSIONS_UNREADABLE) when it stands in an extension that cannot be read.
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


def shown(value: str) -> str:
    """A certificate's value in a detail: ASCII, in quotes, and no longer than a line."""
    return ascii(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")


def thing_name(rules: CaRules, certificate: Certificate) -> str:
    """The thing's name.

    Raises Rejected(NAME_NOT_LEGAL, SUBJECT_FIELD_MISSING), and as `_value` does.
    """
    name = _fill(rules.thing_name, rules, certificate)
    if not THING_NAME.fullmatch(name):
        raise Rejected(
            Reason.NAME_NOT_LEGAL,
            f"the thing name {shown(name)} is not 1 to 128 of the characters a-z A-Z 0-9 : _ -",
        )
    for _, named in _parts(rules.thing_name):
        if named in TEMPLATE_FIELDS and _field_values(named, certificate) == ("",):
            # Every device with an empty field would ask for the same name.
            raise Rejected(
                Reason.SUBJECT_FIELD_MISSING, f"the thing name uses {{{named}}}, and it is empty in the certificate"
            )
    return name


def attribute_value(attribute: str, rules: CaRules, certificate: Certificate) -> str:
    """The value of one thing attribute of the rules.

    Raises Rejected(NAME_NOT_LEGAL, SUBJECT_FIELD_MISSING), and as `_value` does.
    """
    value = _fill(rules.attributes[attribute], rules, certificate)
    if not ATTRIBUTE_VALUE.fullmatch(value):
        raise Rejected(
            Reason.NAME_NOT_LEGAL,
            f"the value {shown(value)} of attribute {attribute} is not up to 800 of a-z A-Z 0-9 _ . , @ / : # = [ ] -",
        )
    return value


def _fill(template: str, rules: CaRules, certificate: Certificate) -> str:
    """Put the certificate's values into a template whose syntax and fields `fleet/` has checked."""
    return "".join(
        literal + ("" if field is None else _value(field, rules, certificate)) for literal, field in _parts(template)
    )


def _value(field: str, rules: CaRules, certificate: Certificate) -> str:
    """The one value of a field, or what a named group of one of the CA's patterns matches.

    Raises Rejected(SUBJECT_FIELD_MISSING), and as `_match` and `_field_values` do.
    """
    if field not in TEMPLATE_FIELDS:
        source = next(name for name, pattern in rules.patterns.items() if field in re.compile(pattern).groupindex)
        return _match(source, rules, certificate)[field]
    values = _field_values(field, certificate)
    if len(values) != 1:
        raise Rejected(
            Reason.SUBJECT_FIELD_MISSING,
            f"the rules use {{{field}}}, and the certificate holds {len(values) or 'none'} of it; it takes exactly one",
        )
    return values[0]
