"""Reads the device policies that fleet.toml names: does each look like an IoT policy, and does it fit?

Decides on form and size, and reports once for each file, with its line, whichever CAs have it. What the statements may
not say, permissions.py decides; whether a device gets in with them, policy_proof.py.
"""

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from jitr.frozen import value
from jitr.rules import CERTIFICATE_VARIABLES
from jitr_fleet.authorization.evaluation import as_list
from jitr_fleet.authorization.json_lines import JsonLines
from jitr_fleet.keys import Draft
from jitr_fleet.permissions import find_flaws
from jitr_fleet.problems import KeyPosition, Problem, Report, show, suggest

# AWS IoT quota "policy document size", white space not counted.
MAX_POLICY = 2048

# The policy of CAs that name none; it is in the checkout, like the CDK app that deploys it.
BUILT_IN_POLICY = Path(__file__).parents[2] / "policies" / "device.json"

# What stands in a policy file for the parts of an ARN that differ by stage, with the longest value that infra can put
# there. IoT's own policy variables are written ${iot:…} and stay as they are.
PLACEHOLDERS = {"<partition>": "aws-us-gov", "<region>": "ap-southeast-1", "<account>": "000000000000"}

# A variable in a text, or as the key of a condition; from its name on, whatever is around it.
_VARIABLE = re.compile(rf"{re.escape(CERTIFICATE_VARIABLES)}[^}}\"\\\\]*")
_PLACEHOLDER = re.compile(r"<[^<>]*>")


@value
class PolicyFile:
    """A policy file that could be read, and the CAs and sources that name it."""

    path: Path
    cas: tuple[str, ...]  # names, in the order of the fleet file
    text: str
    document: Any  # as JSON has it, whatever it is
    lines: JsonLines
    sources: frozenset[str] = frozenset()  # those of the names that are sources'

    @classmethod
    def read(cls, path: Path, cas: tuple[str, ...], sources: Iterable[str] = ()) -> "PolicyFile":
        """Read a file; raises OSError and ValueError (not UTF-8, not JSON, nested too deeply)."""
        content = path.read_text(encoding="utf-8")
        try:
            document = json.loads(content)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        lines = JsonLines(content)
        return cls(path=path, cas=cas, text=content, document=document, lines=lines, sources=frozenset(sources))

    @property
    def statements(self) -> list[Any]:
        return as_list(self.document["Statement"])

    @property
    def name(self) -> str:
        """Name the CAs and sources in a message: `the policy of ca.factory and ca.renewed`."""
        names = [f"{'registered' if name in self.sources else 'ca'}.{name}" for name in self.cas]
        return f"the policy of {' and '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)}"

    def describe(self, statement: int) -> str:
        """How a message names a statement; its position from 0."""
        found = self.statements[statement]
        sid = found.get("Sid") if isinstance(found, dict) else None
        return f"statement {statement + 1}{f' ({sid})' if isinstance(sid, str) and sid else ''}"

    def line(self, statement: int, *inside: str | int) -> int:
        """The line of a statement, or of something in it."""
        at = ("Statement", statement) if isinstance(self.document["Statement"], list) else ("Statement",)
        return self.lines.line(*at, *inside)

    def problem(self, line: int, message: str, cure: str) -> Problem:
        return Problem(file=self.path, line=line, message=f"{self.name}: {message}", cure=cure)

    def variables(self) -> tuple[str, ...]:
        """The certificate variables in its texts and keys, each once and in lower case; escapes of JSON hide none."""
        written = json.dumps(self.document, ensure_ascii=False).casefold()
        return tuple(sorted({variable.strip() for variable in _VARIABLE.findall(written)}))


def read_policies(fleet: Draft, root: KeyPosition) -> tuple[PolicyFile, ...]:
    """Read each policy file once, and report why one cannot be a policy document of AWS IoT.

    A file that cannot be read, or is not JSON, is not among those returned.
    """
    named: dict[Path, list[tuple[KeyPosition, str, Path]]] = {}  # by the file, however its path is written
    sources = fleet.get("registered") or {}
    for kind, origins in (("ca", fleet.get("ca", {})), ("registered", sources)):
        for name, origin in origins.items():
            if origin.get("policy"):
                path = root.report.file.parent / origin["policy"]
                named.setdefault(path.resolve(), []).append((root.at(kind, name), name, path))
    read = [_read_file(those, root.report, sources.keys()) for those in named.values()]
    return tuple(one for one in read if one is not None)


def _read_file(
    named: list[tuple[KeyPosition, str, Path]], report: Report, sources: Collection[str]
) -> PolicyFile | None:
    (first, _, path), names = named[0], tuple(name for _, name, _ in named)
    place = first.at("policy")
    try:
        file = PolicyFile.read(path, names, set(names).intersection(sources))
    except OSError as error:
        place.problem(f"names {path}, which cannot be read ({error.strerror})", "correct the path or the file")
    except json.JSONDecodeError as error:
        message = f"the policy of {first} is not JSON ({error})"
        report.problems.append(Problem(file=path, line=error.lineno, message=message, cure="correct it there"))
    except ValueError:
        place.problem(f"names {path}, which is not JSON", "write an IoT policy document")
    else:
        _check_document(file, report)
        _check_text(file, report)
        return file
    return None


def _check_text(file: PolicyFile, report: Report) -> None:
    for token in sorted(set(_PLACEHOLDER.findall(file.text)) - PLACEHOLDERS.keys()):
        line = file.text.count("\n", 0, file.text.index(token)) + 1
        report.problems.append(file.problem(line, f"it holds {show(token)}", suggest(token, PLACEHOLDERS)))
    filled = _PLACEHOLDER.sub(lambda match: PLACEHOLDERS.get(match[0], match[0]), file.text)
    size = len("".join(filled.split()))
    if size >= MAX_POLICY:
        message = f"it has {size} characters without white space"
        report.problems.append(file.problem(1, message, f"AWS IoT takes fewer than {MAX_POLICY}: shorten it"))


def _check_document(file: PolicyFile, report: Report) -> None:
    document = file.document
    if not isinstance(document, dict):
        report.problems.append(file.problem(1, "it holds no JSON object", 'write { "Version": …, "Statement": [ … ] }'))
        return
    if document.get("Version") != "2012-10-17":
        line = file.lines.line("Version")
        report.problems.append(file.problem(line, "it has no usable Version", 'write "Version": "2012-10-17"'))
    statements = as_list(document.get("Statement"))
    if not statements or not all(isinstance(each, dict) and each for each in statements):
        line = file.lines.line("Statement")
        report.problems.append(file.problem(line, "it has no usable Statement", 'write "Statement": [ { … } ]'))
        return
    for number, statement in enumerate(statements):
        for flaw in find_flaws(statement):
            line = file.line(number, *flaw.at)
            report.problems.append(file.problem(line, f"{file.describe(number)} {flaw.text}", flaw.cure))
