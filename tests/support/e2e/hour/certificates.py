"""The device itself is wrong: its CA, its key, its client id, its certificate's time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.e2e.hour.operator import FILE
from tests.support.e2e.hour.outcome import HourError, Step

if TYPE_CHECKING:
    from tests.support.e2e.hour.operator import Operator


def wrong_ca(operator: Operator) -> str:
    operator.run("jitrctl ca create stranger -o elsewhere")
    issue = "jitrctl device issue sensor-0301 --ca-file elsewhere/stranger.pem --ca-key elsewhere/stranger.key"
    operator.run(f"{issue} -o elsewhere")
    why = operator.jitrctl("doctor elsewhere/sensor-0301.pem --account dev", code=1)
    operator.read(why, "issuer is broken")
    operator.follow_words(operator.read(why, "Cure: "), "jitrctl local issue sensor-0301 --ca factory")
    return operator.comes_in("sensor-0301")


def wrong_key(operator: Operator) -> str:
    operator.run("jitrctl local issue sensor-0302 --ca factory")
    operator.run("jitrctl local issue sensor-0303 --ca factory")
    certificate, keys = operator.file("sensor-0302"), operator.file("sensor-0303").replace(".pem", ".key")
    refused = operator.jitrctl(f"doctor {certificate} --key {keys} --account dev", code=2)
    told = operator.read(refused, "give the device's own")
    own = f"jitrctl doctor {certificate} --key {certificate.replace('.pem', '.key')} --account dev --fleet {FILE}"
    accepted = operator.follow_words(told, own)
    if "every link is good" not in accepted.text:
        raise HourError(accepted.text)
    return operator.comes_in("sensor-0302")


def wrong_client_id(operator: Operator) -> str:
    operator.comes_in("sensor-0304")
    why = operator.ask_why(operator.connect("sensor-0304", more="--client-id sensor-9999"))
    operator.read(why, "policy allows Connect is broken")
    operator.cures.append(operator.read(why, "Cure: "))
    return operator.comes_in("sensor-0304")


def ended(operator: Operator) -> str:
    operator.issuing_ca("factory").issue(operator.devices, "sensor-0305", days=-1)
    why = operator.ask_why(operator.connect("sensor-0305"))
    operator.read(why, "certificate is broken: it ended")
    operator.follow_words(operator.read(why, "Cure: "), "jitrctl local issue sensor-0305 --ca factory")
    return operator.comes_in("sensor-0305")


STEPS = (
    Step(name="wrong CA", broken="a CA that the fleet does not have signed the certificate", play=wrong_ca),
    Step(name="wrong key", broken="the key is another device's", play=wrong_key),
    Step(name="wrong client id", broken="the device connects as another one", play=wrong_client_id),
    Step(name="wrong time", broken="the certificate has ended", play=ended),
)
