"""Plans the take-over of one stage from its survey: what is adopted, what an engineer decides, and what cannot be.

Without a decision only this is adopted: a thing with exactly one principal, which is an ACTIVE certificate under a CA
or source that the fleet file gives the account.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from jitr.iot_models import Status
from jitr.rules import is_source
from jitrctl.adoption.plan_file import PlanLine, PlanVerb
from jitrctl.clock import now
from jitrctl.device.adopt import UNFINISHED, another_fleets
from jitrctl.survey.findings import FoundCertificate, find_certificates
from jitrctl.survey.origins import HELD_UNDER_TEMPLATE

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from jitrctl.session.stage import Stage
    from jitrctl.survey.file import SurveyFile

_THINGS = """
SELECT thing.name, thing.owner, group_concat(attachment.principal, char(10))
FROM thing LEFT JOIN attachment ON attachment.stage = thing.stage AND attachment.thing = thing.name
WHERE thing.stage = ? GROUP BY thing.name ORDER BY thing.name
"""
_ON_NO_THING = """ AND certificate.status = ? AND NOT EXISTS (SELECT 1 FROM attachment
    WHERE attachment.stage = certificate.stage AND attachment.principal = certificate.id)"""
OWNED = "jitr's already"


def plan_stage(stage: Stage, file: SurveyFile, counts: Counter[str]) -> Iterator[PlanLine | str]:
    """The lines of one stage; a text is what cannot be adopted, why, and the cure. Counts verbs and reasons."""
    for name, owner, joined in file.rows(_THINGS, str(stage)):
        principals = joined.split("\n") if joined else []
        found = {one: _find(stage, file, one) for one in principals}
        if owner in found and (certificate := found[owner]) and _is_adopted(certificate, name):
            counts[OWNED] += 1
            continue
        lines = list(_plan_thing(stage, file, name, owner, found))
        for line in lines:
            counts[line.verb.value if isinstance(line, PlanLine) else "cannot"] += 1
        yield from lines
    for certificate in find_certificates(stage, file, _ON_NO_THING, Status.ACTIVE.value):
        counts["cannot"] += 1
        yield (
            f"cannot  {stage}  certificate {certificate.certificate_id} is ACTIVE and on no thing: make the thing that "
            "the rules make of it (`aws iot create-thing`, `attach-thing-principal`), and survey again; or leave it"
        )


def _is_adopted(certificate: FoundCertificate, thing_name: str) -> bool:
    """As `jitrctl.device.adopt.is_recorded`, of what the survey kept: an adoption that was broken off is none."""
    unfinished = (*UNFINISHED, HELD_UNDER_TEMPLATE)
    return certificate.record is not None and (
        certificate.record not in unfinished or certificate.record_thing == thing_name
    )


def _find(stage: Stage, file: SurveyFile, principal: str) -> FoundCertificate | None:
    return next(find_certificates(stage, file, " AND certificate.id = ?", principal), None)


def _plan_thing(
    stage: Stage, file: SurveyFile, name: str, owner: str | None, found: dict[str, FoundCertificate | None]
) -> Iterator[PlanLine | str]:
    place = f"{stage}  {name}"
    if not found:
        yield f"cannot  {place}: it has no principal, so there is nothing to adopt; delete it if nothing needs it"
        return
    if owner and owner not in found:
        yield (
            f"cannot  {place}: the name is certificate {owner}'s in jitr's registry; `jitrctl device show {owner}`, "
            "and detach what does not belong to the thing"
        )
        return
    for principal, certificate in found.items():
        if certificate is None:
            yield f"cannot  {place}: {principal} is no certificate of this account; detach it if nothing needs it"
            continue
        things = file.one("SELECT count(*) FROM attachment WHERE stage = ? AND principal = ?", str(stage), principal)
        if certificate.status != Status.ACTIVE:
            yield (
                f"cannot  {place}: certificate {principal} is {certificate.status}; detach it, or set it ACTIVE, and "
                "survey again"
            )
        elif things > 1:
            yield f"cannot  {place}: certificate {principal} is on {things} things; detach it from all but one"
        elif another := another_fleets(certificate.policies, stage.fleet.name):
            policy, fleet = another
            yield (
                f"cannot  {place}: certificate {principal} has policy {policy} of jitr's fleet {fleet}, which runs it; "
                "take it out of that fleet, detach the policy, and survey again"
            )
        elif ended := _ended(certificate.ends_at):
            yield (
                f"cannot  {place}: certificate {principal} ended on {ended}, so no device connects with it; give the "
                f"device a new one, and `jitrctl device adopt {name}` if that one is to follow it"
            )
        else:
            why = _why_reviewed(stage, file, certificate, len(found))
            yield PlanLine(
                verb=PlanVerb.REVIEW if why else PlanVerb.ADOPT,
                stage=str(stage),
                thing_name=name,
                certificate_id=principal,
                principals=len(found),
                origin=certificate.origin,
                remark="; ".join(filter(None, (f"CA {certificate.ca_name}" if certificate.ca else "", *why))),
            )


def _why_reviewed(stage: Stage, file: SurveyFile, certificate: FoundCertificate, principals: int) -> list[str]:
    """Why somebody must decide on a certificate; none: it is adopted without that."""
    wrong = _describe_ca(stage, file, certificate)
    return [
        *([f"{principals} principals: adopt one of them"] if principals > 1 else []),
        *([wrong] if wrong else []),
        *(["came by a transfer"] if certificate.is_transferred else []),
    ]


def _describe_ca(stage: Stage, file: SurveyFile, certificate: FoundCertificate) -> str | None:
    """What is wrong with a certificate's CA, so that its device cannot simply follow with a next one; None: nothing."""
    if certificate.ca is None:
        return "under no CA: its next one follows only by `jitrctl enrollment allow THING --may-follow`"
    if not certificate.is_fleets:
        return "under a CA that the fleet file does not give this account: add it, or its next certificate is held"
    if is_source(certificate.ca):
        return None
    query = "SELECT status, ends_at FROM ca WHERE stage = ? AND id = ?"
    status, ends_at = next(file.rows(query, str(stage), certificate.ca), ("not registered", None))
    if status != Status.ACTIVE:
        return f"its CA is {status} here: `jitrctl ca apply`, or its next certificate does not come"
    if ended := _ended(ends_at):
        return f"its CA ended on {ended}: its next certificate is one of a CA that `succeeds` it"
    return None


def _ended(ends_at: str | None) -> str | None:
    """The day of an end that has passed; None: it has not, or is not known."""
    if ends_at is None or (end := datetime.fromisoformat(ends_at)) > now():
        return None
    return f"{end:%F}"
