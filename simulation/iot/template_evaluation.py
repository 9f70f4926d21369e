"""Evaluates a provisioning template for one certificate, as the guide describes it (JITP): its own, small reading.

Source: IoT developer guide, "Provisioning templates" and "Just-in-time provisioning". It shares nothing
with jitrctl's translation, so that tests can compare the two. What the guide leaves open is in the docstrings.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_PREFIX = "AWS::IoT::Certificate::"
# The parameters that AWS IoT fills, and the certificate's field of each.
PARAMETERS = {
    "Country": "country",
    "Organization": "organization",
    "OrganizationalUnit": "organizational_unit",
    "DistinguishedNameQualifier": "dn_qualifier",
    "StateName": "state",
    "CommonName": "common_name",
    "SerialNumber": "serial_number",
    "Id": "certificate_id",
}
_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")


class CannotProvision(Exception):
    """The template cannot be carried out for this certificate; what AWS IoT logs of it is not modelled."""


@dataclass(slots=True, kw_only=True)
class Provisioning:
    """What a template makes for one certificate."""

    thing_name: str | None = None
    thing_type: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    billing_group: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)  # of the thing, where it exists: property → what to do
    principal_type: str = "NON_EXCLUSIVE_THING"
    status: str = "ACTIVE"
    policies: list[tuple[str, str | None]] = field(default_factory=list)  # name, and the document of a new one


def evaluate(body: str, subject: Mapping[str, tuple[str, ...]]) -> Provisioning:
    """Evaluate a template's body; `subject` has the certificate's values by jitr's names of fields.

    Each declared parameter needs a value or a default ("The certificate must contain values for all of the parameters
    in the template body"). Of a field that the subject has twice, the first value counts: that is a guess.

    Raises CannotProvision.
    """
    try:
        template = json.loads(body)
        declared, resources = template.get("Parameters", {}), template["Resources"]
        made = Provisioning()
        scope = _Scope(_fill(declared, subject), template.get("Mappings", {}))
        for resource in resources.values():
            _READERS[resource["Type"]](made, resource, scope)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CannotProvision(f"{type(error).__name__}: {error}") from error
    return made


def _fill(declared: Mapping[str, Any], subject: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    filled = {}
    for name, declaration in declared.items():
        values = subject.get(PARAMETERS.get(name.removeprefix(_PREFIX), ""), ()) if name.startswith(_PREFIX) else ()
        if values:
            filled[name] = values[0]
        elif "Default" in declaration:
            filled[name] = str(declaration["Default"])
        else:
            raise CannotProvision(f"the certificate has no {name}")
    return filled


class _Scope:
    """The parameters' values and the mappings of a template."""

    def __init__(self, values: Mapping[str, str], mappings: Mapping[str, Any]) -> None:
        self._values = values
        self._mappings = mappings

    def text(self, expression: Any) -> str:
        found = self._value(expression)
        if not isinstance(found, str):
            raise CannotProvision(f"a text is expected, not {found!r}")
        return found

    def texts(self, expression: Any) -> list[str]:
        found = self._value(expression) if isinstance(expression, dict) else expression
        if not isinstance(found, list):
            raise CannotProvision(f"a list is expected, not {found!r}")
        return [self.text(one) for one in found]

    def _value(self, expression: Any) -> str | list[str]:
        if isinstance(expression, str):
            return expression
        ((function, given),) = expression.items()
        functions: dict[str, Callable[[Any], str | list[str]]] = {
            "Ref": lambda name: self._values[name],
            "Fn::Join": lambda pair: self.text(pair[0]).join(self.texts(pair[1])),
            "Fn::Split": lambda pair: self.text(pair[1]).split(self.text(pair[0])),
            "Fn::Select": lambda pair: self.texts(pair[1])[int(pair[0])],
            "Fn::FindInMap": self._find,
            "Fn::Sub": self._substitute,
        }
        return functions[function](given)

    def _find(self, given: Any) -> str | list[str]:
        table, first, second = (self.text(one) for one in given)
        return self._value(self._mappings[table][first][second])

    def _substitute(self, given: Any) -> str:
        """`${!Literal}` stays `${Literal}`, and so do policy variables; each other one is a parameter or given."""
        text, own = (given, {}) if isinstance(given, str) else given

        def fill(found: re.Match[str]) -> str:
            if found[1] or found[2].startswith("iot:"):
                return f"${{{found[2]}}}"
            return self.text(own[found[2]]) if found[2] in own else self._values[found[2]]

        return _PLACEHOLDER.sub(fill, text)


def _thing(made: Provisioning, resource: Mapping[str, Any], scope: _Scope) -> None:
    given = resource.get("Properties", {})
    made.thing_name = scope.text(given["ThingName"])
    made.thing_type = scope.text(given["ThingTypeName"]) if "ThingTypeName" in given else None
    made.billing_group = scope.text(given["BillingGroup"]) if "BillingGroup" in given else None
    made.attributes = {name: scope.text(one) for name, one in given.get("AttributePayload", {}).items()}
    made.groups = tuple(scope.texts(given.get("ThingGroups", [])))
    made.overrides = resource.get("OverrideSettings", {})


def _certificate(made: Provisioning, resource: Mapping[str, Any], scope: _Scope) -> None:
    given = resource.get("Properties", {})
    made.status = scope.text(given.get("Status", "ACTIVE")).upper()
    made.principal_type = scope.text(given.get("ThingPrincipalType", made.principal_type))


def _policy(made: Provisioning, resource: Mapping[str, Any], scope: _Scope) -> None:
    """PolicyName is "optional, defaults to a hash of the policy document"; alone it names a policy that exists."""
    given = resource.get("Properties", {})
    document = None
    if "PolicyDocument" in given:
        written = given["PolicyDocument"]
        is_document = isinstance(written, dict) and "Statement" in written
        document = json.dumps(written) if is_document else scope.text(written)
    if "PolicyName" in given:
        name = scope.text(given["PolicyName"])
    else:
        name = hashlib.sha256(str(document).encode()).hexdigest()
    made.policies.append((name, document))


_READERS = {"AWS::IoT::Thing": _thing, "AWS::IoT::Certificate": _certificate, "AWS::IoT::Policy": _policy}
