"""What burst do the API quotas allow? Only with --bursts, and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitrctl.prove.probe import Expectation, Probe, Recorded
from jitrctl.prove.run import SNI_ONLY
from jitrctl.session.aws_errors import THROTTLED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_MOST = 200  # calls
_SECONDS = 10.0


def run(run: Run) -> Mapping[str, Json]:
    device = run.register_device(SNI_ONLY, "burst")
    began, made = run.time.monotonic(), 0
    while made < _MOST and run.time.monotonic() - began < _SECONDS:
        try:
            device.place.once("iot").describe_certificate(certificateId=device.certificate_id)
        except ClientError as error:
            if error.response["Error"].get("Code") not in THROTTLED:
                raise
            break
        made += 1
    seconds = run.time.monotonic() - began
    return {
        "DescribeCertificate before the first throttle": f"{made} in {seconds:.1f} s"
        + ("" if made < _MOST and seconds < _SECONDS else ", and no throttle")
    }


PROBE = Probe(
    name="bursts",
    question="How many DescribeCertificate calls does AWS take before it throttles?",
    method=f"Calls it one after the other until the first throttle, at most {_MOST} times and {_SECONDS:.0f} s.",
    expects=(Expectation(what="DescribeCertificate before the first throttle", assumed=Recorded(), otherwise=""),),
    run=run,
    makes="1 device",
    calls=_MOST + 40,
    seconds=_SECONDS,
    bursts=True,
    not_local="ministack has no quotas",
)
