"""Reads from a survey file the certificates of one stage, each with its origin."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitrctl.survey.origins import CertificateFacts, CertificateOrigin, infer_origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitrctl.session.stage import Stage
    from jitrctl.survey.file import SurveyFile

_CERTIFICATES = """
SELECT certificate.id, certificate.status, certificate.mode, certificate.ca, certificate.named, certificate.described,
    certificate.facts, certificate.ends_at, certificate.record, certificate.record_ca,
    certificate.record_thing,
    ca.id, ca.auto, ca.template, ca.policies,
    (SELECT group_concat(policy, char(10)) FROM attached
     WHERE attached.stage = certificate.stage AND attached.target = certificate.id)
FROM certificate LEFT JOIN ca ON ca.stage = certificate.stage AND ca.id = certificate.ca
WHERE certificate.stage = ?
"""
_PART = 1_000  # certificates
_NAMES_SNI_ONLY = "SELECT 1 FROM certificate WHERE stage = ? AND named AND mode = 'SNI_ONLY' LIMIT 1"
_OF_JITR = re.compile(r"jitr-(.+?)--")  # policies of jitr's stacks; no fleet's name has two hyphens in a row


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
    ends_at: str | None  # None: it was not described
    policies: tuple[str, ...]  # its own, not those of its thing's groups
    record: str | None  # the outcome that jitr recorded, or HELD_UNDER_TEMPLATE
    record_thing: str | None  # the thing of that decision
    other_fleet: str | None  # another fleet of jitr that attached a policy


@dataclass(frozen=True, slots=True, kw_only=True)
class _StageFacts:
    """What is the same for all certificates of a stage."""

    provisioning: dict[str, frozenset[str]]  # fleet provisioning template → the policies that it attaches
    jitp: dict[str, frozenset[str]]
    names_sni_only: bool

    @classmethod
    def of(cls, file: SurveyFile, stage: str) -> _StageFacts:
        """Read once for each file: a plan asks for one certificate after the other."""
        if stage not in file.known:
            found: dict[str, dict[str, frozenset[str]]] = {"FLEET_PROVISIONING": {}, "JITP": {}}
            for name, kind, policies in file.rows("SELECT name, type, policies FROM template WHERE stage = ?", stage):
                found.setdefault(kind, {})[name] = frozenset(json.loads(policies))
            file.known[stage] = cls(
                provisioning=found["FLEET_PROVISIONING"],
                jitp=found["JITP"],
                names_sni_only=file.one(_NAMES_SNI_ONLY, stage) is not None,
            )
        known: _StageFacts = file.known[stage]
        return known


def find_certificates(stage: Stage, file: SurveyFile, where: str = "", *values: Any) -> Iterator[FoundCertificate]:
    """The certificates of a stage whose survey is finished; `where` narrows them (SQL)."""
    names = {one.certificate_id: one.name for one in stage.rules.origins}
    of_stage = _StageFacts.of(file, str(stage))
    for row in _read_in_parts(file, str(stage), where, *values):
        one, status, mode, ca, named, described, facts, ends_at, record, record_ca, record_thing = row[:11]
        registered, auto, template, template_policies, attached = row[11:]
        known, policies = json.loads(facts or "{}"), frozenset(attached.split("\n") if attached else ())
        other_fleet = next(
            (fleet[1] for name in policies if (fleet := _OF_JITR.match(name)) and fleet[1] != stage.fleet.name), None
        )
        origin, evidence = infer_origin(
            CertificateFacts(
                status=status,
                mode=mode,
                record=record,
                record_ca=record_ca,
                ca=ca,
                is_named=bool(named),
                is_ca_registered=registered is not None,
                registers=bool(auto),
                template=template,
                template_policies=frozenset(json.loads(template_policies))
                if template_policies
                else of_stage.jitp.get(template, frozenset()),
                is_described=bool(described),
                issuer=known.get("issuer"),
                subject=known.get("subject"),
                policies=policies,
                provisioning=_first_of(of_stage.provisioning, policies),
                jitp=_first_of(of_stage.jitp, policies),
                names_sni_only=of_stage.names_sni_only,
                other_fleet=other_fleet,
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
            policies=tuple(sorted(policies)),
            record=record,
            record_thing=record_thing,
            other_fleet=other_fleet,
        )


def _read_in_parts(file: SurveyFile, stage: str, where: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """The rows in order, some at once: while a query is open, no other stage can write."""
    query, after = f"{_CERTIFICATES}{where} AND certificate.id > ? ORDER BY certificate.id LIMIT {_PART}", ""
    while rows := list(file.rows(query, stage, *values, after)):
        yield from rows
        after = rows[-1][0]


def _first_of(templates: dict[str, frozenset[str]], policies: frozenset[str]) -> str | None:
    return next((name for name, attaches in sorted(templates.items()) if attaches & policies), None)
