"""Checks the links of an activated device: its thing, its policy, whether that allows it to connect, its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.device import live_connection
from jitrctl.doctor.device_policies import evaluate_policies
from jitrctl.doctor.finding import LinkFinding, broken, good, note

if TYPE_CHECKING:
    from jitrctl.device.search import RegisteredCertificate
    from jitrctl.doctor.context import DeviceContext


def check_thing(case: DeviceContext) -> LinkFinding:
    """The certificate is attached to its thing."""
    registered, made = _registered(case), case.stage_certificate.record.decision
    if not registered.things:
        expected = made.thing_name if made and made.thing_name else case.connects_as
        return broken(
            "the certificate is attached to no thing, so a policy that names the thing allows it nothing",
            f"`aws iot attach-thing-principal --thing-name {expected} --principal {registered.device.arn} "
            f"--region {case.stage.region}`",
        )
    if case.thing is None:
        return broken(f"there is no thing {registered.things[0]}", f"`jitrctl device show {case.path} {case.options}`")
    if made and made.thing_name and made.thing_name not in registered.things:
        return note(f"{', '.join(registered.things)}; jitr gave it {made.thing_name}")
    return good(", ".join(registered.things))


def check_connection(case: DeviceContext) -> LinkFinding:
    """Says whether the device is connected, since when and from where; if not, why it ended, if AWS still knows."""
    found = live_connection.read(case.stage, case.connects_as)
    return good(str(found)) if found.connected else note(str(found))


def check_policy(case: DeviceContext) -> LinkFinding:
    """The policy of the CA is attached to the certificate."""
    registered, expected = _registered(case), case.stage.fleet.policy_name(case.issuing.ca)
    if not registered.policies:
        return broken(
            "no policy is attached to the certificate: AWS IoT closes its connection, as if it were pending",
            f"`aws iot attach-policy --policy-name {expected} --target {registered.device.arn} "
            f"--region {case.stage.region}`",
        )
    if expected not in registered.policies:
        return note(f"{', '.join(registered.policies)}, and not {expected}")
    return good(", ".join(registered.policies))


def check_policy_allows(case: DeviceContext) -> LinkFinding:
    """The policies of the certificate and of the thing's groups allow iot:Connect under the device's client id."""
    return evaluate_policies(case, _registered(case).policies)


def _registered(case: DeviceContext) -> RegisteredCertificate:
    registered = case.stage_certificate.registered
    assert registered is not None  # noqa: S101 -- the link `status` is broken otherwise
    return registered
