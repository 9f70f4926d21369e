"""`jitrctl fleet survey`: what certificates, things, policies and handlers there are."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.run.scope import Scope, over_stages
from jitrctl.session.pace import turns_in
from jitrctl.survey.calls import PatientCalls
from jitrctl.survey.file import SurveyFile
from jitrctl.survey.findings import summarize
from jitrctl.survey.steps import StageSurvey
from jitrctl.terminal import err, out, rough, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.session.stage import Stage
    from jitrctl.survey.findings import Findings

_MOST_SHOWN = 20  # policies of a stage; --json has them all


@over_stages
def survey(
    scope: Scope,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The survey's file, which keeps its place.")],
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the survey in FILE.")] = False,
) -> None:
    """Survey certificates, things, policies and handlers in all accounts; changes nothing.

    How each certificate came to be registered is inferred, and the evidence is named. The lists are made first; then it
    says how many calls the rest takes, and how long, at four fifths of AWS's default quotas. `jitrctl fleet adopt plan`
    makes a plan of what it found.

    Example: jitrctl fleet survey dev.survey --account dev
    """
    fleet = scope.fleet.name
    kept = SurveyFile.existing(file, fleet) if resume else SurveyFile.create(file, fleet)
    doing = dict.fromkeys(map(str, scope.stages), "")
    again = f"`jitrctl fleet survey {file} --resume{scope.fleet_option}` goes on from there"
    surveys = {}

    def begin(stage: Stage) -> StageSurvey:
        name = str(stage)
        calls = PatientCalls(partial(turns_in(stage).wait, "DescribeCertificate"), again=again)
        surveys[stage] = StageSurvey(stage, kept, calls, lambda step: doing.__setitem__(name, step))
        surveys[stage].list_all()
        return surveys[stage]

    err.print("One call for each 250 certificates, things and policies lists them.", style="dim")
    listed = scope.across(begin, doing="listing")
    for done in listed.done:
        calls = done.value.count_calls()
        words = ", ".join(f"{number:,} {name}" for name, number in calls.items() if number) or "none"
        took = rough(timedelta(seconds=done.value.seconds(calls)))
        err.print(f"{done.stage}: calls to make: {words}; about {took}.", markup=False, soft_wrap=True)

    def finish(stage: Stage) -> Findings:
        surveys[stage].ask_each()
        return summarize(stage, kept)

    results = scope.across(finish, doing="surveying", stages=[done.stage for done in listed.done])

    def show() -> None:
        for done in results.done:
            _show(done.stage, done.value)

    scope.report(results, show=show, fields=_document, failed=listed.failed, file=str(file))


def _show(stage: Stage, found: Findings) -> None:
    rows = [
        {"stage": str(stage), "origin": origin, "CA or source": ca, "status": status, "mode": mode, "number": f"{n:,}"}
        for (origin, ca, status, mode), n in sorted(found.certificates.items())
    ]
    if rows:
        out.print(table(rows))
    lines = [f"{number:,} {origin}: {evidence}" for (origin, evidence), number in sorted(found.evidence.items())]
    lines += [
        f"things: {found.things:,} (no principal: {found.things_without:,}; several: {found.things_with_several:,})",
        f"certificates: {found.certificates_without:,} on no thing, {found.certificates_on_several:,} on several",
        f"policies: {found.policies:,} ({found.policies_of_one:,} of one target, {found.policies_of_none:,} of none)",
    ]
    lines += [f"policy {policy} {text}" for policy, text in found.flaws[:_MOST_SHOWN]]
    if (more := len(found.flaws) - _MOST_SHOWN) > 0:
        lines.append(f"{more:,} more findings about policies, which --json has")
    lines += [f"{n:,} ACTIVE certificates may claim others (policy {policy})" for policy, n in found.claims if n]
    lines += [f"CA {ca} ({status}) has a provisioning template: {t}" for ca, status, t in found.cas if t != "-"]
    lines += [
        f"provisioning template {name} ({kind}) is {'enabled' if on else 'disabled'}"
        for name, kind, on in found.templates
    ]
    lines += [
        f"rule {name} {'handles' if on else 'would handle'} {topic}, and is not jitr's"
        for name, topic, on, is_ours in found.handlers
        if not is_ours
    ]
    for line in lines:
        out.print(f"  {line}.", markup=False, soft_wrap=True)


def _document(found: Findings) -> Mapping[str, Any]:
    return {
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
        "certificates_on_no_thing": found.certificates_without,
        "certificates_on_several_things": found.certificates_on_several,
        "certificates_transferred": found.transferred,
        "policies": found.policies,
        "policies_of_one_target": found.policies_of_one,
        "policies_of_no_target": found.policies_of_none,
        "policy_findings": [{"policy": policy, "text": text} for policy, text in found.flaws],
        "claim_policies": [{"policy": policy, "active_certificates": number} for policy, number in found.claims],
        "cas": [{"ca": ca, "status": status, "template": t if t != "-" else None} for ca, status, t in found.cas],
        "provisioning_templates": [
            {"template": name, "type": kind, "enabled": on} for name, kind, on in found.templates
        ],
        "handlers": [
            {"rule": name, "topic": topic, "enabled": on, "is_jitr": ours} for name, topic, on, ours in found.handlers
        ],
    }
