"""What `jitrctl fleet survey` says of one stage: tables and sentences for people, and its part of the document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitrctl.survey.summary import MOST_NAMED
from jitrctl.terminal import out, short, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jitrctl.session.stage import Stage
    from jitrctl.survey.summary import Findings

    _Row = tuple[str, str]  # what it is about, what was found

_SOME = 5  # names


def show_findings(stage: Stage, found: Findings) -> None:
    """Print what was found in a stage."""
    rows = [
        {"stage": str(stage), "origin": origin, "CA or source": ca, "status": status, "mode": mode, "number": f"{n:,}"}
        for (origin, ca, status, mode), n in sorted(found.certificates.items())
    ]
    if rows:
        out.print(table(rows))
        out.print()
        evidence = [
            {"origin": origin, "number": f"{number:,}", "evidence": text}
            for (origin, text), number in sorted(found.evidence.items())
        ]
        out.print(table(evidence))
        out.print()
    described = [*_describe_things(found), *_describe_policies(found), *_describe_handlers(found)]
    out.print(table([{"about": about, "found": text} for about, text in described]))
    out.print()


def _describe_things(found: Findings) -> Iterator[_Row]:
    several = f", such as {', '.join(found.several_named[:_SOME])}" if found.several_named else ""
    things = (
        f"{found.things:,}: {found.things_without:,} without a principal, {found.things_with_several:,} with several"
    )
    yield "things", f"{things}{several}"
    yield "certificates", f"{found.certificates_without:,} on no thing, {found.certificates_on_several:,} on several"
    if found.certificates_without_policy:
        yield "certificates", f"{found.certificates_without_policy:,} are ACTIVE and have no policy, so may do nothing"
    if found.certificates_ended:
        yield "certificates", f"{found.certificates_ended:,} of those that were described have ended"
    if found.transferred:
        yield "certificates", f"{found.transferred:,} came from another account"
    for fleet, number in sorted(found.other_fleets.items()):
        yield "certificates", f"{number:,} have a policy of jitr's fleet {fleet}, which is not this one"


def _describe_policies(found: Findings) -> Iterator[_Row]:
    read = f"; {found.policies_read:,} documents were read, those of the most targets"
    targets = f"{found.policies_of_one:,} with one target each, {found.policies_of_none:,} with none"
    yield "policies", f"{found.policies:,}: {targets}{read if found.policies_read < found.policies else ''}"
    if found.most_attached:
        yield (
            "policies",
            "of the most targets: " + ", ".join(f"{name} ({n:,})" for name, n in found.most_attached[:_SOME]),
        )
    for group, policy, things in found.groups:
        yield f"thing group {group}", f"gives policy {policy} to {things:,} things"
    flaws: dict[str, list[str]] = {}
    for policy, text in found.flaws:
        flaws.setdefault(policy, []).append(text)
    for policy, texts in list(flaws.items())[:MOST_NAMED]:
        yield f"policy {policy}", "; ".join(texts)
    if (more := len(flaws) - MOST_NAMED) > 0:
        yield "policies", f"{more:,} more with such findings, which --json has"
    for claims in found.claims:
        if claims.number:
            yield (
                "claim certificates",
                f"{claims.number:,} still ACTIVE (policy {claims.policy}), such as {short(claims.certificate_ids[0])}",
            )


def _describe_handlers(found: Findings) -> Iterator[_Row]:
    for ca in found.cas:
        if ca.template:
            yield f"CA {ca.name}", f"{ca.status}, with a provisioning template: {ca.template}"
        if ca.has_ended:
            yield f"CA {ca.name}", f"{ca.status}, ended on {str(ca.ends_at)[:10]}"
    for template in found.templates:
        hook = f", and asks {template.hook}" if template.hook else ""
        state = "enabled" if template.is_enabled else "disabled"
        yield f"template {template.name}", f"{template.kind}, {state}{hook}"
    for handler in found.handlers:
        if not handler.is_jitr:
            done = f": {', '.join(handler.actions)}" if handler.actions else ""
            state = "handles" if handler.is_enabled else "is disabled, and would handle"
            yield f"rule {handler.rule}", f"is not this fleet's; {state} {handler.topic}{done}"


def to_document(found: Findings, calls: Mapping[str, int]) -> Mapping[str, Any]:
    """The stage's part of the document, as docs/json/fleet-survey.schema.json describes it."""
    return {
        "calls": dict(calls),
        "certificates": [
            {"origin": origin, "ca": ca, "status": status, "mode": mode, "number": number}
            for (origin, ca, status, mode), number in sorted(found.certificates.items())
        ],
        "evidence": [
            {"origin": origin, "evidence": evidence, "number": number}
            for (origin, evidence), number in sorted(found.evidence.items())
        ],
        "things": found.things,
        "things_without_certificate": found.things_without,
        "things_with_several": found.things_with_several,
        "things_with_several_named": list(found.several_named),
        "certificates_on_no_thing": found.certificates_without,
        "certificates_on_several_things": found.certificates_on_several,
        "certificates_without_policy": found.certificates_without_policy,
        "certificates_ended": found.certificates_ended,
        "certificates_transferred": found.transferred,
        "other_fleets": [{"fleet": fleet, "certificates": n} for fleet, n in sorted(found.other_fleets.items())],
        "policies": found.policies,
        "policies_of_one_target": found.policies_of_one,
        "policies_of_no_target": found.policies_of_none,
        "policies_read": found.policies_read,
        "policies_most_attached": [{"policy": name, "targets": number} for name, number in found.most_attached],
        "group_policies": [
            {"thing_group": group, "policy": policy, "things": things} for group, policy, things in found.groups
        ],
        "policy_findings": [{"policy": policy, "text": text} for policy, text in found.flaws],
        "claim_policies": [
            {"policy": one.policy, "active_certificates": one.number, "certificate_ids": list(one.certificate_ids)}
            for one in found.claims
        ],
        "cas": [
            {
                "ca": one.name,
                "status": one.status,
                "mode": one.mode,
                "auto_registration": one.registers,
                "template": one.template,
                "ends_at": one.ends_at,
            }
            for one in found.cas
        ],
        "provisioning_templates": [
            {
                "template": one.name,
                "type": one.kind,
                "enabled": one.is_enabled,
                "policies": list(one.policies),
                "hook": one.hook,
            }
            for one in found.templates
        ],
        "handlers": [
            {
                "rule": one.rule,
                "topic": one.topic,
                "enabled": one.is_enabled,
                "is_jitr": one.is_jitr,
                "actions": list(one.actions),
            }
            for one in found.handlers
        ],
    }
