"""From a certificate's subject to names that AWS IoT allows, or a refusal that says why not.

A value that does not fit is refused, never rewritten: a rewritten name can be another device's name.
"""

import re
from string import Formatter

from jitr.certificates import Certificate
from jitr.errors import Reason, Rejected

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
# fleet/patterns.py, which refuses patterns that backtrack without end, this bounds the work.
MATCHED_LENGTH = 256
_SHOWN = 130  # characters of a certificate's value in a detail: a thing name that is a little too long stays whole


def refuse_policy_wildcards(certificate: Certificate) -> None:
    """Refuse a subject value that an IoT policy variable must not carry.

    Raises Rejected(SUBJECT_UNSAFE).
    """
    for field, values in certificate.policy_values().items():
        if any(POLICY_WILDCARDS & set(value) for value in values):
            raise Rejected(
                Reason.SUBJECT_UNSAFE,
                f"the subject's {field} holds one of {' '.join(sorted(POLICY_WILDCARDS))}, which would widen a policy",
            )


def only_common_name(certificate: Certificate) -> str:
    """The subject's one common name.

    Raises Rejected(COMMON_NAME_MISSING or COMMON_NAME_AMBIGUOUS).
    """
    names = certificate.field_values("common_name")
    if not names or not names[0]:
        raise Rejected(Reason.COMMON_NAME_MISSING, "the subject holds no common name; issue the certificate with one")
    if len(names) > 1:
        raise Rejected(Reason.COMMON_NAME_AMBIGUOUS, f"the subject holds {len(names)} common names; issue it with one")
    return names[0]


def only_uri(certificate: Certificate) -> str:
    """The one URI in the certificate's subjectAltName.

    Raises Rejected(SAN_URI_REFUSED).
    """
    uris = certificate.field_values("san_uri")
    if len(uris) != 1:
        raise Rejected(
            Reason.SAN_URI_REFUSED, f"subjectAltName holds {len(uris) or 'no'} URIs; issue the certificate with one"
        )
    return uris[0]


def matches(pattern: str, value: str) -> bool:
    """Whether a CA's pattern matches the whole value; one that is longer than any name is not even tried."""
    return len(value) <= MATCHED_LENGTH and re.fullmatch(pattern, value) is not None


def shown(value: str) -> str:
    """A certificate's value in a detail: ASCII, in quotes, and no longer than a line."""
    return ascii(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")


def thing_name(template: str, certificate: Certificate) -> str:
    """The thing's name.

    Raises Rejected(NAME_NOT_LEGAL, SUBJECT_FIELD_MISSING).
    """
    name = _fill(template, certificate)
    if not THING_NAME.fullmatch(name):
        raise Rejected(
            Reason.NAME_NOT_LEGAL,
            f"the thing name {shown(name)} is not 1 to 128 of the characters a-z A-Z 0-9 : _ -",
        )
    return name


def attribute_value(attribute: str, template: str, certificate: Certificate) -> str:
    """The value of one thing attribute.

    Raises Rejected(NAME_NOT_LEGAL, SUBJECT_FIELD_MISSING).
    """
    value = _fill(template, certificate)
    if not ATTRIBUTE_VALUE.fullmatch(value):
        raise Rejected(
            Reason.NAME_NOT_LEGAL,
            f"the value {shown(value)} of attribute {attribute} is not up to 800 of a-z A-Z 0-9 _ . , @ / : # = [ ] -",
        )
    return value


def _fill(template: str, certificate: Certificate) -> str:
    """Put the certificate's values into a template whose syntax and fields `fleet/` has checked."""
    return "".join(
        literal + ("" if field is None else _single_value(field, certificate))
        for literal, field, _spec, _conversion in Formatter().parse(template)
    )


def _single_value(field: str, certificate: Certificate) -> str:
    values = certificate.field_values(field)
    if len(values) != 1:
        raise Rejected(
            Reason.SUBJECT_FIELD_MISSING,
            f"the rules use {{{field}}}, and the certificate holds {len(values) or 'none'} of it; it takes exactly one",
        )
    return values[0]
