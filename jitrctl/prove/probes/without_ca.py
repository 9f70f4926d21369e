"""How is a certificate described that was registered without a CA, right after it, and with a policy and a thing?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.answers import try_call
from jitrctl.prove.probe import Expectation, Probe, Unanswered, Within
from jitrctl.prove.run import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.place import ProbeDevice
    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_PAUSE = 3.0  # seconds: a date that is set again then differs by more than `import_order` allows
_UNNAMED = "left out"
_EXISTS = "already exists"
_MODIFIED = "lastModifiedDate - creationDate"
_NOT_DONE = (
    "is reported and not completed by the next run or the sweep; nothing wrong becomes ACTIVE (docs/decisions/0013)"
)


def run(run: Run) -> Mapping[str, Json]:
    ca, place = run.ca(DEFAULT)
    identity = run.identity(ca, "without-ca")
    device = run.register_without_ca(place, identity, "INACTIVE")
    again = try_call(
        lambda: place.iot.register_certificate_without_ca(certificatePem=identity.certificate, status="INACTIVE")
    )
    found: dict[str, Json] = {
        "caCertificateId": device.describe().get("caCertificateId", _UNNAMED),
        "registered again": _EXISTS if again == "ResourceAlreadyExistsException" else again,
        _MODIFIED: _modified_after(device),
    }
    run.time.sleep(_PAUSE)
    thing = run.create_thing(place)
    place.iot.attach_thing_principal(thingName=thing, principal=device.arn, thingPrincipalType="EXCLUSIVE_THING")
    found[f"{_MODIFIED}, with a thing"] = _modified_after(device)
    run.allow(device)
    found[f"{_MODIFIED}, with a policy"] = _modified_after(device)
    return found


def _modified_after(device: ProbeDevice) -> float:
    """Seconds from creationDate to lastModifiedDate.

    Raises Unanswered if one is missing.
    """
    described = device.describe()
    created, modified = described.get("creationDate"), described.get("lastModifiedDate")
    if created is None or modified is None:
        raise Unanswered("DescribeCertificate answers without creationDate or lastModifiedDate")
    return float(round((modified - created).total_seconds(), 3))


PROBE = Probe(
    name="without-ca",
    question="Does a certificate that was registered without a CA keep its lastModifiedDate until its status is set?",
    method="Registers a certificate of a registered CA without a CA and INACTIVE, twice; describes it, attaches a "
    "thing, describes it, attaches a policy, and describes it.",
    expects=(
        Expectation(
            what="caCertificateId",
            assumed=_UNNAMED,
            otherwise="an import never takes a certificate whose CA is registered in the account: it is left INACTIVE",
        ),
        Expectation(
            what="registered again",
            assumed=_EXISTS,
            otherwise="if it is accepted, an import does not see what is registered already; with another error, an "
            "import that is run again ends its own order",
        ),
        Expectation(
            what=_MODIFIED,
            assumed=Within(most=1),
            otherwise="no import is completed: jitr takes every status of such a certificate for set by somebody",
        ),
        Expectation(
            what=f"{_MODIFIED}, with a thing",
            assumed=Within(most=1),
            otherwise=f"an import that is interrupted after the thing was attached {_NOT_DONE}",
        ),
        Expectation(
            what=f"{_MODIFIED}, with a policy",
            assumed=Within(most=1),
            otherwise=f"an import that is interrupted after the policy was attached {_NOT_DONE}",
        ),
    ),
    run=run,
    makes="1 certificate without a CA, 1 thing, the run's policy",
    calls=30,
    seconds=10,
)
