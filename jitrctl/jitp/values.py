"""Evaluates the values of a provisioning template to templates of fleet.toml: pure.

Source: IoT developer guide, "Provisioning templates" (Ref, Fn::Join, Fn::Sub, Fn::Select, Fn::Split, Fn::FindInMap)
and "Just-in-time provisioning" (the eight parameters that AWS IoT fills from a certificate).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jitr_fleet.problems import show

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "AWS::IoT::Certificate::"
# JITP's parameters → fields of our templates (rules.TEMPLATE_FIELDS).
FIELDS = {
    f"{_PREFIX}Country": "country",
    f"{_PREFIX}Organization": "organization",
    f"{_PREFIX}OrganizationalUnit": "organizational_unit",
    f"{_PREFIX}DistinguishedNameQualifier": "dn_qualifier",
    f"{_PREFIX}StateName": "state",
    f"{_PREFIX}CommonName": "common_name",
    f"{_PREFIX}SerialNumber": "serial_number",
    f"{_PREFIX}Id": "certificate_id",
}
_WORD = re.compile("[a-zA-Z0-9:_-]{1,128}")
_INDEX = re.compile("[0-9]{1,9}")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class Untranslatable(Exception):
    """A value that our templates cannot express; `path` is its place in the template, as JSON path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def join_path(path: str, name: str) -> str:
    """The JSON path of a name below a path: in brackets and quoted, unless it is a word or a function's name."""
    return f"{path}.{name}" if _WORD.fullmatch(name) else f"{path}[{show(name)}]"


def check_text(text: str, path: str) -> None:
    """Raises Untranslatable for half of a surrogate pair, which no file takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Untranslatable(path, f"{show(text)} holds half of a surrogate pair, which is no character") from error


class Values:
    """The values of one provisioning template.

    `text` writes a field as `{name}`; `document`, which keeps the braces of its JSON, as IoT's policy variable.
    """

    def __init__(self, parameters: Mapping[str, Any], mappings: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self._mappings = mappings

    def text(self, value: Any, path: str) -> str:
        """The text that this value is for each device, with fields for what comes from its certificate.

        Raises Untranslatable.
        """
        if isinstance(value, str):
            check_text(value, path)
            if "{" in value or "}" in value:
                raise Untranslatable(path, f"{show(value)} holds a brace, which begins a field in fleet.toml")
            return value
        return self._function(value, path, literal=self.text)

    def document(self, value: Any, path: str) -> str:
        """The same for a policy document: its own braces stay, and a field is written as IoT's policy variable."""
        if isinstance(value, str):
            check_text(value, path)
            return value
        return self._function(value, path, literal=self.document)

    def _function(self, value: Any, path: str, *, literal: Any) -> str:
        name, given = _only_pair(value, path)
        at = join_path(path, name)
        match name:
            case "Ref":
                return self._reference(given, at, literal)
            case "Fn::Join":
                separator, parts = _pair(given, at, "a separator and a list")
                texts = self._list(parts, f"{at}[1]", literal)
                return str(literal(separator, f"{at}[0]")).join(texts)
            case "Fn::Select":
                index, parts = _pair(given, at, "an index and a list")
                texts = self._list(parts, f"{at}[1]", literal)
                if not _INDEX.fullmatch(str(index)) or int(index) >= len(texts):
                    raise Untranslatable(f"{at}[0]", f"{show(index)} is no index of a list of {len(texts)}")
                return texts[int(index)]
            case "Fn::FindInMap":
                return self._find(given, at, literal)
            case "Fn::Sub":
                return self._substitute(given, at, literal)
            case "Fn::Split":
                raise Untranslatable(at, "a list stands where a text is expected")
            case _:
                raise Untranslatable(at, f"the function {show(name)} is not known")

    def _reference(self, name: Any, path: str, literal: Any) -> str:
        if not isinstance(name, str):
            raise Untranslatable(path, "the name of a parameter is expected")
        if name in FIELDS:
            field = FIELDS[name]
            return f"${{{VARIABLES[field]}}}" if literal == self.document else f"{{{field}}}"
        declared = self._parameters.get(name)
        if isinstance(declared, dict) and isinstance(declared.get("Default"), str):
            return str(literal(declared["Default"], path))
        raise Untranslatable(
            path, f"{show(name)} is no parameter that AWS IoT fills from a certificate, and has no default"
        )

    def _list(self, value: Any, path: str, literal: Any) -> list[str]:
        if isinstance(value, list):
            return [literal(each, f"{path}[{number}]") for number, each in enumerate(value)]
        name, given = _only_pair(value, path)
        if name != "Fn::Split":
            raise Untranslatable(join_path(path, name), "a list is expected")
        at = f"{path}.Fn::Split"
        separator, whole = _pair(given, at, "a separator and a text")
        text, apart = literal(whole, f"{at}[1]"), literal(separator, f"{at}[0]")
        if "{" in text:
            raise Untranslatable(
                f"{at}[1]", "a certificate's value is split: put a named group into the CA's pattern instead"
            )
        if not apart:
            raise Untranslatable(f"{at}[0]", "the separator is empty")
        return list(text.split(apart))

    def _find(self, given: Any, path: str, literal: Any) -> str:
        match given:
            case [_, _, _]:
                pass
            case _:
                raise Untranslatable(path, "a map's name and two keys are expected")
        found: Any = self._mappings
        for number, key in enumerate(given):
            name = literal(key, f"{path}[{number}]")
            if "{" in name:
                raise Untranslatable(
                    f"{path}[{number}]", "the key depends on the certificate: write a CA for each value"
                )
            if not isinstance(found, dict) or name not in found:
                raise Untranslatable(f"{path}[{number}]", f"there is no {show(name)} in Mappings")
            found = found[name]
        return str(literal(found, path))

    def _substitute(self, given: Any, path: str, literal: Any) -> str:
        pattern: Any = given
        values: Any = {}
        if isinstance(given, list):
            pattern, values = _pair(given, path, "a text and its values")
        if not isinstance(pattern, str) or not isinstance(values, dict):
            raise Untranslatable(path, "a text, or a text and its values, is expected")
        pieces, end = [], 0
        for found in _VARIABLE.finditer(pattern):
            pieces.append(literal(pattern[end : found.start()], path))
            pieces.append(self._variable(found, values, path, literal))
            end = found.end()
        pieces.append(literal(pattern[end:], path))
        return "".join(pieces)

    def _variable(self, found: re.Match[str], values: dict[str, Any], path: str, literal: Any) -> str:
        name = found[1]
        if name.startswith("!"):
            return str(literal(f"${{{name[1:]}}}", path))
        if name in values:
            at = join_path(f"{path}[1]", name)
            return str(literal(values[name], at))
        if name.startswith("iot:"):
            return str(literal(found[0], path))
        return self._reference(name, path, literal)


# Developer guide, "X.509 certificate policy variables"; the id, "AWS IoT Core policy variables".
VARIABLES = {
    "country": "iot:Certificate.Subject.Country",
    "organization": "iot:Certificate.Subject.Organization",
    "organizational_unit": "iot:Certificate.Subject.OrganizationalUnit",
    "dn_qualifier": "iot:Certificate.Subject.DistinguishedNameQualifier",
    "state": "iot:Certificate.Subject.State",
    "common_name": "iot:Certificate.Subject.CommonName",
    "serial_number": "iot:Certificate.Subject.SerialNumber",
    "certificate_id": "iot:CertificateId",
}


def _only_pair(value: Any, path: str) -> tuple[str, Any]:
    if not isinstance(value, dict) or len(value) != 1:
        raise Untranslatable(path, f"a text or one function is expected, not {type(value).__name__}")
    return next(iter(value.items()))


def _pair(value: Any, path: str, what: str) -> tuple[Any, Any]:
    match value:
        case [first, second]:
            return first, second
    raise Untranslatable(path, f"{what} are expected")
