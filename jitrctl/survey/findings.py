"""Reads from a survey file what there is in one stage: certificates with their origins, things, policies, handlers."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitr.rules import is_source
from jitrctl.survey.origins import CertificateFacts, CertificateOrigin, infer_origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitrctl.session.stage import Stage
    from jitrctl.survey.file import SurveyFile

_CERTIFICATES = """
SELECT certificate.id, certificate.status, certificate.mode, certificate.ca, certificate.issuer, certificate.facts,
    certificate.ends_at, certificate.record, ca.id, ca.auto, ca.template,
    (SELECT group_concat(policy, char(10)) FROM attached
     WHERE attached.stage = certificate.stage AND attached.target = certificate.id)
FROM certificate LEFT JOIN ca ON ca.stage = certificate.stage AND ca.id = certificate.ca
WHERE certificate.stage = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCertificate:
    """One certificate of the survey."""

    certificate_id: str
    status: str
    mode: str | None
    ca: str | None
    ca_name: str  # as the fleet file calls it; else the beginning of its id, or "-"
    is_fleets: bool  # under a CA or source that the fleet file gives this account
    origin: CertificateOrigin
    evidence: str
    is_transferred: bool
    ends_at: str | None
    policies: tuple[str, ...]
    is_recorded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a survey found in one stage; numbers, and the first of what can be many."""

    certificates: Counter[tuple[str, str, str, str]]  # origin, CA, status, mode
    evidence: Counter[tuple[str, str]]
    things: int
    things_without: int
    things_with_several: int
    certificates_on_several: int
    certificates_without: int
    transferred: int
    policies: int
    policies_of_one: int  # attached to exactly one target
    policies_of_none: int
    flaws: tuple[tuple[str, str], ...]  # policy, what it allows
    claims: tuple[tuple[str, int], ...]  # policy that allows to claim, its ACTIVE certificates
    cas: tuple[tuple[str, str, str], ...]  # CA, status, template
    templates: tuple[tuple[str, str, bool], ...]
    handlers: tuple[tuple[str, str, bool, bool], ...]  # rule, topic, enabled, jitr's


def find_certificates(stage: Stage, file: SurveyFile, where: str = "", *values: Any) -> Iterator[FoundCertificate]:
    """The certificates of a stage; `where` narrows them (SQL)."""
    names = {one.certificate_id: one.name for one in stage.rules.origins}
    templates = [
        (row[0], set(json.loads(row[1])))
        for row in file.rows(
            "SELECT name, policies FROM template WHERE stage = ? AND type = 'FLEET_PROVISIONING'", str(stage)
        )
    ]
    for row in file.rows(_CERTIFICATES + where, str(stage), *values):
        one, status, mode, ca, issuer, facts, ends_at, record, registered, auto, template, policies = row
        known, attached = json.loads(facts or "{}"), tuple((policies or "").split("\n")) if policies else ()
        origin, evidence = infer_origin(
            CertificateFacts(
                record=record,
                ca=None if is_source(ca) else ca,
                is_ca_registered=registered is not None,
                registers=bool(auto),
                template=template,
                issuer=issuer,
                signed_by_fleet=known.get("signed_by_fleet", False) and known.get("mode") != "DEFAULT" and not auto,
                provisioning=next((name for name, made in templates if made & set(attached)), None),
            )
        )
        yield FoundCertificate(
            certificate_id=one,
            status=status,
            mode=mode,
            ca=ca,
            ca_name=names.get(ca) or (ca[:12] if ca else "-"),
            is_fleets=ca in names,
            origin=origin,
            evidence=evidence,
            is_transferred=known.get("transferred", False),
            ends_at=ends_at,
            policies=attached,
            is_recorded=record is not None,
        )


def summarize(stage: Stage, file: SurveyFile) -> Findings:
    """What a finished survey found in a stage."""
    certificates, evidence, transferred = Counter[tuple[str, str, str, str]](), Counter[tuple[str, str]](), 0
    for one in find_certificates(stage, file):
        certificates[one.origin.value, one.ca_name, one.status, one.mode or "-"] += 1
        evidence[one.origin.value, one.evidence] += 1
        transferred += one.is_transferred
    name, count = str(stage), file.one
    per_thing = (
        "SELECT count(principal) AS number FROM thing LEFT JOIN attachment ON attachment.stage = thing.stage "
        "AND attachment.thing = thing.name WHERE thing.stage = ? GROUP BY thing.name"
    )
    per_policy = (
        "SELECT count(target) AS number FROM policy LEFT JOIN attached ON attached.stage = policy.stage "
        "AND attached.policy = policy.name WHERE policy.stage = ? GROUP BY policy.name"
    )
    names = {one.certificate_id: one.name for one in stage.rules.cas}
    ours = {stage.names.rule(one.name) for one in stage.rules.cas}
    return Findings(
        certificates=certificates,
        evidence=evidence,
        things=count("SELECT count(*) FROM thing WHERE stage = ?", name),
        things_without=count(f"SELECT count(*) FROM ({per_thing}) WHERE number = 0", name),  # noqa: S608
        things_with_several=count(f"SELECT count(*) FROM ({per_thing}) WHERE number > 1", name),  # noqa: S608
        certificates_on_several=count(
            "SELECT count(*) FROM (SELECT 1 FROM attachment WHERE stage = ? GROUP BY principal HAVING count(*) > 1)",
            name,
        ),
        certificates_without=count(
            "SELECT count(*) FROM certificate WHERE stage = ? AND NOT EXISTS (SELECT 1 FROM attachment "
            "WHERE attachment.stage = certificate.stage AND attachment.principal = certificate.id)",
            name,
        ),
        transferred=transferred,
        policies=count("SELECT count(*) FROM policy WHERE stage = ?", name),
        policies_of_one=count(f"SELECT count(*) FROM ({per_policy}) WHERE number = 1", name),  # noqa: S608
        policies_of_none=count(f"SELECT count(*) FROM ({per_policy}) WHERE number = 0", name),  # noqa: S608
        flaws=tuple(
            (policy, text)
            for policy, flaws in file.rows(
                "SELECT name, flaws FROM policy WHERE stage = ? AND flaws IS NOT NULL AND flaws != '[]' ORDER BY name",
                name,
            )
            for text in json.loads(flaws)
        ),
        claims=tuple(
            file.rows(
                "SELECT policy.name, (SELECT count(*) FROM attached JOIN certificate ON certificate.stage = "
                "attached.stage AND certificate.id = attached.target WHERE attached.stage = policy.stage AND "
                "attached.policy = policy.name AND certificate.status = 'ACTIVE') FROM policy "
                "WHERE stage = ? AND claims = 1 ORDER BY name",
                name,
            )
        ),
        cas=tuple(
            (names.get(one) or one[:12], status, template or "-")
            for one, status, template in file.rows(
                "SELECT id, status, template FROM ca WHERE stage = ? ORDER BY id", name
            )
        ),
        templates=tuple(
            (one, kind, bool(enabled))
            for one, kind, enabled in file.rows(
                "SELECT name, type, enabled FROM template WHERE stage = ? ORDER BY name", name
            )
        ),
        handlers=tuple(
            (rule, pattern, not disabled, rule in ours)
            for rule, pattern, disabled in file.rows(
                "SELECT name, pattern, disabled FROM rule WHERE stage = ? ORDER BY name", name
            )
        ),
    )
