"""What `jitrctl fleet survey` tells of one stage: tables and sentences for people, and its part of the document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitrctl.survey.summary import MOST_NAMED
from jitrctl.terminal import out, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jitrctl.session.stage import Stage
    from jitrctl.survey.summary import Findings


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
    for line in (*_tell_things(found), *_tell_policies(found), *_tell_handlers(found)):
        out.print(f"{stage}: {line}.", markup=False)


def _tell_things(found: Findings) -> Iterator[str]:
    several = f", among them {', '.join(found.several_named)}" if found.several_named else ""
    yield (
        f"{found.things:,} things: {found.things_without:,} without a principal, {found.things_with_several:,} with "
        f"several{several}"
    )
    yield f"certificates: {found.certificates_without:,} on no thing, {found.certificates_on_several:,} on several"
    if found.certificates_without_policy:
        yield f"{found.certificates_without_policy:,} ACTIVE certificates have no policy: their devices can do nothing"
    if found.certificates_ended:
        yield f"{found.certificates_ended:,} of the certificates that were described have ended"
    if found.transferred:
        yield f"{found.transferred:,} certificates came from another account"
    for fleet, number in sorted(found.other_fleets.items()):
        yield f"{number:,} certificates have a policy of jitr's fleet {fleet}, which is not this one"


def _tell_policies(found: Findings) -> Iterator[str]:
    yield (
        f"{found.policies:,} policies: {found.policies_of_one:,} attached to one target each, "
        f"{found.policies_of_none:,} to none"
    )
    if found.policies_read < found.policies:
        yield f"the documents of {found.policies_read:,} of them were read, those of the most targets"
    if found.most_attached:
        yield "shared by the most targets: " + ", ".join(f"{name} ({n:,})" for name, n in found.most_attached[:5])
    for group, policy, things in found.groups:
        yield f"thing group {group} gives policy {policy} to {things:,} things"
    for policy, text in found.flaws[:MOST_NAMED]:
        yield f"policy {policy} {text}"
    if (more := len(found.flaws) - MOST_NAMED) > 0:
        yield f"{more:,} more findings about policies, which --json has"
    for claims in found.claims:
        if claims.number:
            yield (
                f"{claims.number:,} ACTIVE claim certificates (policy {claims.policy}), among them "
                f"{claims.certificate_ids[0]}"
            )


def _tell_handlers(found: Findings) -> Iterator[str]:
    for ca in found.cas:
        if ca.template:
            yield f"CA {ca.name} ({ca.status}) has a provisioning template: {ca.template}"
        if ca.has_ended:
            yield f"CA {ca.name} ({ca.status}) ended on {str(ca.ends_at)[:10]}"
    for template in found.templates:
        hook = f", and asks {template.hook}" if template.hook else ""
        yield (
            f"provisioning template {template.name} ({template.kind}) is "
            f"{'enabled' if template.is_enabled else 'disabled'}{hook}"
        )
    for handler in found.handlers:
        if not handler.is_jitr:
            done = f": {', '.join(handler.actions)}" if handler.actions else ""
            yield (
                f"rule {handler.rule}, which is not this fleet's, "
                f"{'handles' if handler.is_enabled else 'would handle'} {handler.topic}{done}"
            )


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
