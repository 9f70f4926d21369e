"""Checks the links of an activated device: thing, groups, policy, whether that allows it to connect, connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitr.rules import OnReplacement
from jitrctl.device import live_connection
from jitrctl.device.missing import expected_thing, missing_billing_group, missing_groups
from jitrctl.doctor.cures import reconcile_command
from jitrctl.doctor.device_policies import evaluate_policies
from jitrctl.doctor.finding import LinkFinding, broken, good, note
from jitrctl.status.stage_commands import restore_command

if TYPE_CHECKING:
    from jitrctl.device.search import RegisteredCertificate
    from jitrctl.doctor.context import DeviceContext


def check_thing(case: DeviceContext) -> LinkFinding:
    """The certificate is attached to its thing, which exists."""
    registered, made = _registered(case), case.stage_certificate.record.decision
    expected = expected_thing(case.stage_certificate) or case.connects_as
    if not registered.things:
        owner = case.owner_of(expected)
        if owner and owner.certificate_id != case.certificate_id:
            return broken(
                f"the certificate is attached to no thing; thing name {expected} belongs to certificate "
                f"{owner.certificate_id}",
                f"have the device use that certificate; `jitrctl device show {owner.certificate_id}` shows it",
            )
        exists = case.read_thing(expected).exists
        what = f"thing {expected} does not exist" if not exists else f"it is not attached to thing {expected}"
        return broken(
            f"{what}, so a policy that names the thing allows it nothing",
            f"{reconcile_command(case)} {'' if exists else 'creates it, and '}attaches the certificate",
        )
    if made and made.thing_name and made.thing_name not in registered.things:
        return note(f"{', '.join(registered.things)}; jitr gave it {made.thing_name}")
    return good(", ".join(registered.things))


def check_other_principals(case: DeviceContext) -> LinkFinding:
    """No other certificate is attached to the thing; each of them can act as the device."""
    registered = _registered(case)
    if not registered.things:
        return note("not looked at: there is no thing")
    name = registered.things[0]
    others = [one for one in case.read_thing(name).certificates if one != case.certificate_id]
    rules = case.stage.rules.ca(registered.device.ca_certificate_id or "")
    if not others:
        return good(f"no other certificate is attached to {name}")
    text = f"attached to {name}, too: certificate {', '.join(others)}"
    if rules and rules.on_replacement is OnReplacement.SHARE:
        return good(f"{text}; its CA lets certificates share a thing")
    left = [one for one in others if not case.was_followed(one)]
    if not left:
        return note(f"{text}, which another followed: the sweep detaches it after the overlap")
    return note(
        f"{text}; it can act as the device",
        f"`jitrctl device show {left[0]}` shows whose it is; if it is not to be there: `jitrctl device deactivate "
        f"{left[0]} {case.options}`",
    )


def check_groups(case: DeviceContext) -> LinkFinding:
    """The thing is in the groups of the rules, which may have policies of their own."""
    registered = _registered(case)
    if not registered.things:
        return note("not looked at: there is no thing")
    thing = case.read_thing(registered.things[0])
    missing = missing_groups(case.stage, case.stage_certificate, thing)
    if missing:
        return note(
            f"thing {thing.name} is not in {', '.join(missing)}, so it lacks what their policies allow",
            f"{reconcile_command(case)} has it join",
        )
    billing_group = missing_billing_group(case.stage, case.stage_certificate, thing)
    if billing_group:
        now = f"billing group {thing.billing_group}" if thing.billing_group else "no billing group"
        return note(
            f"thing {thing.name} is in {now}, not in {billing_group}: its costs are not counted there",
            f"{reconcile_command(case)} has it join",
        )
    billed = [f"billing group {thing.billing_group}"] if thing.billing_group else []
    return good(", ".join([*thing.groups, *billed]) or "none")


def check_connection(case: DeviceContext) -> LinkFinding:
    """Says whether the device is connected, since when and from where; if not, why it ended, if AWS still knows."""
    found = live_connection.read(case.stage, case.connects_as)
    return good(str(found)) if found.connected else note(str(found))


def check_policy(case: DeviceContext) -> LinkFinding:
    """The policy of the CA exists, and is attached to the certificate."""
    registered, expected = _registered(case), case.stage.fleet.policy_name(case.origin)
    if expected in registered.policies:
        return good(", ".join(registered.policies))
    cure = f"{reconcile_command(case)} attaches it"
    if not case.has_policy(expected):
        cure = f"deploy the stack, which makes it: `{restore_command(case.stage)}`; then {cure}"
    if not registered.policies:
        return broken("no policy is attached to the certificate: AWS IoT closes its connection", cure)
    return note(f"{', '.join(registered.policies)}, and not {expected}", cure)


def check_policy_allows(case: DeviceContext) -> LinkFinding:
    """The policies of the certificate and of the thing's groups allow iot:Connect under the device's client id."""
    return evaluate_policies(case, _registered(case).policies)


def _registered(case: DeviceContext) -> RegisteredCertificate:
    registered = case.stage_certificate.registered
    assert registered is not None  # noqa: S101 -- the link `status` is broken otherwise
    return registered
