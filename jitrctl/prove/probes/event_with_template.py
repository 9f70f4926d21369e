"""Does AWS IoT also publish the registration event for a CA with a provisioning template?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.certificates import ProbeCa
    from jitrctl.prove.place import ProvePlace
    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

# The smallest template. Its role has no permissions, so it makes nothing.
TEMPLATE = json.dumps(
    {
        "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            }
        },
    }
)
_ROLE_KNOWN_WITHIN = 40.0  # seconds; IAM is eventually consistent


def run(run: Run) -> Mapping[str, Json]:
    place = run.last
    ca = run.new_ca("template")
    ca_id = register_with_template(run, place, ca)
    session = run.listen(place, ca_id)
    device = run.connect_new(place, run.identity(ca, "template"))
    if device is None:
        return {"registered": False}
    return {
        "registered": True,
        "event": "none came" if run.receive_event(session, device.certificate_id) is None else "came",
    }


def register_with_template(run: Run, place: ProvePlace, ca: ProbeCa) -> str:
    """Register a CA with a template; retries while AWS IoT does not know the role yet.

    Raises botocore's errors.
    """
    config = {"templateBody": TEMPLATE, "roleArn": run.create_role(place)}

    def register() -> str | None:
        try:
            return run.register_ca(place, ca, SNI_ONLY, registrationConfig=config)
        except ClientError as error:
            if error.response["Error"].get("Code") != "InvalidRequestException" or run.time.monotonic() > until:
                raise
            return None

    until = run.time.monotonic() + _ROLE_KNOWN_WITHIN
    return str(run.wait(register, seconds=_ROLE_KNOWN_WITHIN * 2))


PROBE = Probe(
    name="event-with-template",
    question="Does AWS IoT also publish the event for a CA that has a JITP template?",
    method="Registers a CA with a template whose role may do nothing; subscribes; a new device connects.",
    expects=(
        Expectation(
            what="registered",
            assumed=True,
            otherwise="a CA with a template registers no certificate that jitr could see: `ca plan` is right "
            "to refuse it",
        ),
        Expectation(
            what="event",
            assumed="none came",
            otherwise="jitr and the template would both act on a device: a CA with a template needs jitp = true in its "
            "account's entry",
            switch="publishes_with_template",
            to_switch=lambda found: found == "came",
        ),
    ),
    run=run,
    makes="1 CA, 1 IAM role that may do nothing, 1 device",
    calls=80,
    seconds=40,
    not_local="ministack's JITP is not modelled on AWS's event",
)
