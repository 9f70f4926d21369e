"""What does UpdateCACertificate's removeAutoRegistration remove?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.probes.event_with_template import register_with_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run


def run(run: Run) -> Mapping[str, Json]:
    place, ca = run.last, run.new_ca("removed")
    ca_id = register_with_template(run, place, ca)
    place.iot.update_ca_certificate(certificateId=ca_id, removeAutoRegistration=True)
    after = place.iot.describe_ca_certificate(certificateId=ca_id)
    return {
        "template": "there" if (after.get("registrationConfig") or {}).get("templateBody") else "gone",
        "auto-registration": after["certificateDescription"].get("autoRegistrationStatus", "left out"),
    }


PROBE = Probe(
    name="template-removed",
    question="Does removeAutoRegistration remove a CA's JITP template, and does the CA go on registering devices?",
    method="Registers a CA with a template, removes it, and describes the CA.",
    expects=(
        Expectation(
            what="template", assumed="gone", otherwise="a CA with a template has to be registered anew to lose it"
        ),
        Expectation(
            what="auto-registration",
            assumed="ENABLE",
            otherwise="after the template is removed, `jitrctl ca apply` has to enable automatic registration again",
        ),
    ),
    run=run,
    makes="1 CA, 1 IAM role that may do nothing",
    calls=60,
    seconds=30,
)
