"""Translates a CA's provisioning template (JITP) to the keys of `[ca.NAME]` that do the same: pure.

Source: IoT developer guide, "Provisioning templates" and "Just-in-time provisioning".
"""

from __future__ import annotations

import json
import re
from typing import Any

from jitr.frozen import value
from jitr_fleet.problems import show
from jitrctl.jitp.values import FIELDS, Untranslatable, Values, check_text, join_path

_THING, _CERTIFICATE, _POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
_FIELD = re.compile(r"\{([a-z_]+)\}")


@value
class TemplatePolicy:
    """A policy that a template attaches: one that exists, or a document."""

    path: str  # its place in the template, as JSON path
    name: str | None = None  # of a policy that exists; its document is to be read from the account
    document: str | None = None  # JSON text, with IoT's policy variables for what comes from the certificate


@value
class Translation:
    """What a template gives a device, as jitr's keys; `missing` is what they do not say, each with its place."""

    thing_path: str = "$.Resources"  # the properties of the thing
    thing_name: str | None = None
    thing_type: str | None = None
    thing_groups: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    billing_group: str | None = None
    policies: tuple[TemplatePolicy, ...] = ()
    required: tuple[str, ...] = ()  # fields without which JITP provisions no device: all declared parameters
    missing: tuple[str, ...] = ()  # "$.Resources.…: why"
    remarks: tuple[str, ...] = ()  # likewise: what jitr decides in another way


def translate(body: str) -> Translation:
    """Translate a template's body, which is JSON text. Never raises: what cannot be read is in `missing`."""
    try:
        template = json.loads(body)
    except (ValueError, RecursionError) as error:
        return Translation(missing=(f"$: the template is not JSON ({error})",))
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        return Translation(missing=("$.Resources: there are no resources",))
    try:
        return _Reader(template).read()
    except RecursionError:
        return Translation(missing=("$: the template is nested too deeply",))


class _Reader:
    def __init__(self, template: dict[str, Any]) -> None:
        self._resources = template["Resources"]
        parameters, mappings = (template.get(name) or {} for name in ("Parameters", "Mappings"))
        self._declared = parameters if isinstance(parameters, dict) else {}
        self._values = Values(self._declared, mappings if isinstance(mappings, dict) else {})
        self._found: dict[str, Any] = {}
        self._policies: list[TemplatePolicy] = []
        self._remarks: list[str] = []
        self._missing: list[str] = [
            f"{join_path('$', name)}: this part of a template is not known"
            for name in template
            if name not in ("Parameters", "Mappings", "Resources", "DeviceConfiguration")
        ]
        if "DeviceConfiguration" in template:
            self._missing.append("$.DeviceConfiguration: jitr sends no configuration to a device")

    def read(self) -> Translation:
        for name, resource in self._resources.items():
            path = join_path("$.Resources", name)
            kind = str(resource.get("Type")) if isinstance(resource, dict) else None
            readers = {_THING: self._thing, _CERTIFICATE: self._certificate, _POLICY: self._policy}
            given = resource.get("Properties", {}) if isinstance(resource, dict) else None
            if kind not in readers or not isinstance(given, dict):
                self._missing.append(f"{path}: {show(kind)} is no resource that a provisioning template makes")
                continue
            readers[kind](given, f"{path}.Properties")
            if resource.get("OverrideSettings"):
                self._remarks.append(
                    f"{path}.OverrideSettings: with jitr, on_replacement decides on a thing that exists"
                )
        if "thing_name" not in self._found:
            self._missing.append("$.Resources: the template makes no thing, and jitr makes one for each device")
        if not self._policies:
            self._missing.append("$.Resources: no policy could be taken from it, and jitr attaches one to each device")
        return Translation(
            **self._found,
            policies=tuple(self._policies),
            required=tuple(dict.fromkeys(FIELDS[name] for name in self._declared if name in FIELDS)),
            missing=tuple(self._missing),
            remarks=tuple(self._remarks),
        )

    def _thing(self, given: dict[str, Any], path: str) -> None:
        if "thing_name" in self._found:
            self._missing.append(f"{path}: jitr makes one thing for each certificate")
            return
        self._found["thing_path"] = path
        for key, name in (
            ("ThingName", "thing_name"),
            ("ThingTypeName", "thing_type"),
            ("BillingGroup", "billing_group"),
        ):
            if key in given:
                self._take(name, given[key], f"{path}.{key}", fixed=name != "thing_name")
        groups = given.get("ThingGroups", [])
        texts = [
            self._text(one, f"{path}.ThingGroups[{number}]", fixed=True)
            for number, one in enumerate(groups if isinstance(groups, list) else [groups])
        ]
        self._found["thing_groups"] = tuple(one for one in texts if one is not None)
        attributes = given.get("AttributePayload", {})
        if not isinstance(attributes, dict):
            self._missing.append(f"{path}.AttributePayload: names and values are expected")
            attributes = {}
        filled = [
            (name, self._text(one, join_path(f"{path}.AttributePayload", name), name=name))
            for name, one in attributes.items()
        ]
        self._found["attributes"] = tuple((name, one) for name, one in filled if one is not None)
        self._report_others(
            given, path, {"ThingName", "ThingTypeName", "BillingGroup", "ThingGroups", "AttributePayload"}
        )

    def _certificate(self, given: dict[str, Any], path: str) -> None:
        status = given.get("Status", "ACTIVE")
        if not isinstance(status, str) or status.upper() != "ACTIVE":
            self._missing.append(f"{path}.Status: jitr sets an admitted certificate ACTIVE, not {show(status)}")
        if "CertificateId" in given and given["CertificateId"] != {"Ref": "AWS::IoT::Certificate::Id"}:
            self._missing.append(f"{path}.CertificateId: only the certificate that connects can be provisioned")
        self._report_others(given, path, {"Status", "CertificateId", "ThingPrincipalType"})

    def _policy(self, given: dict[str, Any], path: str) -> None:
        document = given.get("PolicyDocument")
        if document is not None:
            self._document(document, f"{path}.PolicyDocument")
        elif "PolicyName" in given:
            name = self._text(given["PolicyName"], f"{path}.PolicyName", fixed=True)
            if name is not None:
                self._policies.append(TemplatePolicy(path=f"{path}.PolicyName", name=name))
        else:
            self._missing.append(f"{path}: PolicyName or PolicyDocument is expected")
        self._report_others(given, path, {"PolicyName", "PolicyDocument"})

    def _document(self, given: Any, path: str) -> None:
        try:
            if isinstance(given, dict) and "Statement" in given:
                given = json.dumps(given)
            text = self._values.document(given, path)
            json.loads(text)
        except Untranslatable as error:
            self._missing.append(str(error))
        except (ValueError, RecursionError):
            self._missing.append(f"{path}: the policy document is not JSON")
        else:
            self._policies.append(TemplatePolicy(path=path, document=text))

    def _take(self, name: str, given: Any, path: str, *, fixed: bool = False) -> None:
        text = self._text(given, path, fixed=fixed)
        if text is not None:
            self._found[name] = text

    def _text(self, given: Any, path: str, *, name: str = "", fixed: bool = False) -> str | None:
        try:
            check_text(name, path)
            text = self._values.text(given, path)
        except Untranslatable as error:
            self._missing.append(str(error))
            return None
        if fixed and _FIELD.search(text):
            self._missing.append(f"{path}: it is {show(text)}, and jitr's is the same for all devices of a CA")
            return None
        return text

    def _report_others(self, given: dict[str, Any], path: str, known: set[str]) -> None:
        self._missing.extend(
            f"{join_path(path, name)}: this property is not known" for name in given if name not in known
        )
