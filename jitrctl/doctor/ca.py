"""Checks the links of the CA, as this account has it registered in this Region."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.ca.explaining_orders import (
    DEACTIVATED,
    DELETED,
    NOT_AUTOMATIC,
    StateChange,
    find_order,
    in_another_mode,
)
from jitrctl.ca.plan import adopt_command, freed_text, held_text, plan, revoked_obstacle
from jitrctl.doctor.finding import LinkFinding, broken, good, note
from jitrctl.status.stage_commands import deploy_command, restore_command

if TYPE_CHECKING:
    from jitrctl.ca.plan import FoundCa
    from jitrctl.doctor.context import DeviceContext


def check_registration(case: DeviceContext) -> LinkFinding:
    """The CA is registered; AWS IoT closes the connection of a device whose CA is not."""
    ca = case.issuing.ca
    if case.ca.found is None:
        planned = plan(case.ca)
        if not planned.steps and planned.obstacles:
            cure = f"{'; '.join(planned.obstacles)}; then {_apply(case)}"
        else:
            cure = _apply(case) if planned.steps else f"the stack registers it: `{restore_command(case.stage)}`"
        return broken(f"CA {ca.name} is not registered in {case.stage}{_by_whom(case, DELETED)}", cure)
    return good(f"{ca.name} is registered, {ca.certificate_id}")


def check_mode(case: DeviceContext) -> LinkFinding:
    """The CA's mode is the fleet file's: devices must send other things in each, and a wrong mode has them held."""
    found, declared = _found(case).mode, case.issuing.mode
    if found is not declared:
        by_whom = _by_whom(case, in_another_mode(case.ca))
        return broken(
            f"it is registered in mode {found}, the fleet file says {declared}{by_whom}",
            f"correct the fleet file, or `jitrctl ca switch-mode --ca {case.issuing.ca.name} {case.options}`, which "
            "says first what that does to the devices",
        )
    return good(str(found))


def check_status(case: DeviceContext) -> LinkFinding:
    """The CA is ACTIVE; AWS IoT registers no device of an INACTIVE one."""
    if not _found(case).active:
        sets_active = f"{_apply(case)} sets it ACTIVE"
        if case.ca.revocation:
            sets_active = revoked_obstacle(case.ca.name, case.ca.revocation)
        elif case.ca.is_held:
            sets_active = held_text(case.ca, case.options)
        return broken(
            f"the CA is INACTIVE: no device of it can register{_by_whom(case, DEACTIVATED)}",
            f"ask who deactivated it, and why; {sets_active}",
        )
    return good("ACTIVE")


def check_auto_registration(case: DeviceContext) -> LinkFinding:
    """Auto-registration is on: AWS IoT registers a new device when it connects."""
    if not _found(case).registers_automatically:
        return broken(
            f"auto-registration is off: AWS IoT refuses new devices, and sends no event{_by_whom(case, NOT_AUTOMATIC)}",
            held_text(case.ca, case.options) if case.ca.is_held else f"{_apply(case)} enables it",
        )
    return good("ENABLE")


def check_template(case: DeviceContext) -> LinkFinding:
    """The CA has no provisioning template: with one AWS IoT provisions devices (JITP), and sends jitr no event."""
    if case.ca.is_held:
        return note(held_text(case.ca, case.options))
    if case.ca.is_freed:
        return note(freed_text(case.ca), f"remove it, then `{deploy_command(case.stage)}`")
    if _found(case).has_template:
        adopt = adopt_command(case.issuing.ca.name, case.options)
        return broken(
            "a provisioning template is set: AWS IoT provisions devices itself, and sends jitr no event",
            f"`{adopt}` shows what it does, and how jitr takes the CA over and keeps the template",
        )
    return good("none, so AWS IoT publishes an event")


def check_logging(case: DeviceContext) -> LinkFinding:
    """AWS IoT writes its log, which alone says why a device was not registered; devices connect without it."""
    level = case.iot_logging
    if level == "unknown":
        return note("AWS IoT does not say at which level it logs")
    if level is None:
        return note(
            "AWS IoT logs nothing, and nothing else says why it refuses a device",
            f'iot_logging = "error" under [stack] in the fleet file, then deploy: `{deploy_command(case.stage)}`',
        )
    return good(f"{level}, in the log group AWSIotLogsV2")


def _apply(case: DeviceContext) -> str:
    return f"`jitrctl ca apply --ca {case.issuing.ca.name} {case.options}`"


def _by_whom(case: DeviceContext, change: StateChange) -> str:
    order = find_order(case.ca_orders, change)
    return f"; so ordered: {order}" if order else ""


def _found(case: DeviceContext) -> FoundCa:
    found = case.ca.found
    assert found is not None  # noqa: S101 -- the link `registered` is broken otherwise
    return found
