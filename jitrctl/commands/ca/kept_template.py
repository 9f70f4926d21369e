"""`jitrctl ca adopt` of a CA that has no template any more: shows the one that --take-over keeps in the registry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitrctl.ca.plan import adopt_command
from jitrctl.jitp.registered_ca import describe_ca
from jitrctl.jitp.take_over_plan import kept_templates, stage_options
from jitrctl.terminal import at, err, out

if TYPE_CHECKING:
    from jitr_fleet.model import Ca
    from jitrctl.jitp.kept_template import KeptTemplate
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOfCa:
    """What is kept of a CA that has no template, or is not registered any more."""

    ca: Ca
    kept: KeptTemplate


def find_kept(stage: Stage, ca: Ca) -> KeptOfCa | None:
    """What is kept of a CA; None when a template is on it, or nothing is kept.

    Raises Unavailable, botocore's errors.
    """
    found = describe_ca(stage.iot, ca.certificate_id)
    if found is not None and found.has_template:
        return None
    kept = kept_templates(stage, ca).read()
    return KeptOfCa(ca=ca, kept=kept) if kept and kept.config else None


def show_kept(stage: Stage, one: KeptOfCa, fleet_option: str) -> None:
    """Print the kept registrationConfig on standard output, as the AWS CLI takes it, and all else on standard error."""
    ca, kept = one.ca, one.kept
    out.print(json.dumps(dict(kept.config), indent=2), markup=False, soft_wrap=True)
    undo = f"{adopt_command(ca.name, stage_options(stage))} --undo{fleet_option}"
    given = f"{kept.by} gave the last order {at(kept.at)} ({kept.state})"
    said = f"No provisioning template is on CA {ca.name}. This one is kept; {given}. `{undo}` puts it back."
    err.print(said, markup=False, soft_wrap=True)


def kept_document(one: KeptOfCa) -> dict[str, Any]:
    """What --json says of it."""
    kept = one.kept
    return {
        "ca": one.ca.name,
        "certificate_id": one.ca.certificate_id,
        "kept": {
            "config": dict(kept.config),
            "body": kept.body,
            "state": kept.state.value,
            "by": kept.by,
            "at": kept.at.isoformat(),
        },
    }
