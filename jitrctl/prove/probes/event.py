"""The registration event, byte for byte: first and repeated, in each mode."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jitrctl.prove.probe import Expectation, Probe, Recorded, Unanswered, Within
from jitrctl.prove.run import DEFAULT, LOOK_EVERY, SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

FIELDS = "awsAccountId, caCertificateId, certificateId, certificateRegistrationTimestamp, certificateStatus, timestamp"
_NULL, _NUMBER, _TEXT = "null", "a number of epoch milliseconds", "a string of epoch milliseconds"
_MILLISECONDS = re.compile(r"1[0-9]{12}")
_SOURCE_IP = re.compile(rb'("sourceIp" *: *)"[^"]*"')  # left out of the report, which may be published


def run(run: Run) -> Mapping[str, Json]:
    found: dict[str, Json] = {}
    for mode in (DEFAULT, SNI_ONLY):
        ca, place = run.ca(mode)
        identity = run.identity(ca, "event")
        session = run.listen(place, run.ca_id(ca, place))
        device = run.connect_new(place, identity)
        if device is None:
            raise Unanswered("no certificate was registered after a device's CONNECT")
        first = run.receive_event(session, device.certificate_id)
        if first is None:
            found[f"first event, {mode}"] = "none came"
            continue
        found |= _first(first, mode)
        run.time.sleep(LOOK_EVERY + 0.1)
        device.connect()
        second = run.receive_event(session, device.certificate_id)
        found[f"repeated, {mode}"] = "none came" if second is None else "came"
        if second is not None:
            found |= _repeated(second, mode, device.describe()["creationDate"].timestamp())
    return found


def _first(payload: bytes, mode: str) -> dict[str, Json]:
    event: dict[str, Any] = json.loads(payload)
    return {
        f"first event, {mode}": "came",
        f"fields, {mode}": ", ".join(sorted(event)),
        f"timestamp, {mode}": kind(event.get("timestamp")),
        f"certificateRegistrationTimestamp of the first, {mode}": kind(event.get("certificateRegistrationTimestamp")),
        f"first event's bytes, {mode}": written(payload),
    }


def _repeated(payload: bytes, mode: str, created: float) -> dict[str, Json]:
    registered = json.loads(payload).get("certificateRegistrationTimestamp")
    found: dict[str, Json] = {
        f"certificateRegistrationTimestamp, repeated, {mode}": kind(registered),
        f"repeated event's bytes, {mode}": written(payload),
    }
    if _MILLISECONDS.fullmatch(str(registered)):
        found[f"creationDate beside it, {mode}"] = round(abs(created * 1000 - int(registered)), 3)
    return found


def kind(value: Any) -> str:
    """The form in which a time is encoded, in words."""
    if value is None:
        return _NULL
    if _MILLISECONDS.fullmatch(str(value)):
        return _TEXT if isinstance(value, str) else _NUMBER
    return f"{type(value).__name__}: {value}"


def written(payload: bytes) -> str:
    """An event's text, without the device's source address."""
    return _SOURCE_IP.sub(rb'\1"<address>"', payload).decode("utf-8", "backslashreplace")


def _expected(mode: str) -> tuple[Expectation, ...]:
    never = "no rule gets an event of a device of this mode: only the sweep finds it, minutes later"
    return (
        Expectation(what=f"first event, {mode}", assumed="came", otherwise=never),
        Expectation(
            what=f"fields, {mode}",
            assumed=FIELDS,
            otherwise="the rule's WHERE and `register` read certificateId, certificateStatus and awsAccountId: "
            "if one of "
            "those is missing, no device is activated; more fields do no harm",
        ),
        Expectation(
            what=f"timestamp, {mode}", assumed=_NUMBER, otherwise="only `jitrctl replay` and logs show it: cosmetic"
        ),
        Expectation(
            what=f"certificateRegistrationTimestamp of the first, {mode}",
            assumed=_NULL,
            otherwise="`register` takes null and strings: cosmetic, unless it is of another type",
        ),
        Expectation(
            what=f"repeated, {mode}",
            assumed="came",
            otherwise="after a lost event only the sweep finds the device; its next CONNECT causes no event",
        ),
        Expectation(
            what=f"certificateRegistrationTimestamp, repeated, {mode}",
            assumed=_TEXT,
            otherwise="`register` takes null and strings: cosmetic, unless it is of another type",
        ),
        Expectation(
            what=f"creationDate beside it, {mode}",
            assumed=Within(most=1, unit="ms"),
            otherwise="a decision belongs to one creationDate, which jitr takes from DescribeCertificate "
            "alone: cosmetic",
        ),
        Expectation(what=f"first event's bytes, {mode}", assumed=Recorded(), otherwise=""),
        Expectation(what=f"repeated event's bytes, {mode}", assumed=Recorded(), otherwise=""),
    )


PROBE = Probe(
    name="event",
    question="What exactly is the registration event, the first and a repeated one, in each mode?",
    method="An MQTT client of the run subscribes to the CA's topic; a new device connects twice.",
    expects=(*_expected(DEFAULT), *_expected(SNI_ONLY)),
    run=run,
    makes="2 devices, a listening client in each account with a policy",
    calls=80,
    seconds=20,
)
