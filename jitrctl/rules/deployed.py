"""Reads the deployed rules of a stage: rules.json in the code of its function `register`.

Lambda returns a URL of the code as a zip archive, valid for ten minutes (GetFunction, `Code.Location`).
"""

from __future__ import annotations

import io
import urllib.request
import zipfile
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import urlsplit

from jitr.errors import JitrError
from jitr.rules import RULES_FILE, Rules
from jitrctl import intake
from jitrctl.errors import JitrctlError

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

_PATIENCE = 30.0  # seconds
_MOST_BYTES = 50_000_000  # of the archive: Lambda's limit for one that is uploaded directly


class NotReadable(JitrctlError):
    """The deployed rules cannot be read; the message says why."""


def read_deployed_rules(stage: Stage) -> Rules:
    """Read the rules under which the stage's function decides.

    Raises NotReadable, botocore's errors.
    """
    client = stage.lambda_
    way = intake.find_mapping(stage)
    version = {"Qualifier": way.alias} if way and way.alias else {}
    try:
        answer = client.get_function(FunctionName=stage.names.register_function, **version)
    except client.exceptions.ResourceNotFoundException as error:
        raise NotReadable("there is no function `register`") from error
    return rules_in(_download(answer.get("Code", {}).get("Location", "")))


def rules_in(archive: bytes) -> Rules:
    """Read the rules in a function's code.

    Raises NotReadable.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as code:
            return Rules.from_json(code.read(RULES_FILE).decode("utf-8"))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise NotReadable(f"the function's code holds no {RULES_FILE}") from error
    except JitrError as error:
        raise NotReadable(str(error)) from error


def _download(location: str) -> bytes:
    if urlsplit(location).scheme not in ("https", "http"):
        raise NotReadable("Lambda names no place where the function's code is")
    try:
        with urllib.request.urlopen(location, timeout=_PATIENCE) as answer:  # noqa: S310 -- http(s), as Lambda says
            return bytes(answer.read(_MOST_BYTES))
    except (URLError, OSError) as error:
        raise NotReadable(f"the function's code cannot be downloaded ({error})") from error
