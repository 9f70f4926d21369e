"""AWS IoT's operations on things, their types and groups, and on the certificates attached to them."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulation.faults import Answer, NotModelled, Params, ServiceError
from simulation.iot.answers import invalid, missing, page
from simulation.place import Place

if TYPE_CHECKING:
    from simulation.iot.certificates import Certificates

# IoT API reference; aws-facts §7.
_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_ATTRIBUTE_NAME = re.compile(r"[a-zA-Z0-9_.,@/:#-]{1,128}")
_ATTRIBUTE_VALUE = re.compile(r"[a-zA-Z0-9_.,@/:#=\[\]-]{0,800}")
_MOST_ATTRIBUTES_WITHOUT_TYPE, _MOST_ATTRIBUTES = 3, 50
_MOST_GROUPS = 10

EXCLUSIVE, NON_EXCLUSIVE = "EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"


@dataclass(slots=True, kw_only=True)
class Attachment:
    """A certificate on a thing; compared by identity, so that a late detachment does not remove a newer attachment."""

    kind: str


@dataclass(slots=True, kw_only=True)
class SimulatedThing:
    """One thing."""

    name: str
    arn: str
    type_name: str | None
    attributes: dict[str, str]
    version: int = 1
    billing_group: str | None = None
    groups: dict[str, None] = field(default_factory=dict)
    principals: dict[str, Attachment] = field(default_factory=dict)  # by the certificate's ARN


class Things:
    """The thing registry of one account and Region."""

    certificates: "Certificates"

    def __init__(self, place: Place) -> None:
        self._place = place
        self.by_name: dict[str, SimulatedThing] = {}
        self.types: set[str] = set()
        self.groups: set[str] = set()
        self.billing_groups: set[str] = set()
        self._of_principal: dict[str, dict[str, SimulatedThing]] = {}

    def of_principal(self, arn: str) -> dict[str, SimulatedThing]:
        """The things that a certificate is attached to, by name."""
        return self._of_principal.get(arn, {})

    def group_of_arn(self, arn: str) -> str | None:
        name = arn.rpartition(":thinggroup/")[2]
        return name if name in self.groups and arn == self.group_arn(name) else None

    def group_arn(self, name: str) -> str:
        return self._place.arn("iot", f"thinggroup/{name}")

    # Things

    def create_thing(self, params: Params) -> Answer:
        """Create; repeating it succeeds, the same name with another configuration is refused (aws-facts §5).

        That the billing group is a part of the configuration is a guess.
        """
        name, type_name, billing_group = (
            params["thingName"],
            params.get("thingTypeName"),
            params.get("billingGroupName"),
        )
        given = params.get("attributePayload", {}).get("attributes", {})
        attributes = {key: value for key, value in given.items() if value != ""}
        self._check(name, type_name, attributes)
        if billing_group is not None:
            self._check_billing_group(billing_group)
        thing = self.by_name.get(name)
        if thing is None:
            arn = self._place.arn("iot", f"thing/{name}")
            thing = self.by_name[name] = SimulatedThing(
                name=name, arn=arn, type_name=type_name, attributes=attributes, billing_group=billing_group
            )
        elif (thing.type_name, thing.attributes, thing.billing_group) != (type_name, attributes, billing_group):
            raise ServiceError(
                "ResourceAlreadyExistsException",
                f"Thing {name} already exists with another type, other attributes, or another billing group",
                resourceId=name,
                resourceArn=thing.arn,
            )
        return {"thingName": name, "thingArn": thing.arn, "thingId": _thing_id(thing)}

    def describe_thing(self, params: Params) -> Answer:
        thing = self._thing(params)
        answer = {
            "thingName": thing.name,
            "thingArn": thing.arn,
            "thingId": _thing_id(thing),
            "defaultClientId": thing.name,
            "attributes": thing.attributes,
            "version": thing.version,
        }
        optional = {"thingTypeName": thing.type_name, "billingGroupName": thing.billing_group}
        return answer | {name: given for name, given in optional.items() if given}

    def list_things(self, params: Params) -> Answer:
        """All things; filters are not modelled."""
        if unknown := params.keys() - {"maxResults", "nextToken"}:
            raise NotModelled(f"ListThings with {', '.join(sorted(unknown))}")
        answer = _listed("things", list(self.by_name.values()), params)
        answer["things"] = [
            {
                "thingName": thing.name,
                "thingArn": thing.arn,
                "attributes": thing.attributes,
                "version": thing.version,
            }
            | ({"thingTypeName": thing.type_name} if thing.type_name else {})
            for thing in answer["things"]
        ]
        return answer

    def update_thing(self, params: Params) -> Answer:
        """Replace the attributes, or merge them (an empty value removes one); set or remove the type."""
        thing = self._thing(params)
        self._check_version(thing, params)
        type_name = None if params.get("removeThingType") else params.get("thingTypeName", thing.type_name)
        payload = params.get("attributePayload")
        attributes = dict(thing.attributes)
        if payload is not None:
            given = payload.get("attributes", {})
            merged = {**attributes, **given} if payload.get("merge") else given
            attributes = {key: value for key, value in merged.items() if value != ""}
        self._check(thing.name, type_name, attributes)
        thing.type_name, thing.attributes = type_name, attributes
        thing.version += 1
        return {}

    def delete_thing(self, params: Params) -> Answer:
        """Delete; succeeds if it does not exist (IoT API reference), is refused while it has a certificate."""
        thing = self.by_name.get(params["thingName"])
        if thing is None:
            return {}
        self._check_version(thing, params)
        if thing.principals:
            raise invalid(f"Thing {thing.name} cannot be deleted: principals are attached to it")
        del self.by_name[thing.name]
        return {}

    def create_thing_type(self, params: Params) -> Answer:
        name = params["thingTypeName"]
        if not _NAME.fullmatch(name):
            raise invalid(f"thingTypeName {name}")
        self.types.add(name)
        return {"thingTypeName": name, "thingTypeArn": self._place.arn("iot", f"thingtype/{name}")}

    def describe_thing_type(self, params: Params) -> Answer:
        name = params["thingTypeName"]
        if name not in self.types:
            raise missing(f"Thing type {name}")
        return {"thingTypeName": name, "thingTypeArn": self._place.arn("iot", f"thingtype/{name}")}

    # Groups: static, and flat

    def create_thing_group(self, params: Params) -> Answer:
        name = params["thingGroupName"]
        if params.keys() - {"thingGroupName", "tags"}:
            raise NotModelled(f"CreateThingGroup with {', '.join(params)}")
        if not _NAME.fullmatch(name):
            raise invalid(f"thingGroupName {name}")
        self.groups.add(name)
        return {"thingGroupName": name, "thingGroupArn": self.group_arn(name)}

    def describe_thing_group(self, params: Params) -> Answer:
        name = params["thingGroupName"]
        if name not in self.groups:
            raise missing(f"Thing group {name}")
        return {"thingGroupName": name, "thingGroupArn": self.group_arn(name)}

    def add_thing_to_thing_group(self, params: Params) -> Answer:
        thing, group = self._thing(params), self._group(params)
        if group not in thing.groups and len(thing.groups) >= _MOST_GROUPS:
            raise invalid(f"Thing {thing.name} is in {_MOST_GROUPS} groups already")
        thing.groups[group] = None
        return {}

    def remove_thing_from_thing_group(self, params: Params) -> Answer:
        self._thing(params).groups.pop(self._group(params), None)
        return {}

    def list_thing_groups_for_thing(self, params: Params) -> Answer:
        groups = [{"groupName": name, "groupArn": self.group_arn(name)} for name in self._thing(params).groups]
        return _listed("thingGroups", groups, params)

    def list_things_in_thing_group(self, params: Params) -> Answer:
        """The things of a group; groups are flat here, so `recursive` changes nothing."""
        group = self._group(params)
        return _listed("things", [thing.name for thing in self.by_name.values() if group in thing.groups], params)

    # Billing groups: a thing is in one at most

    def create_billing_group(self, params: Params) -> Answer:
        name = params["billingGroupName"]
        if not _NAME.fullmatch(name):
            raise invalid(f"billingGroupName {name}")
        self.billing_groups.add(name)
        return {"billingGroupName": name, "billingGroupArn": self._place.arn("iot", f"billinggroup/{name}")}

    def add_thing_to_billing_group(self, params: Params) -> Answer:
        """Join; what becomes of a thing that is in another one is not documented, and not modelled."""
        thing, group = self._thing(params), params["billingGroupName"]
        self._check_billing_group(group)
        if thing.billing_group not in (None, group):
            raise NotModelled("AddThingToBillingGroup for a thing in another billing group")
        thing.billing_group = group
        return {}

    def remove_thing_from_billing_group(self, params: Params) -> Answer:
        thing, group = self._thing(params), params["billingGroupName"]
        self._check_billing_group(group)
        if thing.billing_group == group:
            thing.billing_group = None
        return {}

    def _check_billing_group(self, name: str) -> None:
        if name not in self.billing_groups:
            raise missing(f"Billing group {name}")

    # Certificates on things

    def attach_thing_principal(self, params: Params) -> Answer:
        """Attach a certificate; an exclusive attachment allows no other, and is refused if there is another.

        A conflict's error is not documented; InvalidRequestException is the only one left in the API's model (aws-facts
        §5). That attaching again with another type is also a conflict is a guess.
        """
        thing, arn = self._thing(params), params["principal"]
        kind = params.get("thingPrincipalType", NON_EXCLUSIVE)
        if kind not in (EXCLUSIVE, NON_EXCLUSIVE):
            raise invalid(f"thingPrincipalType {kind}")
        self._check_principal(arn)
        for other in self.of_principal(arn).values():
            attached = other.principals[arn].kind
            if (attached != kind) if other is thing else (EXCLUSIVE in (attached, kind)):
                raise invalid(f"The principal is attached to thing {other.name} ({attached})")
        thing.principals[arn] = Attachment(kind=kind)
        self._of_principal.setdefault(arn, {})[thing.name] = thing
        return {}

    def detach_thing_principal(self, params: Params) -> Answer:
        """Begin to detach: asynchronous, takes effect after several seconds (aws-facts §5)."""
        thing, arn = self._thing(params), params["principal"]
        attachment = thing.principals.get(arn)
        if attachment is None:
            raise missing(f"Principal {arn} on thing {thing.name}")

        def detach() -> None:
            if thing.principals.get(arn) is attachment:  # or it was attached again meanwhile
                del thing.principals[arn]
                del self._of_principal[arn][thing.name]

        seconds = self._place.undocumented.detach_seconds
        if seconds:
            self._place.clock.call_later(seconds, detach)
        else:
            detach()
        return {}

    def list_thing_principals(self, params: Params) -> Answer:
        return _listed("principals", list(self._thing(params).principals), params)

    def list_thing_principals_v2(self, params: Params) -> Answer:
        found = [
            {"principal": arn, "thingPrincipalType": attachment.kind}
            for arn, attachment in self._thing(params).principals.items()
            if params.get("thingPrincipalType", attachment.kind) == attachment.kind
        ]
        return _listed("thingPrincipalObjects", found, params)

    def list_principal_things(self, params: Params) -> Answer:
        self._check_principal(params["principal"])
        return _listed("things", list(self.of_principal(params["principal"])), params)

    def list_principal_things_v2(self, params: Params) -> Answer:
        arn = params["principal"]
        self._check_principal(arn)
        found = [
            {"thingName": thing.name, "thingPrincipalType": thing.principals[arn].kind}
            for thing in self.of_principal(arn).values()
            if params.get("thingPrincipalType", thing.principals[arn].kind) == thing.principals[arn].kind
        ]
        return _listed("principalThingObjects", found, params)

    def _thing(self, params: Params) -> SimulatedThing:
        thing = self.by_name.get(params["thingName"])
        if thing is None:
            raise missing(f"Thing {params['thingName']}")
        return thing

    def _group(self, params: Params) -> str:
        name = str(params["thingGroupName"])
        if name not in self.groups:
            raise missing(f"Thing group {name}")
        return name

    def _check_principal(self, arn: str) -> None:
        if ":cert/" not in arn:
            raise invalid(f"principal {arn} is no certificate")
        if not self.certificates.exists(arn):
            raise missing(f"Principal {arn}")

    def _check(self, name: str, type_name: str | None, attributes: dict[str, str]) -> None:
        if not _NAME.fullmatch(name):
            raise invalid(f"thingName {name}")
        for key, value in attributes.items():
            if not _ATTRIBUTE_NAME.fullmatch(key) or not _ATTRIBUTE_VALUE.fullmatch(value):
                raise invalid(f"attribute {key}: {value}")
        if type_name is not None and type_name not in self.types:
            raise missing(f"Thing type {type_name}")
        if len(attributes) > (_MOST_ATTRIBUTES if type_name else _MOST_ATTRIBUTES_WITHOUT_TYPE):
            raise invalid(f"{len(attributes)} attributes are too many")

    def _check_version(self, thing: SimulatedThing, params: Params) -> None:
        if params.get("expectedVersion", thing.version) != thing.version:
            raise ServiceError("VersionConflictException", f"Thing {thing.name} has version {thing.version}")


def _thing_id(thing: SimulatedThing) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, thing.arn))


def _listed(name: str, found: Sequence[object], params: Params) -> Answer:
    shown, token = page(found, params, size="maxResults", token="nextToken")  # noqa: S106 -- no secret
    return {name: shown} | ({"nextToken": token} if token else {})
