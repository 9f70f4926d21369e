"""Compares what is deployed in a stage with the fleet file and the synthesized templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jitr_fleet.policy import BUILT_IN_POLICY
from jitr_fleet.policy_proof import policy_place
from jitrctl.session import cloudformation

if TYPE_CHECKING:
    from pathlib import Path

    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage

GOOD_STACK = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"})


def policy_drift(stage: Stage, ca: Ca) -> str | None:
    """How the deployed policy differs from the file; None when it does not."""
    name = stage.fleet.policy_name(ca)
    try:
        deployed = json.loads(stage.iot.get_policy(policyName=name)["policyDocument"])
    except stage.iot.exceptions.ResourceNotFoundException:
        return f"{ca.name}: policy {name} is missing: deploy the stack"
    file = ca.policy or BUILT_IN_POLICY
    place = policy_place(stage.account, stage.region)
    if deployed == json.loads(place.fill(file.read_text(encoding="utf-8"))):
        return None
    return f"the default version of policy {name} is not {file.name}: deploy, or find out who changed it"


def template_drift(stage: Stage, assembly: Path | None) -> str | None:
    """How the deployed template differs from the synthesized one; None when it does not, or without an assembly."""
    if assembly is None:
        return None
    synthesized = synthesized_template(assembly, str(stage))
    if synthesized is None:
        return f"{assembly} holds no template for it: `make synth`"
    deployed = cloudformation.template(stage)
    # Convert both through JSON, to compare the same types.
    if json.loads(json.dumps(deployed)) == synthesized:
        return None
    return f"the deployed template is not the synthesized one: cdk diff {stage}"


def synthesized_template(assembly: Path, stage: str) -> Any | None:
    """The template that `cdk synth` made for a stage, found by its name in the assembly's manifest; None if none."""
    manifest = assembly / "manifest.json"
    artifacts = json.loads(manifest.read_text(encoding="utf-8"))["artifacts"] if manifest.exists() else {}
    for artifact in artifacts.values():
        if artifact["type"] == "aws:cloudformation:stack" and artifact.get("displayName") == stage:
            template = assembly / artifact["properties"]["templateFile"]
            return json.loads(template.read_text(encoding="utf-8"))
    return None
