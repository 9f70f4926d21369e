"""Says what is on and what is off when a take-over, or its undoing, ends halfway, and which command goes on.

The next order may then begin at once. After one that was killed it has to wait: see `KeptTemplates`.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitrctl.ca import registry
from jitrctl.ca.plan import adopt_command
from jitrctl.errors import Refused
from jitrctl.jitp.kept_template import KeptState
from jitrctl.jitp.registered_ca import describe_ca
from jitrctl.jitp.take_over_plan import stage_options
from jitrctl.run.parallel import ON_PURPOSE, describe_error
from jitrctl.session.aws_errors import DENIED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitr_fleet.model import Ca
    from jitrctl.jitp.kept_template import KeptOrder, KeptTemplates
    from jitrctl.jitp.take_over_plan import TakeOver
    from jitrctl.session.stage import Stage


class HalfDone(Refused):
    """An order failed in its middle; the message says what is on, and which command goes on."""


@contextmanager
def told_when_half_done(stage: Stage, plan: TakeOver, kept: KeptTemplates, order: KeptOrder) -> Iterator[None]:
    """Run an order that has begun; whatever but a kill ends it, the next one may begin at once.

    Raises HalfDone in place of botocore's and jitr's errors.
    """
    try:
        yield
    except (Refused, KeyboardInterrupt):
        with suppress(*ON_PURPOSE):
            kept.break_off(order)
        raise
    except ON_PURPOSE as error:
        is_free = False
        with suppress(*ON_PURPOSE):
            kept.break_off(order)
            is_free = True
        rest = (
            "" if is_free else "; either only in four minutes, since the registry could not be told that this one ended"
        )
        raise HalfDone(
            f"{describe_error(error)}{_role_needed(plan, order, error)}; {describe_now(stage, plan.ca)}; "
            f"{both_orders(stage, plan.ca, order)}{rest}"
        ) from error


def describe_now(stage: Stage, ca: Ca) -> str:
    """What is on and off now, as a part of a sentence."""
    try:
        found, rule = describe_ca(stage.iot, ca.certificate_id), registry.find_rule(stage, ca)
    except ON_PURPOSE:
        return "what is on now could not be read: `jitrctl ca status` says so"
    if found is None:
        return "the CA is not registered any more"
    template, auto = (
        "on" if found.has_template else "off the CA",
        "on" if found.registers_automatically else "OFF: new devices are refused",
    )
    return f"now the template is {template}, auto-registration is {auto}, and jitr's topic rule is {rule}"


def both_orders(stage: Stage, ca: Ca, order: KeptOrder) -> str:
    """The command that goes on with an order, and that of its reverse."""
    command = adopt_command(ca.name, stage_options(stage))
    same, reverse = ("--take-over", "--undo") if order.state is KeptState.TAKING else ("--undo", "--take-over")
    return f"`{command} {same}` does the rest, `{command} {reverse}` goes back"


def _role_needed(plan: TakeOver, order: KeptOrder, error: Exception) -> str:
    role = plan.config.get("roleArn")
    is_denied = isinstance(error, ClientError) and error.response["Error"].get("Code") in DENIED
    if order.state is KeptState.UNDOING and role and is_denied:
        return f"; putting the template back needs iam:PassRole on {role}, too"
    return ""
