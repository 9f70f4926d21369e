"""Runs the demo: AWS's multi-account article on the local AWS, with the real parts.

The CDK CLI deploys app.py, the asset runs as a Lambda function, and an MQTT client connects over mutual TLS. Nothing
here runs the handler or sets a status. Each step checks its result, and fails with one sentence when it is not as
expected.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitrctl.demo.scenes import connecting, enrolling, recovering, refusing, rotating, stealing
from jitrctl.demo.scenes.cast import Cast, Detail, expect
from jitrctl.localaws import accounts, deployment
from jitrctl.localaws.stage import LocalStage

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitrctl.localaws.issuing import IssuingCa
    from jitrctl.localaws.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One step: its title, and its function, which raises LocalAwsError when the result is not as expected."""

    title: str
    play: Callable[[], Detail]


class Story:
    """The steps, in order; each needs those before.

    After the first step, `cast` can be used until the accounts are stopped.
    """

    cast: Cast

    def __init__(self, workspace: Workspace, *, stays: bool = False) -> None:
        """`stays`: the accounts keep running after this process."""
        self._workspace = workspace
        self._stays = stays
        self._example = workspace.load_example()
        self._places = workspace.find_places()
        self._left_out = workspace.find_left_out()

    def steps(self) -> tuple[StoryStep, ...]:
        first, second = (place.account.name for place in self._places)
        hero = self._example.cas[0].name
        scenes: tuple[tuple[str, Callable[[Cast], Detail]], ...] = (
            (f"A new device connects to {first}", connecting.first_connection),
            (f"The same device, the same certificate, moves to {second}", connecting.move),
            (f"A device of the same CA connects to {second} without SNI", connecting.without_sni),
            ("Devices that must not get in", refusing.refusals),
            (
                "A CA whose devices are listed: one is expected, one is denied, one an operator approves",
                enrolling.listed,
            ),
            ("An event is lost, and the sweep takes the device up", recovering.lost_event),
            ("A device rotates its certificate, without a gap", rotating.rotation),
            ("A device is stolen, connected in both accounts: one order, and it is out of both", stealing.theft),
            ("The end: what became of every device", _end),
        )
        return (
            StoryStep(f"Two AWS accounts start: {first} and {second}", self._start),
            StoryStep("cdk deploy, one stack per account", self._deploy),
            StoryStep(
                f"The makers' CAs are registered: {hero} DEFAULT in {first}, SNI_ONLY in {second}", self._register
            ),
            *(StoryStep(title, lambda play=play: play(self.cast)) for title, play in scenes),  # type: ignore[misc]
        )

    def _start(self) -> Detail:
        deployment.check_tools(self._workspace)
        to_start = [place.spec() for place in self._places]
        started = accounts.up(self._workspace.directory, to_start, stays=self._stays)
        fleet, cas = self._workspace.prepare(started)
        first, second = (
            LocalStage(account, place, fleet) for account, place in zip(started, self._places, strict=True)
        )
        self.cast = Cast(
            first=first,
            second=second,
            cas=cas,
            example=self._example,
            fleet_file=self._workspace.fleet_file,
            devices=self._workspace.devices,
        )
        left = [name for name in self._left_out if name.partition("/")[0] not in {one.name for one in started}]
        return Detail(
            note=f"fleet.toml also has {', '.join(left)}: `jitrctl local up --fleet FILE` starts all." if left else "",
            rows=[
                {
                    "account": account.name,
                    "id": account.id,
                    "Region": account.region,
                    "API": account.endpoint_url,
                    "MQTT": f"127.0.0.1:{account.mqtt_port}",
                }
                for account in started
            ],
        )

    def _deploy(self) -> Detail:
        stages = (self.cast.first, self.cast.second)
        deployment.synthesize(self._workspace, self.cast.first.account)
        with ThreadPoolExecutor() as pool:
            seconds = list(pool.map(self._deploy_one, stages))
        return Detail(
            rows=[
                {"stack": stage.place.stack, "in account": stage.account.id, "seconds": f"{took:.1f}"}
                for stage, took in zip(stages, seconds, strict=True)
            ],
            note=(
                "Before any CA is registered, so that no event finds no rule. The CAs themselves were made with the "
                "article's openssl commands: a CA's certificate id is the last level of its rule's topic."
            ),
        )

    def _deploy_one(self, stage: LocalStage) -> float:
        began = time.monotonic()
        deployment.deploy(self._workspace, stage.account, stage.place)
        return time.monotonic() - began

    def _register(self) -> Detail:
        rows = [
            _register_ca(stage, name, ca)
            for stage in (self.cast.first, self.cast.second)
            for name, ca in self.cast.cas.items()
        ]
        recovering.lose_event(self.cast)
        return Detail(
            rows=rows,
            note=(
                "DEFAULT: registration code → verification certificate, signed with the CA's key. "
                "SNI_ONLY: the public certificate alone."
            ),
        )


def _register_ca(stage: LocalStage, name: str, ca: IssuingCa) -> dict[str, str]:
    described = stage.register_ca(name, ca)
    text = f"{stage.name} has CA {name}"
    expect(described["certificateId"] == ca.certificate_id, f"{text} under another certificate id")
    expect(described["certificateMode"] == stage.place.mode_of(name), f"{text} in {described['certificateMode']} mode")
    expect(described["status"] == "ACTIVE", f"{text} {described['status']}")
    expect(described["autoRegistrationStatus"] == "ENABLE", f"{text} without auto-registration")
    return {
        "account": stage.name,
        "CA": name,
        "certificate id": described["certificateId"],
        "mode": described["certificateMode"],
        "status": described["status"],
        "auto-registration": described["autoRegistrationStatus"],
    }


def _end(cast: Cast) -> Detail:
    return Detail(rows=cast.summary, note="seconds: from the first CONNECT to the accepted CONNACK")
