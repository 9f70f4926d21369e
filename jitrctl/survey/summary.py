"""Sums up what a finished survey found in one stage: numbers, and the first of what can be many."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitrctl.clock import now
from jitrctl.survey.attachment_steps import GROUP
from jitrctl.survey.findings import find_certificates

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage
    from jitrctl.survey.file import SurveyFile

MOST_NAMED = 20  # of what can be many: policies, claim certificates, things
_PER_THING = """
SELECT thing.name AS name, count(principal) AS number FROM thing LEFT JOIN attachment
ON attachment.stage = thing.stage AND attachment.thing = thing.name WHERE thing.stage = ? GROUP BY thing.name
"""
_PER_POLICY = """
SELECT policy.name AS name, count(target) AS number FROM policy LEFT JOIN attached
ON attached.stage = policy.stage AND attached.policy = policy.name WHERE policy.stage = ? GROUP BY policy.name
"""
_ON_SEVERAL = """
SELECT principal FROM attachment WHERE stage = ? GROUP BY principal HAVING count(*) > 1
"""
_ON_NONE = """
SELECT count(*) FROM certificate WHERE stage = ? AND NOT EXISTS (SELECT 1 FROM attachment
WHERE attachment.stage = certificate.stage AND attachment.principal = certificate.id)
"""
# Neither of its own, nor of a group of its thing.
_WITHOUT_POLICY = """
SELECT count(*) FROM certificate WHERE stage = ? AND status = 'ACTIVE'
AND NOT EXISTS (SELECT 1 FROM attached WHERE attached.stage = certificate.stage AND attached.target = certificate.id)
AND NOT EXISTS (SELECT 1 FROM attachment JOIN member ON member.stage = attachment.stage
    AND member.thing = attachment.thing
    WHERE attachment.stage = certificate.stage AND attachment.principal = certificate.id)
"""
# A policy's ACTIVE certificates: its own, and those whose things are in a group that has it.
_ACTIVE_UNDER = """
SELECT certificate.id FROM attached JOIN certificate ON certificate.stage = attached.stage
    AND certificate.id = attached.target
    WHERE attached.stage = ? AND attached.policy = ? AND certificate.status = 'ACTIVE'
UNION
SELECT certificate.id FROM attached JOIN member ON member.stage = attached.stage
    AND member.thing_group = attached.target
    JOIN attachment ON attachment.stage = member.stage AND attachment.thing = member.thing
    JOIN certificate ON certificate.stage = attachment.stage AND certificate.id = attachment.principal
    WHERE attached.stage = ? AND attached.policy = ? AND certificate.status = 'ACTIVE'
"""
_GROUPS = f"""
SELECT attached.target, attached.policy, (SELECT count(*) FROM member
    WHERE member.stage = attached.stage AND member.thing_group = attached.target)
FROM attached WHERE attached.stage = ? AND instr(attached.target, '{GROUP}') ORDER BY attached.target, attached.policy
"""  # noqa: S608 -- a text of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCa:
    """One registered CA."""

    name: str  # as the fleet file calls it; else the beginning of its id
    status: str
    mode: str | None
    registers: bool
    template: str | None
    ends_at: str | None
    has_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTemplate:
    """One provisioning template."""

    name: str
    kind: str
    is_enabled: bool
    policies: tuple[str, ...]
    hook: str | None  # the function that it asks before


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundHandler:
    """One topic rule that gets registration events."""

    rule: str
    topic: str
    is_enabled: bool
    is_jitr: bool  # this fleet's own
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundClaims:
    """A policy that allows to claim certificates, and its ACTIVE certificates."""

    policy: str
    number: int
    certificate_ids: tuple[str, ...]  # the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a survey found in one stage."""

    certificates: Counter[tuple[str, str, str, str]]  # origin, CA, status, mode
    evidence: Counter[tuple[str, str]]
    things: int
    things_without: int
    things_with_several: int
    several_named: tuple[str, ...]
    certificates_on_several: int
    certificates_without: int
    certificates_without_policy: int
    certificates_ended: int  # of those that were described
    transferred: int
    other_fleets: Counter[str]  # certificates by another fleet of jitr
    policies: int
    policies_of_one: int  # attached to exactly one target
    policies_of_none: int
    policies_read: int
    most_attached: tuple[tuple[str, int], ...]  # policy, certificates and groups
    groups: tuple[tuple[str, str, int], ...]  # thing group, its policy, its things
    flaws: tuple[tuple[str, str], ...]  # policy, what it allows
    claims: tuple[FoundClaims, ...]
    cas: tuple[FoundCa, ...]
    templates: tuple[FoundTemplate, ...]
    handlers: tuple[FoundHandler, ...]


def summarize(stage: Stage, file: SurveyFile) -> Findings:
    """What a finished survey found in a stage."""
    certificates, evidence = Counter[tuple[str, str, str, str]](), Counter[tuple[str, str]]()
    other_fleets, transferred, ended = Counter[str](), 0, 0
    at = now().isoformat()
    for one in find_certificates(stage, file):
        certificates[one.origin.value, one.ca_name, one.status, one.mode or "-"] += 1
        evidence[one.origin.value, one.evidence] += 1
        transferred += one.is_transferred
        ended += one.ends_at is not None and one.ends_at < at
        if one.other_fleet:
            other_fleets[one.other_fleet] += 1
    name, count = str(stage), file.one

    def number(of: str, where: str) -> Any:
        return count(f"SELECT count(*) FROM ({of}) WHERE {where}", name)  # noqa: S608 -- texts of ours

    return Findings(
        certificates=certificates,
        evidence=evidence,
        things=count("SELECT count(*) FROM thing WHERE stage = ?", name),
        things_without=number(_PER_THING, "number = 0"),
        things_with_several=number(_PER_THING, "number > 1"),
        several_named=tuple(
            row[0]
            for row in file.rows(f"SELECT name FROM ({_PER_THING}) WHERE number > 1 LIMIT {MOST_NAMED}", name)  # noqa: S608
        ),
        certificates_on_several=number(_ON_SEVERAL, "1"),
        certificates_without=count(_ON_NONE, name),
        certificates_without_policy=count(_WITHOUT_POLICY, name),
        certificates_ended=ended,
        transferred=transferred,
        other_fleets=other_fleets,
        policies=count("SELECT count(*) FROM policy WHERE stage = ?", name),
        policies_of_one=number(_PER_POLICY, "number = 1"),
        policies_of_none=number(_PER_POLICY, "number = 0"),
        policies_read=count("SELECT count(*) FROM policy WHERE stage = ? AND flaws IS NOT NULL", name),
        most_attached=tuple(
            file.rows(
                f"SELECT name, number FROM ({_PER_POLICY}) WHERE number > 1 "  # noqa: S608 -- texts of ours
                f"ORDER BY number DESC, name LIMIT {MOST_NAMED}",
                name,
            )
        ),
        groups=tuple((arn.partition(GROUP)[2], policy, things) for arn, policy, things in file.rows(_GROUPS, name)),
        flaws=tuple(
            (policy, text)
            for policy, flaws in file.rows(
                "SELECT name, flaws FROM policy WHERE stage = ? AND flaws IS NOT NULL AND flaws != '[]' ORDER BY name",
                name,
            )
            for text in json.loads(flaws)
        ),
        claims=tuple(_read_claims(file, name)),
        cas=tuple(_read_cas(stage, file, at)),
        templates=tuple(
            FoundTemplate(
                name=one, kind=kind, is_enabled=bool(enabled), policies=tuple(json.loads(policies)), hook=hook
            )
            for one, kind, enabled, policies, hook in file.rows(
                "SELECT name, type, enabled, policies, hook FROM template WHERE stage = ? ORDER BY name", name
            )
        ),
        handlers=tuple(_read_handlers(stage, file)),
    )


def _read_claims(file: SurveyFile, name: str) -> list[FoundClaims]:
    found = []
    for (policy,) in file.rows("SELECT name FROM policy WHERE stage = ? AND claims = 1 ORDER BY name", name):
        values = (name, policy, name, policy)
        ids = tuple(row[0] for row in file.rows(f"{_ACTIVE_UNDER} LIMIT {MOST_NAMED}", *values))
        number = file.one(f"SELECT count(*) FROM ({_ACTIVE_UNDER})", *values)  # noqa: S608 -- texts of ours
        found.append(FoundClaims(policy=policy, number=number, certificate_ids=ids))
    return found


def _read_cas(stage: Stage, file: SurveyFile, at: str) -> list[FoundCa]:
    names = {one.certificate_id: one.name for one in stage.rules.cas}
    return [
        FoundCa(
            name=names.get(one) or one[:12],
            status=status,
            mode=mode,
            registers=bool(auto),
            template=template,
            ends_at=ends_at,
            has_ended=ends_at is not None and ends_at < at,
        )
        for one, status, mode, auto, template, ends_at in file.rows(
            "SELECT id, status, mode, auto, template, ends_at FROM ca WHERE stage = ? ORDER BY id", str(stage)
        )
    ]


def _read_handlers(stage: Stage, file: SurveyFile) -> list[FoundHandler]:
    ours = {stage.names.rule(one.name) for one in stage.rules.cas}
    return [
        FoundHandler(
            rule=rule,
            topic=topic,
            is_enabled=not disabled,
            is_jitr=rule in ours,
            actions=tuple(json.loads(actions)),
        )
        for rule, topic, disabled, actions in file.rows(
            "SELECT name, pattern, disabled, actions FROM rule WHERE stage = ? ORDER BY name", str(stage)
        )
    ]
