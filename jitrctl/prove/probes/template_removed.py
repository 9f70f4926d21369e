"""What does UpdateCACertificate's removeAutoRegistration remove, and does the CA's next device take the way of JITR?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.probes.event_with_template import register_with_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_PAUSE = 2.0  # seconds: dates may have seconds alone
_GONE, _ON = "gone", "ENABLE"


def run(run: Run) -> Mapping[str, Json]:
    place, ca = run.last, run.new_ca("removed")
    ca_id = register_with_template(run, place, ca)
    before = place.iot.describe_ca_certificate(certificateId=ca_id)
    run.time.sleep(_PAUSE)
    place.iot.update_ca_certificate(certificateId=ca_id, removeAutoRegistration=True)
    after = place.iot.describe_ca_certificate(certificateId=ca_id)
    registers = after["certificateDescription"].get("autoRegistrationStatus", "left out")
    if registers != _ON:
        place.iot.update_ca_certificate(certificateId=ca_id, newAutoRegistrationStatus=_ON)
    session = run.listen(place, ca_id)
    device = run.connect_new(place, run.identity(ca, "removed"))
    event = run.receive_event(session, device.certificate_id) if device else None
    return {
        "template": _describe_template(after),
        "auto-registration": registers,
        "lastModifiedDate": _compare_dates(before, after),
        "event afterwards": "none came" if event is None else "came",
    }


def _describe_template(answer: Mapping[str, Any]) -> str:
    """A template is given by its body or by its name; a role alone is none."""
    config = answer.get("registrationConfig") or {}
    left = [name for name in ("templateBody", "templateName") if config.get(name)]
    return f"there ({', '.join(left)})" if left else _GONE


def _compare_dates(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    earlier, later = (one["certificateDescription"].get("lastModifiedDate") for one in (before, after))
    if earlier is None or later is None:
        return "left out"
    return "later" if later > earlier else "the same"


PROBE = Probe(
    name="template-removed",
    question="Does removeAutoRegistration remove a CA's JITP template, and does the CA go on registering devices?",
    method="Registers a CA with a template, removes it, and describes the CA; enables automatic registration if it is "
    "off; subscribes; a new device connects.",
    expects=(
        Expectation(
            what="template",
            assumed=_GONE,
            otherwise="a CA with a template has to be registered anew to lose it",
            switch="removal_takes_template",
            to_switch=lambda found: found == _GONE,
        ),
        Expectation(
            what="auto-registration",
            assumed=_ON,
            otherwise="after the template is removed, `jitrctl ca apply` has to enable automatic registration again",
            switch="removal_ends_registration",
            to_switch=lambda found: found != _ON,
        ),
        Expectation(
            what="lastModifiedDate",
            assumed="later",
            otherwise="`register` does not know when a template was taken off, and may decide on a device that it is "
            "still provisioning",
        ),
        Expectation(
            what="event afterwards",
            assumed="came",
            otherwise="the CA's devices do not take the way of JITR after the template is removed",
        ),
    ),
    run=run,
    makes="1 CA, 1 IAM role that may do nothing, 1 device",
    calls=120,
    seconds=60,
)
