"""Makes up a device that a CA would admit: the names that its certificate and its thing have, for policies to be tried.

A sample, since a policy is the same for all devices of a CA: what depends on the sample's own names says nothing about
the other devices, and is marked so. What only an entry, the hook or the certificate decides is not known.
"""

import re
from re import _compiler, _constants, _parser  # type: ignore[attr-defined] # what re itself uses, since Python 3.11
from typing import Any

from jitr.admission.naming import THING_NAME
from jitr.frozen import value
from jitr.provisioning import OWNER_ATTRIBUTE
from jitr.rules import NAMING_FIELDS
from jitr_fleet.model import Origin
from jitr_fleet.names import FIELD

# In this order a character is chosen: no policy is likely to name a device with these alone.
_CHARACTERS = "7kK-_.:/@ " + "".join(map(chr, range(33, 127)))
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
_FALLBACK = "sample"
_ATTRIBUTE = "iot:Connection.Thing.Attributes[{}]"


@value
class SampleDevice:
    """A made-up device, as AWS IoT sees it in a connection under its thing's name."""

    thing_name: str
    context: dict[str, str | None]  # policy variables and condition keys; None: it has no such value
    own_names: frozenset[str]  # those keys whose values are this device's alone


def make_up_device(ca: Origin) -> SampleDevice:
    """A device of the CA or source; of several possible thing types the CA's own."""
    fields = _make_up_fields(ca)
    thing_name = _fill(ca.thing_name, fields)
    if not THING_NAME.fullmatch(thing_name):
        thing_name = _FALLBACK
    own = {"iot:ClientId": thing_name, "iot:Connection.Thing.ThingName": thing_name}
    if "common_name" in fields:
        own["iot:Certificate.Subject.CommonName"] = fields["common_name"]
    own["iot:CertificateId"] = own[_ATTRIBUTE.format(OWNER_ATTRIBUTE)] = "7" * 64
    context: dict[str, str | None] = {"iot:Connection.Thing.IsAttached": "true"}
    if ca.thing_type or not ca.extra_types:
        context["iot:Connection.Thing.ThingTypeName"] = ca.thing_type
    for name, template in ca.attributes.items():
        (own if FIELD.search(template) else context)[_ATTRIBUTE.format(name)] = _fill(template, fields)
    # A plain connection: a clean session, no last will.
    context |= {"iot:ConnectAttributes": None, "iot:LastWillTopic": None}
    return SampleDevice(thing_name=thing_name, context={**context, **own}, own_names=frozenset(own))


def make_up_name(ca: Origin) -> str | None:
    """A name that a device of the CA may have in its certificate; None when none of them can name a thing."""
    fields = _make_up_fields(ca)
    return next((fields[name] for name in NAMING_FIELDS if THING_NAME.fullmatch(fields.get(name, ""))), None)


def _make_up_fields(ca: Origin) -> dict[str, str]:
    """The fields that the CA's patterns speak of, and their named groups."""
    fields: dict[str, str] = {}
    for name in NAMING_FIELDS:
        pattern = getattr(ca, name)
        found = re.fullmatch(pattern, _make_example(pattern)) if pattern else None
        if found:
            fields |= {name: found[0], **{group: text or "" for group, text in found.groupdict().items()}}
    return fields


def _fill(template: str, fields: dict[str, str]) -> str:
    return FIELD.sub(lambda found: fields.get(found[1], _FALLBACK), template)


def _make_example(pattern: str) -> str:
    """A text that a pattern matches; as a rule, for boundaries are not looked at."""
    parsed = _parser.parse(pattern)
    return "".join(_make_texts(parsed, parsed.state, parsed.state.flags))


def _make_texts(items: Any, state: Any, flags: int) -> list[str]:
    texts = []
    for kind, inside in items:
        if kind is _constants.SUBPATTERN:
            texts += _make_texts(inside[-1], state, (flags | inside[1]) & ~inside[2])
        elif kind is _constants.ATOMIC_GROUP:
            texts += _make_texts(inside, state, flags)
        elif kind is _constants.BRANCH:
            texts += _make_texts(inside[1][0], state, flags)
        elif kind in _REPEATS:
            texts += _make_texts(inside[2], state, flags) * inside[0]
        elif kind is not _constants.AT:
            one = _compiler.compile(_parser.SubPattern(state, [(kind, inside)]), flags)
            literal = chr(inside) if kind is _constants.LITERAL else ""
            texts.append(literal or next(filter(one.fullmatch, _CHARACTERS), ""))
    return texts
