"""Takes a CA over from JITP in one stage, and undoes that: the template, auto-registration and the topic rule.

Both orders are steps that can be repeated: each run reads what is there, and does the rest. The template is kept in the
registry before it is taken off; at no moment are a template and an enabled rule there together.

What AWS IoT does with auto-registration when a template is taken off is not documented, so it is read back each time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitr.iot_models import JITP_ENDS_WITHIN
from jitrctl.ca import registry
from jitrctl.ca.plan import RuleState, adopt_command
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.jitp.half_done import both_orders, told_when_half_done
from jitrctl.jitp.kept_template import KeptState, Overtaken
from jitrctl.jitp.registered_ca import describe_ca
from jitrctl.jitp.take_over_plan import kept_templates, stage_options
from jitrctl.session.invoke import start_sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from jitr_fleet.model import Ca
    from jitrctl.jitp.kept_template import KeptOrder, KeptTemplates
    from jitrctl.jitp.registered_ca import RegisteredCa
    from jitrctl.jitp.take_over_plan import TakeOver
    from jitrctl.session.stage import Stage

_READS = 5  # of the CA, before it is believed that a change had no effect
_BETWEEN_READS = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOverResult:
    """What was done in one stage."""

    plan: TakeOver
    gap: timedelta | None  # from the template's end to the rule's being enabled, or the reverse; None: not known
    without_registration: timedelta | None  # of it, in which auto-registration was off; None: not known
    was_without_registration: bool  # auto-registration was seen off
    is_sweep_started: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _TakenOff:
    """The CA after the template was taken off."""

    found: RegisteredCa
    was_without_registration: bool
    began: datetime | None  # when this run took it off; None: it was off already


def take_over(stage: Stage, plan: TakeOver, *, sleep: Callable[[float], None] = time.sleep) -> TakeOverResult:
    """Carry a plan out, from wherever an earlier run ended.

    Raises Refused when AWS IoT keeps the template, or another engineer's order is under way; HalfDone.
    """
    kept = kept_templates(stage, plan.ca)
    order = kept.begin(KeptState.TAKING, plan.config, plan.body, is_on=plan.found.has_template)
    with told_when_half_done(stage, plan, kept, order):
        return _take_over(stage, plan, kept, order, sleep)


def _take_over(
    stage: Stage, plan: TakeOver, kept: KeptTemplates, order: KeptOrder, sleep: Callable[[float], None]
) -> TakeOverResult:
    ca = plan.ca
    taken = _take_off(stage, plan, kept, order, sleep)
    kept.go_on(order)
    if taken.found.has_template or not taken.found.registers_automatically:
        _give_up(stage, plan, kept, order, taken.found)
    without = now() - taken.began if taken.was_without_registration and taken.began else None
    stage.iot.enable_topic_rule(ruleName=stage.names.rule(ca.name))
    gap = now() - order.off_at if order.off_at else None
    _refuse_both(stage, ca, kept, order)
    rule = registry.find_rule(stage, ca)
    if rule is not RuleState.ENABLED:
        raise Refused(
            f"topic rule {stage.names.rule(ca.name)} is {rule} after it was enabled: {both_orders(stage, ca, order)}"
        )
    _leave_to_jitp(taken.found, sleep)
    _refuse_both(stage, ca, kept, order)
    is_started = start_sweep(stage)
    kept.end(order, KeptState.TAKEN, taken.found.modified_at)
    return TakeOverResult(
        plan=plan,
        gap=gap,
        without_registration=without,
        was_without_registration=taken.was_without_registration,
        is_sweep_started=is_started,
    )


def _refuse_both(stage: Stage, ca: Ca, kept: KeptTemplates, order: KeptOrder) -> None:
    """Disable the rule if the template is on the CA again, or on its way: this order's call to enable it came late.

    A call may hang and be repeated for minutes, in which another engineer undoes. Who was overtaken by another
    take-over leaves the rule to it.

    Raises Overtaken, Refused.
    """
    rule = stage.names.rule(ca.name)
    has_template = _describe(stage, ca).has_template
    try:
        kept.go_on(order)
    except Overtaken:
        last = kept.read()
        if has_template or (last and not last.is_for_jitr):
            stage.iot.disable_topic_rule(ruleName=rule)
        raise
    if has_template:
        stage.iot.disable_topic_rule(ruleName=rule)
        raise Refused(
            f"a template was put on CA {ca.name} meanwhile, so its topic rule was disabled again: "
            f"{both_orders(stage, ca, order)}"
        )


def _take_off(
    stage: Stage, plan: TakeOver, kept: KeptTemplates, order: KeptOrder, sleep: Callable[[float], None]
) -> _TakenOff:
    """Take the template off, and see that auto-registration is on; the CA as it then is, whatever that is.

    Raises Refused when another template is on the CA, or another engineer's order has begun.
    """
    ca, began = plan.ca, None
    found = _describe(stage, ca)
    if found.has_template:
        if dict(found.config) != dict(plan.config):
            kept.end(order, KeptState.UNDONE, found.modified_at)
            command = f"`{adopt_command(ca.name, stage_options(stage))} --take-over` shows and takes off that one"
            raise Refused(f"another template was put on CA {ca.name} since the plan was shown: {command}")
        kept.go_on(order)
        began = now()
        stage.iot.update_ca_certificate(certificateId=ca.certificate_id, removeAutoRegistration=True)
        found = _describe(stage, ca)
    was_off = False
    for attempt in range(_READS):
        if not found.registers_automatically:
            was_off = True
            kept.go_on(order)
            registry.set_auto_registration(stage, ca, on=True)
            found = _describe(stage, ca)
        if found.registers_automatically and not found.has_template:
            break
        if attempt < _READS - 1:
            sleep(_BETWEEN_READS)
            found = _describe(stage, ca)
    return _TakenOff(found=found, was_without_registration=was_off, began=began)


def undo(stage: Stage, plan: TakeOver, *, sleep: Callable[[float], None] = time.sleep) -> TakeOverResult:
    """Carry an undoing out, from wherever an earlier run ended.

    Raises Refused when AWS IoT does not take the template, or another engineer's order is under way; HalfDone.
    """
    kept = kept_templates(stage, plan.ca)
    is_on = plan.is_rule_on or plan.found.has_template
    order = kept.begin(KeptState.UNDOING, plan.config, plan.body, is_on=is_on)
    with told_when_half_done(stage, plan, kept, order):
        return _undo(stage, plan, kept, order, sleep)


def _undo(
    stage: Stage, plan: TakeOver, kept: KeptTemplates, order: KeptOrder, sleep: Callable[[float], None]
) -> TakeOverResult:
    ca, rule = plan.ca, stage.names.rule(plan.ca.name)
    stage.iot.disable_topic_rule(ruleName=rule)
    found = _describe_planned(stage, plan)
    kept.go_on(order)
    if not found.has_template:
        stage.iot.update_ca_certificate(
            certificateId=ca.certificate_id,
            registrationConfig=dict(plan.config),
            newAutoRegistrationStatus="ENABLE",
        )
    elif not found.registers_automatically:
        registry.set_auto_registration(stage, ca, on=True)
    for attempt in range(_READS):
        found = _describe_planned(stage, plan)
        if found.has_template and found.registers_automatically:
            break
        if attempt < _READS - 1:
            sleep(_BETWEEN_READS)
    if not found.has_template or not found.registers_automatically:
        what = "has no template" if not found.has_template else "does not register automatically"
        raise Refused(f"the CA {what} after AWS IoT took the order: {both_orders(stage, ca, order)}")
    gap = now() - order.off_at if order.off_at else None
    if registry.find_rule(stage, ca) is RuleState.ENABLED:  # by an overtaken take-over, whose call came late
        stage.iot.disable_topic_rule(ruleName=rule)
    kept.end(order, KeptState.UNDONE, found.modified_at)
    return TakeOverResult(
        plan=plan, gap=gap, without_registration=None, was_without_registration=False, is_sweep_started=False
    )


def _describe_planned(stage: Stage, plan: TakeOver) -> RegisteredCa:
    """The CA.

    Raises Refused when another template than the plan's is on it; botocore's errors.
    """
    found = _describe(stage, plan.ca)
    if found.has_template and dict(found.config) != dict(plan.config):
        raise Refused(
            f"another template than the kept one was put on CA {plan.ca.name} meanwhile, and stays; jitr's topic rule "
            f"is disabled: `{adopt_command(plan.ca.name, stage_options(stage))}` shows what it does"
        )
    return found


def _leave_to_jitp(found: RegisteredCa, sleep: Callable[[float], None]) -> None:
    """Wait until nothing that JITP began is under way: until then the sweep leaves the CA's devices out."""
    if found.modified_at is not None:
        left = found.modified_at + JITP_ENDS_WITHIN - now()
        # Whatever the laptop's clock says, no longer than that.
        sleep(max(min(left, JITP_ENDS_WITHIN).total_seconds() + 1, 0))


def _give_up(stage: Stage, plan: TakeOver, kept: KeptTemplates, order: KeptOrder, found: RegisteredCa) -> None:
    """Refuse, with what the CA is like now; jitr's rule is disabled as before."""
    kept.end(order, KeptState.UNDONE if found.has_template else KeptState.TAKING, found.modified_at)
    auto = "on, as before" if found.registers_automatically else "OFF, so no new device can register"
    orders = both_orders(stage, plan.ca, order)
    if found.has_template:
        command = f"{adopt_command(plan.ca.name, stage_options(stage))} --take-over"
        raise Refused(
            f"AWS IoT has kept the template on CA {plan.ca.name}, so JITP goes on; auto-registration is {auto}; jitr's "
            "topic rule is still disabled. To take the CA over all the same: set it INACTIVE, delete its registration "
            f"(`aws iot update-ca-certificate`, `delete-ca-certificate`), `jitrctl ca apply`, then `{command}`"
        )
    raise Refused(f"the template is off, and auto-registration of CA {plan.ca.name} is {auto}: {orders}")


def _describe(stage: Stage, ca: Ca) -> RegisteredCa:
    found = describe_ca(stage.iot, ca.certificate_id)
    if found is None:
        raise Refused(f"CA {ca.name} was deleted meanwhile: `jitrctl ca apply` registers it")
    return found
