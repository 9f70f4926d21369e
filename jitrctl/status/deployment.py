"""Compares what is deployed in a stage with the fleet file and the synthesized templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitr_fleet.names import partition_of
from jitr_fleet.policy import PLACEHOLDERS
from jitrctl.session import cloudformation

if TYPE_CHECKING:
    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage

# The policy of a CA that names none; it is in the checkout, like the CDK app that deploys it.
_BUILT_IN_POLICY = Path(__file__).parents[2] / "policies" / "device.json"
GOOD_STACK = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"})


def policy_drift(stage: Stage, ca: Ca) -> str | None:
    """How the deployed policy differs from the file; None when it does not."""
    name = stage.fleet.policy_name(ca)
    try:
        deployed = json.loads(stage.iot.get_policy(policyName=name)["policyDocument"])
    except stage.iot.exceptions.ResourceNotFoundException:
        return f"{ca.name}: policy {name} is missing: deploy the stack"
    file = ca.policy or _BUILT_IN_POLICY
    if deployed == json.loads(_fill(stage, file.read_text(encoding="utf-8"))):
        return None
    return f"the default version of policy {name} is not {file.name}: deploy, or find out who changed it"


def _fill(stage: Stage, text: str) -> str:
    """A policy file with the stage's values in place of the placeholders, as in the stack."""
    values = (partition_of(stage.region) or "aws", stage.region, stage.account.id)
    for placeholder, value in zip(PLACEHOLDERS, values, strict=True):
        text = text.replace(placeholder, value)
    return text


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
