"""Reads the device policy that fleet.toml names, and checks its form and size; permissions.py checks its statements."""

import json
import re
from pathlib import Path
from typing import Any

from jitr.rules import CERTIFICATE_VARIABLES
from jitr_fleet.permissions import check_statements
from jitr_fleet.problems import KeyPosition, show, suggest

# AWS IoT quota "policy document size", white space not counted.
MAX_POLICY = 2048

# The placeholders for the parts of an ARN that differ by stage, each with the longest value that infra can put there.
# IoT's own policy variables are written ${iot:…} and stay as they are.
PLACEHOLDERS = {"<partition>": "aws-us-gov", "<region>": "ap-southeast-1", "<account>": "000000000000"}

# A certificate variable, in a text or as the key of a condition, from its name on.
_VARIABLE = re.compile(rf"{re.escape(CERTIFICATE_VARIABLES)}[^}}\"\\\\]*")
_PLACEHOLDER = re.compile(r"<[^<>]*>")


def check_policy(path: Path, place: KeyPosition) -> tuple[str, ...]:
    """Report why a file is not a usable policy document: unreadable, not JSON, no statement, too long.

    Returns the certificate variables that it names, each once and in lower case.
    """
    try:
        content = path.read_text(encoding="utf-8")
        document = json.loads(content)
    except OSError as error:
        place.problem(f"names {path}, which cannot be read ({error.strerror})", "correct the path or the file")
        return ()
    except (UnicodeDecodeError, RecursionError):
        place.problem(f"names {path}, which is not JSON", "write an IoT policy document")
        return ()
    except ValueError as error:
        place.problem(f"names {path}, which is not JSON ({error})", "correct it there")
        return ()
    _check_document(document, path, place)
    for token in sorted(set(_PLACEHOLDER.findall(content)) - PLACEHOLDERS.keys()):
        place.problem(f"names {path}, which holds {show(token)}", suggest(token, PLACEHOLDERS))
    filled = _PLACEHOLDER.sub(lambda match: PLACEHOLDERS.get(match[0], match[0]), content)
    size = len("".join(filled.split()))
    if size >= MAX_POLICY:
        place.problem(
            f"names {path}, which has {size} characters without white space",
            f"AWS IoT takes fewer than {MAX_POLICY}: shorten it",
        )
    return _certificate_variables(document)


def _certificate_variables(document: Any) -> tuple[str, ...]:
    """The X.509 certificate variables in a document's texts and keys, also those written with JSON escapes."""
    written = json.dumps(document, ensure_ascii=False).casefold()
    return tuple(sorted({variable.strip() for variable in _VARIABLE.findall(written)}))


def _check_document(document: Any, path: Path, place: KeyPosition) -> None:
    if not isinstance(document, dict):
        place.problem(f"names {path}, which holds no JSON object", 'write { "Version": …, "Statement": [ … ] }')
        return
    if document.get("Version") != "2012-10-17":
        place.problem(f"names {path}, which has no usable Version", 'write "Version": "2012-10-17"')
    statement = document.get("Statement")
    statements = statement if isinstance(statement, list) else [statement]
    if not statements or not all(isinstance(each, dict) and each for each in statements):
        place.problem(f"names {path}, which has no usable Statement", 'write "Statement": [ { … } ]')
    else:
        check_statements(statements, f"names {path}", place)
