"""Reads and writes the plan of a take-over: a text file that an engineer reviews, one line for each certificate.

    VERB  STAGE  THING  CERTIFICATE  PRINCIPALS  ORIGIN  # remark

`adopt` and `align` are carried out, `skip` is not, and `review` waits until somebody writes one of the others. Lines
that begin with # are remarks: among them is what cannot be adopted, with its reason and cure. The last line has the
number of certificates, so that a plan that was cut is not taken for a shorter one.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import TYPE_CHECKING

from jitr.frozen import value
from jitrctl.errors import Unusable
from jitrctl.survey.origins import CertificateOrigin

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

_FIRST = "# jitr take-over plan 1, fleet "
_LAST = re.compile(r"# end of the plan: ([0-9]{1,12}) certificates?")
_FIELDS = 6
_THING, _CERTIFICATE = re.compile(r"[a-zA-Z0-9:_-]{1,128}"), re.compile(r"[0-9a-f]{64}")
MOST_REPORTED = 100
HEADING = """\
# adopt   take the thing into jitr's registry; its status, sessions and policies stay as they are
# align   the same, and give it type, groups, attributes and policy of the fleet file; its other policies are detached
# review  nothing is done: decide, and write adopt, align or skip
# skip    nothing is done
#
# verb  account/region  thing  certificate  principals  origin
"""


def _in_one_word(origin: CertificateOrigin) -> str:
    return origin.value.replace(" ", "-")


_ORIGINS = {_in_one_word(one): one for one in CertificateOrigin}


class PlanVerb(StrEnum):
    """What is to be done with a line."""

    ADOPT = "adopt"
    ALIGN = "align"
    REVIEW = "review"
    SKIP = "skip"


@value
class PlanLine:
    """One certificate of one thing in one stage."""

    verb: PlanVerb
    stage: str
    thing_name: str
    certificate_id: str
    principals: int  # of the thing when it was surveyed
    origin: CertificateOrigin
    remark: str = ""

    def __str__(self) -> str:
        """The line as it is in the file."""
        origin = _in_one_word(self.origin)
        line = f"{self.verb}  {self.stage}  {self.thing_name}  {self.certificate_id}  {self.principals}  {origin}"
        return f"{line}  # {self.remark}" if self.remark else line


class BadPlan(Unusable):
    """A plan that cannot be carried out; `problems` has all that is wrong, the text the first hundred."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        shown = _one_line("; ".join(problems[:MOST_REPORTED]))  # a terminal carries out what an editor does not show
        more = f" and {len(problems) - MOST_REPORTED:,} more" if len(problems) > MOST_REPORTED else ""
        super().__init__(f"{path}: {shown}{more}; nothing was done")
        self.problems = tuple(problems)


def write_plan(path: Path, fleet: str, lines: Iterable[PlanLine | str]) -> None:
    """Write a new plan file, which its owner alone may read; a text is a remark.

    Raises Unusable when there is a file of that name already, or it cannot be written.
    """
    try:
        with open(path, "x", encoding="utf-8", opener=_open_for_owner) as file:
            try:
                file.write(f"{_FIRST}{fleet}\n{HEADING}")
                number = 0
                for line in lines:
                    number += isinstance(line, PlanLine)
                    text = f"# {line}" if isinstance(line, str) else str(line)
                    file.write(f"{_one_line(text)}\n")
                file.write(f"# end of the plan: {number} certificate{'' if number == 1 else 's'}\n")
            except BaseException:
                path.unlink()  # a part of a plan would pass as one
                raise
    except FileExistsError as error:
        raise Unusable(f"{path} exists, and may have been edited: name another file; nothing was written") from error
    except OSError as error:
        raise Unusable(f"{path} cannot be written: {error.strerror}") from error


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)


def read_plan(path: Path, fleet: str, stages: Collection[str]) -> tuple[PlanLine, ...]:
    """The lines of a plan for this fleet; `stages` are all that the fleet file has.

    Raises BadPlan with every problem and its line; Unusable when the file cannot be read.
    """
    try:
        # By line feeds alone: other separators, which editors do not show as such, would end a remark.
        texts = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}") from error
    problems: list[str] = []
    if not texts or texts[0].strip() != f"{_FIRST}{fleet}":
        problems.append(f"line 1 is not `{_FIRST}{fleet}`: it is no plan, of another version, or another fleet's")
    found = list(_read_lines(texts, stages, problems))
    _find_end(texts, problems)
    if problems:
        raise BadPlan(path, problems)
    return tuple(found)


def _find_end(texts: list[str], problems: list[str]) -> None:
    """Add a problem unless the plan has its end, after all certificates, with their number."""
    ends = [(number, match) for number, text in enumerate(texts, 1) if (match := _LAST.fullmatch(text.strip()))]
    certificates = [number for number, text in enumerate(texts, 1) if text.strip() and not text.strip().startswith("#")]
    if not ends:
        problems.append(
            f"line {len(texts)}: the end is missing, `# end of the plan: …`, so the plan was cut: plan again, into "
            "another file"
        )
        return
    number, match = ends[0]
    problems += [
        f"line {one}: it comes after the end of the plan, line {number}" for one in certificates if one > number
    ]
    if int(match[1]) != len(certificates):
        problems.append(
            f"line {number}: by its end the plan has {match[1]}, by its lines {len(certificates)}: put back what is "
            "missing, with skip if nothing is to be done, or correct the number"
        )


def _read_lines(texts: list[str], stages: Collection[str], problems: list[str]) -> Iterator[PlanLine]:
    things: dict[tuple[str, str], int] = {}
    certificates: dict[tuple[str, str], int] = {}
    for number, text in enumerate(texts, start=1):
        written, _, remark = text.partition("#")
        fields = written.split()
        if not fields:
            continue
        wrong = _find_problem(fields, stages)
        if wrong:
            problems.append(f"line {number}: {wrong}")
            continue
        line = PlanLine(
            verb=PlanVerb(fields[0]),
            stage=fields[1],
            thing_name=fields[2],
            certificate_id=fields[3],
            principals=int(fields[4]),
            origin=_ORIGINS[fields[5]],
            remark=remark.strip(),
        )
        if line.verb in (PlanVerb.ADOPT, PlanVerb.ALIGN):
            for seen, key, what in (
                (things, (line.stage, line.thing_name), f"thing {line.thing_name}"),
                (certificates, (line.stage, line.certificate_id), f"certificate {line.certificate_id}"),
            ):
                if key in seen:
                    problems.append(f"line {number}: {what} is in line {seen[key]} already: skip one of the two")
                seen.setdefault(key, number)
        yield line


def _find_problem(fields: list[str], stages: Collection[str]) -> str | None:  # noqa: PLR0911 -- one for each field
    if len(fields) != _FIELDS:
        return (
            f"{len(fields)} fields instead of {_FIELDS}: verb, account/region, thing, certificate, principals, origin"
        )
    verb, stage, thing, certificate, principals, origin = fields
    if verb not in list(PlanVerb):
        return f"{verb} is no verb: write {', '.join(PlanVerb)}"
    if stage not in stages:
        return f"the fleet has no {stage}: write one of {', '.join(stages)}"
    if not _THING.fullmatch(thing):
        return f"{thing} is no thing name"
    if not _CERTIFICATE.fullmatch(certificate):
        return f"{certificate} is no certificate id, which has 64 hexadecimal digits in lower case"
    if not re.fullmatch(r"[1-9][0-9]{0,8}", principals):
        return f"{principals} is no number of principals"
    if origin not in _ORIGINS:
        return f"{origin} is no origin: write one of {', '.join(_ORIGINS)}"
    return None
