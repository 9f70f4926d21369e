"""Reads the first shadows that fleet.toml names: is each a document that AWS IoT takes, and can it be filled?

A shadow file is the request of UpdateThingShadow: {"state": {"desired": …, "reported": …}}. Every problem is reported
with its line in the file. What a certificate's values add to its size is known only at admission
(jitr.admission.shadow).
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jitr.admission.shadow import MOST_SHADOW_BYTES, THING_NAME_FIELD, shadow_text
from jitr.rules import NAMING_FIELDS, TEMPLATE_FIELDS
from jitr_fleet.authorization.json_lines import JsonLines, JsonPath
from jitr_fleet.keys import Draft
from jitr_fleet.names import FIELD
from jitr_fleet.problems import KeyPosition, Problem, show, suggest
from jitr_fleet.templates import groups_of

# Objects and arrays in each other, `state` being the first. The developer guide's error message says 6, and the quota
# "Maximum depth of JSON device state documents" 8: the smaller one is right in both cases.
MOST_LEVELS = 6

# The shadow of a CA or source, by its table ("ca" or "registered") and its name: compact JSON, or None without one.
Shadows = Mapping[tuple[str, str], str]

Flaw = tuple[JsonPath, str, str]  # where it is, what is wrong, the cure

_SECTIONS = ("desired", "reported")
_DEPTH_OF_SECTIONS = 2
_EXAMPLE = 'write {"state": {"desired": {"interval": 60}}}'


def read_shadows(fleet: Draft, root: KeyPosition) -> Shadows:
    """Read the shadow of each CA and source that names one, and report every problem with it."""
    shadows: dict[tuple[str, str], str] = {}
    for kind in ("ca", "registered"):
        for name, draft in (fleet.get(kind) or {}).items():
            written = draft.get("shadow")
            if written is None:
                continue
            text = _read_file(root.report.file.parent / written, draft, root.at(kind, name))
            if text is not None:
                shadows[kind, name] = text
    return shadows


def _read_file(path: Path, draft: Draft, origin: KeyPosition) -> str | None:
    place = origin.at("shadow")
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_read_float, object_pairs_hook=_refuse_repeated
        )
        _refuse_half_characters(document)
    except OSError as error:
        place.problem(f"names {path}, which cannot be read ({error.strerror})", "correct the path or the file")
        return None
    except UnicodeDecodeError:
        place.problem(f"names {path}, which is not UTF-8", "save it as UTF-8, the only encoding of shadows")
        return None
    except json.JSONDecodeError as error:
        _add(origin, path, error.lineno, f"is not JSON ({error})", "correct it there")
        return None
    except RecursionError:
        _add(origin, path, 1, "is nested too deeply", f"keep {MOST_LEVELS} levels")
        return None
    except ValueError as error:
        _add(origin, path, 1, f"holds {error}", "correct it there")
        return None
    lines = JsonLines(text)
    for at, message, cure in _find_flaws(document, draft):
        _add(origin, path, lines.line(*at), f"{_words(at)} {message}", cure)
    return shadow_text(document)


def _find_flaws(document: Any, draft: Draft) -> Iterator[Flaw]:
    """Iterate over what AWS IoT would not take, or would ignore."""
    if not isinstance(document, dict) or not isinstance(document.get("state"), dict):
        yield (), 'has no object "state"', _EXAMPLE
        return
    for key in sorted(document.keys() - {"state"}):
        yield (key,), "is not a key of a first shadow", "remove it: jitr writes the state, and nothing else"
    yield from _find_section_flaws(document["state"])
    fields = _fields(draft)
    for at, part in _parts_of(document["state"], ("state",)):
        yield from ((at, *flaw) for flaw in _find_part_flaws(part, len(at), fields))
    size = len(shadow_text(document).encode())
    if size > MOST_SHADOW_BYTES:
        yield (), f"has {size} bytes without white space", f"AWS IoT allows {MOST_SHADOW_BYTES}: shorten it"


def _find_section_flaws(state: dict[str, Any]) -> Iterator[Flaw]:
    for key in sorted(state.keys() - set(_SECTIONS)):
        yield ("state", key), "is not a part of a state", suggest(key, _SECTIONS)
    given = [section for section in _SECTIONS if section in state]
    for section in given:
        if not isinstance(state[section], dict):
            yield ("state", section), "is no object", _EXAMPLE
    if not any(state[section] for section in given) and all(isinstance(state[one], dict) for one in given):
        yield ("state",), "is empty", _EXAMPLE


def _find_part_flaws(part: Any, depth: int, fields: tuple[str, ...] | None) -> Iterator[tuple[str, str]]:
    """Iterate over the flaws of one value; `depth` is 1 for `state`."""
    if isinstance(part, dict | list) and depth == MOST_LEVELS + 1:
        yield f"is nested more than {MOST_LEVELS} levels deep", f"keep {MOST_LEVELS}, state being the first"
    if part is None and depth > _DEPTH_OF_SECTIONS:
        yield "is null, which AWS IoT takes as an order to remove the key", "remove it, or give it a value"
    if isinstance(part, str):
        yield from _find_template_flaws(part, fields)


def _parts_of(part: Any, at: JsonPath) -> Iterator[tuple[JsonPath, Any]]:
    """Iterate over all values of a document, each with its path; not over what is nested too deeply."""
    yield at, part
    if len(at) > MOST_LEVELS:
        return
    inside = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in inside:
        yield from _parts_of(value, (*at, key))


def _find_template_flaws(text: str, fields: tuple[str, ...] | None) -> Iterator[tuple[str, str]]:
    literal = FIELD.sub("", text)
    if "{" in literal or "}" in literal:
        yield (
            f"is {show(text)}, whose braces do not match",
            "write fields like {common_name}; a text has no other braces",
        )
    if fields is not None:
        for field in FIELD.findall(text):
            if field not in fields:
                yield f"uses the unknown field {show(field)}", suggest(field, fields)


def _fields(draft: Draft) -> tuple[str, ...] | None:
    """The fields of the templates of a CA or source; None if its patterns could not be read."""
    if not draft.keys() >= set(NAMING_FIELDS):
        return None
    groups = [group for name in NAMING_FIELDS if draft[name] is not None for group in groups_of(draft[name])]
    return (THING_NAME_FIELD, *TEMPLATE_FIELDS, *groups)


def _refuse_constant(written: str) -> Any:
    raise ValueError(f"{written}, which is no number in JSON")


def _refuse_half_characters(document: Any) -> None:
    try:
        shadow_text(document).encode()
    except UnicodeEncodeError as error:
        raise ValueError(r"half of a surrogate pair (\ud800 to \udfff)") from error


def _read_float(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{show(written)}, which is too large a number")
    return number


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in pairs:
        if name in known:
            raise ValueError(f"the key {show(name)} twice in one object")
        known[name] = value
    return known


def _words(at: JsonPath) -> str:
    written = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).lstrip(".")
    return f"its {written}" if written else "it"


def _add(origin: KeyPosition, path: Path, line: int, what: str, cure: str) -> None:
    message = f"the shadow of {origin}: {what}"
    origin.report.problems.append(Problem(file=path, line=line, message=message, cure=cure))
