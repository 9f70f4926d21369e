"""Asks one stage what is attached to what: principals of things, policies to certificates and thing groups."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jitrctl.survey.policy_flaws import find_claims, find_policy_flaws
from jitrctl.survey.survey_calls import AT_ONCE, principal_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitrctl.survey.survey_calls import SurveyCalls

MOST_DOCUMENTS = 1_000  # policies whose documents are read; of more, those of the most certificates
_MOST_HELD = 1_000  # targets
READ_POLICIES = "SELECT name FROM policy WHERE stage = ? AND flaws IS NOT NULL"
GROUP = ":thinggroup/"
# The thing groups that have a policy.
GROUPS = f"SELECT DISTINCT target FROM attached WHERE stage = ? AND instr(target, '{GROUP}')"  # noqa: S608 -- of ours


def ask_principals(survey: SurveyCalls, _: str | None) -> None:
    """Keep the principals of each thing; a thing that was deleted meanwhile is forgotten."""
    for names in survey.unasked("SELECT name FROM thing WHERE stage = ? AND name > ? AND NOT asked ORDER BY name"):
        found, gone = [], []
        for name in names:
            pages = list(
                survey.pages("ListThingPrincipals", survey.iot.list_thing_principals, None, old=False, thingName=name)
            )
            if not pages:
                gone.append((survey.name, name))
            found += [(survey.name, name, principal_of(arn)) for answer, _ in pages for arn in answer["principals"]]
        survey.file.write(
            ("INSERT OR IGNORE INTO attachment VALUES (?, ?, ?)", found),
            ("UPDATE thing SET asked = 1 WHERE stage = ? AND name = ?", [(survey.name, name) for name in names]),
            ("DELETE FROM thing WHERE stage = ? AND name = ?", gone),
        )


def ask_targets(survey: SurveyCalls, _: str | None) -> None:
    """Keep what each policy is attached to; a policy that was deleted meanwhile is forgotten."""
    keep = "INSERT OR IGNORE INTO attached VALUES (?, ?, ?)"
    for names in survey.unasked("SELECT name FROM policy WHERE stage = ? AND name > ? AND NOT asked ORDER BY name"):
        rows: list[Sequence[Any]] = []
        asked: list[Sequence[Any]] = []
        gone: list[Sequence[Any]] = []
        for name in names:
            is_there = False
            for answer, _next in survey.pages(
                "ListTargetsForPolicy", survey.iot.list_targets_for_policy, None, policyName=name
            ):
                is_there = True
                rows += [(survey.name, name, principal_of(arn)) for arn in answer["targets"]]
                if len(rows) > _MOST_HELD:
                    survey.file.write((keep, rows))
                    rows.clear()
            (asked if is_there else gone).append((survey.name, name))
        survey.file.write(
            (keep, rows),
            ("UPDATE policy SET asked = 1 WHERE stage = ? AND name = ?", asked),
            ("DELETE FROM policy WHERE stage = ? AND name = ?", gone),
        )


def ask_groups(survey: SurveyCalls, place: str | None) -> None:
    """Keep the things of each group that has a policy, child groups included: policies are inherited.

    The place is a group's ARN and a marker in its list.
    """
    begun, _, marker = (place or "").partition("|")
    for (arn,) in list(survey.file.rows(f"{GROUPS} AND target >= ? ORDER BY target", survey.name, begun)):
        pages = survey.pages(
            "ListThingsInThingGroup",
            survey.iot.list_things_in_thing_group,
            (marker or None) if arn == begun else None,
            old=False,
            thingGroupName=arn.partition(GROUP)[2],
            recursive=True,
        )
        for answer, after in pages:
            rows = [(survey.name, arn, name) for name in answer["things"]]
            survey.keep("groups", f"{arn}|{after or ''}", "INSERT OR IGNORE INTO member VALUES (?, ?, ?)", rows)


def read_documents(survey: SurveyCalls, _: str | None) -> None:
    """Keep what is wrong with each policy, and whether it allows to claim certificates."""
    most_attached = (
        "SELECT policy.name FROM policy LEFT JOIN attached ON attached.stage = policy.stage AND "  # noqa: S608 -- a number of ours
        "attached.policy = policy.name WHERE policy.stage = ? GROUP BY policy.name "
        f"ORDER BY count(attached.target) DESC, policy.name LIMIT {MOST_DOCUMENTS}"
    )
    read = {row[0] for row in survey.file.rows(READ_POLICIES, survey.name)}
    wanted = [row[0] for row in survey.file.rows(most_attached, survey.name) if row[0] not in read]
    for names in (wanted[first : first + AT_ONCE] for first in range(0, len(wanted), AT_ONCE)):
        rows, gone = [], []
        for name in names:
            found = survey.make("GetPolicy", survey.iot.get_policy, policyName=name)
            if found is None:
                gone.append((survey.name, name))
                continue
            document = found["policyDocument"]
            rows.append((json.dumps(find_policy_flaws(document)), int(find_claims(document)), survey.name, name))
        survey.file.write(
            ("UPDATE policy SET flaws = ?, claims = ? WHERE stage = ? AND name = ?", rows),
            ("DELETE FROM policy WHERE stage = ? AND name = ?", gone),
            ("DELETE FROM attached WHERE stage = ? AND policy = ?", gone),
        )
