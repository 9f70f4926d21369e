"""Makes the block `[ca.NAME]` of fleet.toml from a translated template, with its policy document: pure.

Source: IoT developer guide, "Just-in-time provisioning" and "Provisioning templates".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jitr.admission.naming import MOST_ATTRIBUTES_UNTYPED
from jitr_fleet.problems import show
from jitrctl.jitp.values import VARIABLES, join_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.jitp.template import TemplatePolicy, Translation

_FIELD = re.compile(r"\{([a-z_]+)\}")
# JITP takes any value that makes a legal name; of the naming fields it knows these two.
_PATTERNS = {"common_name": "[a-zA-Z0-9:_-]{1,64}", "serial_number": "[a-zA-Z0-9:_-]{1,64}"}
_ANY_NAME = ".{1,64}"  # where the thing's name uses neither
_PROPERTIES = {
    "thing_name": "ThingName",
    "thing_type": "ThingTypeName",
    "thing_groups": "ThingGroups",
    "attributes": "AttributePayload",
    "billing_group": "BillingGroup",
}
_OWN_CLIENT = "${iot:Connection.Thing.ThingName}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlace:
    """Where a template is: what its ARNs name, and what the fleet file leaves to each stage."""

    partition: str
    region: str
    account_id: str

    @property
    def prefix(self) -> str:
        return f"arn:{self.partition}:iot:{self.region}:{self.account_id}:"

    @property
    def placeholders(self) -> dict[str, str]:
        """What stands in a policy file for the parts of an ARN, and what it is here."""
        return {"<partition>": self.partition, "<region>": self.region, "<account>": self.account_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaBlock:
    """The keys of `[ca.NAME]`, in the order in which they are written, and the content of its policy file."""

    name: str
    keys: Mapping[str, Any] = field(hash=False)
    policy: str | None  # JSON; None: the template's policies could not be read
    missing: tuple[str, ...]  # what was not translated, each with its place
    remarks: tuple[str, ...]
    thing_path: str  # in the template, as JSON path

    @property
    def certificate_path(self) -> str:
        return f"certs/{self.name}.pem"

    @property
    def policy_path(self) -> str:
        return f"policies/{self.name}.json"

    @property
    def unused_policy_path(self) -> str:
        """Where the template's policy goes when the fleet file cannot take it."""
        return f"policies/{self.name}.jitp.json"

    def with_remark(self, remark: str) -> CaBlock:
        return replace(self, remarks=(*self.remarks, remark))

    def without(self, key: str, why: str) -> CaBlock:
        """The same block without a key, or one attribute ("attributes.model"), that fleet.toml does not take."""
        first, _, attribute = key.partition(".")
        kept = {name: value for name, value in self.keys.items() if name != first}
        if attribute:
            others = {name: value for name, value in self.keys["attributes"].items() if name != attribute}
            kept |= {"attributes": others} if others else {}
        if first == "thing_name" and "common_name" not in kept:  # the default, which needs it
            kept["common_name"] = _PATTERNS["common_name"]
        place = self.thing_path + (f".{_PROPERTIES[first]}" if first in _PROPERTIES else "")
        return replace(self, keys=kept, missing=(*self.missing, f"{place}: {why}"))


def make_block(
    name: str,
    found: Translation,
    documents: Mapping[str, str | None],
    place: StagePlace,
    *,
    existing: bool = True,
) -> CaBlock:
    """The block of a CA.

    `documents` has the documents of the policies that the template names; None: there is no such policy. `existing`:
    the thing type and the groups are not the stack's.
    """
    missing, remarks = list(found.missing), list(found.remarks)
    thing_name = found.thing_name or "{common_name}"
    keys: dict[str, Any] = {"certificate": f"certs/{name}.pem", **_pattern(thing_name), "thing_name": thing_name}
    remarks.append("JITP has no pattern for names; write the one that your devices' names have")
    if found.thing_type:
        keys["thing_type"] = found.thing_type
    if found.thing_groups:
        keys["thing_groups"] = list(dict.fromkeys(found.thing_groups))
    attributes = list(found.attributes)
    if not found.thing_type and len(attributes) > MOST_ATTRIBUTES_UNTYPED:
        for attribute, _ in attributes[MOST_ATTRIBUTES_UNTYPED:]:
            at = join_path(f"{found.thing_path}.AttributePayload", attribute)
            missing.append(
                f"{at}: a thing without a type has three attributes at "
                "most, and jitr uses one: give the devices a thing_type"
            )
        del attributes[MOST_ATTRIBUTES_UNTYPED:]
    if attributes:
        keys["attributes"] = dict(attributes)
    if found.billing_group:
        keys["billing_group"] = found.billing_group
    if existing and (found.thing_type or found.thing_groups or found.billing_group):
        keys["existing"] = True
    policy = _policy(found.policies, documents, place, thing_name, missing)
    if policy:
        keys["policy"] = f"policies/{name}.json"
    used = {one for text in (thing_name, *dict(found.attributes).values()) for one in _FIELD.findall(text)}
    unused = [one for one in found.required if one not in used and one != "certificate_id"]
    if unused:
        remarks.append(
            f"$.Parameters: JITP provisions no device without {', '.join(unused)} in its subject; jitr does not ask "
            "for that"
        )
    return CaBlock(
        name=name,
        keys=keys,
        policy=policy,
        missing=tuple(missing),
        remarks=tuple(remarks),
        thing_path=found.thing_path,
    )


def _pattern(thing_name: str) -> dict[str, str]:
    """The naming fields' patterns. JITP has none: they take every value of which AWS IoT makes a thing's name."""
    patterns = {one: _PATTERNS[one] for one in _FIELD.findall(thing_name) if one in _PATTERNS}
    return patterns or {"common_name": _ANY_NAME}


def _policy(
    policies: tuple[TemplatePolicy, ...],
    documents: Mapping[str, str | None],
    place: StagePlace,
    thing_name: str,
    missing: list[str],
) -> str | None:
    """One document with the statements of all policies, with placeholders for what differs by stage."""
    version, statements = "2012-10-17", list[Any]()
    for one in policies:
        text = documents.get(one.name) if one.name else one.document
        if text is None:
            missing.append(f"{one.path}: there is no policy {show(one.name)} in this account")
            continue
        try:
            document = json.loads(text)
            found = document["Statement"]
            version = document.get("Version", version)
            # It may be nested as deeply as can be read, and not written, and may hold half of a surrogate pair.
            json.dumps([[version, found]], indent=2, ensure_ascii=False).encode()
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            missing.append(f"{one.path}: it is no policy document")
            continue
        statements += found if isinstance(found, list) else [found]
    if not statements:
        return None
    written = json.dumps({"Version": version, "Statement": statements}, indent=2)
    written = _put_placeholders(written, place)
    if own := _FIELD.fullmatch(thing_name):
        # The thing's name is this field, so the device's client id may be written as the fleet file wants it.
        variable = VARIABLES.get(own[1])
        written = written.replace(f':client/${{{variable}}}"', f':client/{_OWN_CLIENT}"')
    return f"{written}\n"


def _put_placeholders(document: str, place: StagePlace) -> str:
    """Only ARNs of this stage fit all stages; another's stay, and `jitrctl fleet check` names them."""
    return document.replace(place.prefix, "arn:<partition>:iot:<region>:<account>:")
