"""Finds the certificates of an order on many devices: those of a file, of a CA, or of a thing group, in all stages.

What was chosen is part of the plan: the operator sees it before the counts of each account.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jitr.verdicts import OperatorAction
from jitrctl.device.many_targets import FoundHere, find_by_ca, find_by_group, find_named
from jitrctl.device.order_file import FileDevices, Form, LineProblem, read_order_file
from jitrctl.errors import Refused, Unusable
from jitrctl.session.stage import known_origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jitrctl.run.parallel import Failed
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage


class Selection(NamedTuple):
    """Which devices are meant: those of one of file, CA and group."""

    file: Path | None = None
    ca: str | None = None
    issued_between: tuple[datetime, datetime] | None = None
    group: str | None = None


def select(
    from_file: str | None, ca: str | None, issued_between: tuple[str, str] | None, group: str | None
) -> Selection | None:
    """What the options choose; None when they are not given.

    Raises Unusable when they do not fit together.
    """
    if "" in (from_file, ca, group):
        raise Unusable("--from, --ca or --thing-group is empty: is a variable of your shell not set?")
    given = [part for part in (from_file, ca, group) if part is not None]
    if not given and issued_between is None:
        return None
    if len(given) != 1:
        raise Unusable("say one of --from FILE, --ca CA and --thing-group GROUP")
    if issued_between is None:
        return Selection(Path(from_file) if from_file is not None else None, ca, None, group)
    if ca is None:
        raise Unusable("--issued-between can only be said with --ca")
    first, last = _read_time(issued_between[0]), _read_time(issued_between[1])
    if "T" not in issued_between[1] and " " not in issued_between[1]:
        last += timedelta(days=1) - timedelta(microseconds=1)  # that day included
    if last < first:
        raise Unusable("--issued-between takes the earlier time first")
    return Selection(None, ca, (first, last), None)


def _read_time(text: str) -> datetime:
    """Raises Unusable."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unusable(f"{text} is no time: write 2026-11-01 or 2026-11-01T12:00") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The certificates that are meant."""

    certificates: frozenset[str]
    chosen: str  # what was chosen, in words
    forms: Mapping[Form, int] = field(default_factory=dict)  # of a file: how many of its lines are of each
    problems: tuple[LineProblem, ...] = ()
    failed: tuple[Failed, ...] = ()  # stages that could not be asked


def chosen_document(selection: Selection, targets: Targets) -> dict[str, Any]:
    """What was chosen, for --json."""
    between = selection.issued_between
    return {
        "file": str(selection.file) if selection.file else None,
        "lines": {form.value: targets.forms.get(form, 0) for form in Form} if selection.file else None,
        "ca": selection.ca,
        "issued_between": [one.isoformat() for one in between] if between else None,
        "thing_group": selection.group,
    }


def find_targets(scope: Scope, selection: Selection, action: OperatorAction, stages: Sequence[Stage]) -> Targets:
    """Find the certificates that are meant, in all stages that can be asked.

    Of a CA also those that are INACTIVE, if they are to be REVOKED.

    Raises Unusable, Refused.
    """
    if selection.file is not None:
        return _resolve(scope, selection.file, read_order_file(selection.file), stages)
    if selection.ca is not None:
        ca = known_origin(scope.fleet, selection.ca)
        found = scope.across(
            lambda stage: find_by_ca(
                stage, ca, selection.issued_between, with_inactive=action is OperatorAction.REVOKED
            ),
            doing="reading certificates",
            stages=stages,
        )
    else:
        group = str(selection.group)
        found = scope.across(lambda stage: find_by_group(stage, group), doing="reading the thing group", stages=stages)
        if found.done and not found.failed and all(done.value.is_missing for done in found.done):
            raise Refused(f"no account has a thing group {group}: correct its name")
    for done in found.done:  # a warning of a stage counts: the order is not complete there
        done.stage.warnings.extend(describe_left_out(done.value))
    return Targets(
        certificates=frozenset().union(*(done.value.certificates for done in found.done)),
        chosen=_describe_selection(selection),
        failed=found.failed,
    )


def _describe_selection(selection: Selection) -> str:
    if selection.group is not None:
        return f"Thing group {selection.group} and those below it, as all accounts have them; devices of any CA"
    if selection.issued_between is None:
        return f"CA {selection.ca}, all devices"
    first, last = (f"{one:%Y-%m-%d %H:%M:%S}Z" for one in selection.issued_between)
    return f"CA {selection.ca}, devices whose certificates begin between {first} and {last}"


def _describe_file(path: Path, given: FileDevices, problems: int) -> str:
    parts = [form.describe(given.forms[form]) for form in Form if given.forms[form]]
    parts += [f"{problems:,} that name{'s' if problems == 1 else ''} no device"] if problems else []
    return f"{path}, {given.lines:,} {'line' if given.lines == 1 else 'lines'}: {', '.join(parts)}"


_NAME_THEM = "name them in a file, with `--from` of `jitrctl device revoke` or `deactivate`"


def describe_left_out(found: FoundHere) -> Iterable[str]:
    if found.unknown:
        yield (
            f"{found.unknown:,} ACTIVE or pending certificates are listed under no CA, and no record names theirs, so "
            f"they get no order: `jitrctl device show ID` shows each; {_NAME_THEM}"
        )
    if found.undated:
        yield (f"it is not known when {found.undated:,} certificates were issued, so they get no order: {_NAME_THEM}")


def _resolve(scope: Scope, path: Path, given: FileDevices, stages: Sequence[Stage]) -> Targets:
    """The certificates of a file's lines; a name or serial number that means none, or several, is a problem.

    So is the id of a CA of the fleet.
    """
    problems = list(given.problems)
    certificates = set(given.certificates)
    for ca in scope.fleet.cas:
        if (line := given.certificates.get(ca.certificate_id)) is not None:
            certificates.discard(ca.certificate_id)
            why = f"is the fleet's CA {ca.name}, and no device: `jitrctl ca revoke {ca.name}` takes it out"
            problems.append(LineProblem(line=line, text=ca.certificate_id, why=why))
    failed: tuple[Failed, ...] = ()
    if given.things or given.serials:
        asked = scope.across(
            lambda stage: find_named(stage, given.things, given.serials), doing="reading names", stages=stages
        )
        failed = asked.failed
        not_asked = f", and {asked.failed[0].stage} cannot be asked" if asked.failed else ""
        here = [done.value for done in asked.done]
        for name, line in given.things.items():
            ids = frozenset(one for known in here for one in known.things.get(name, ()))
            _take_only(certificates, problems, ids, LineProblem(line=line, text=name, why=not_asked))
        for serial, line in given.serials.items():
            ids = frozenset(one for known in here for one in known.serials.get(serial, ()))
            _take_only(certificates, problems, ids, LineProblem(line=line, text=f"0x{serial}", why=not_asked))
    return Targets(
        certificates=frozenset(certificates),
        chosen=_describe_file(path, given, len(problems)),
        forms=given.forms,
        problems=tuple(sorted(problems, key=lambda one: one.line)),
        failed=failed,
    )


def _take_only(certificates: set[str], problems: list[LineProblem], ids: frozenset[str], line: LineProblem) -> None:
    """Take the one certificate that a line means; if there is none, or several, the line is a problem."""
    if len(ids) == 1:
        certificates |= ids
    elif ids:
        why = f"means {len(ids)} certificates, say which: {', '.join(sorted(ids))}"
        problems.append(replace(line, why=why))
    else:
        problems.append(replace(line, why=f"no account knows a certificate of it{line.why}"))
