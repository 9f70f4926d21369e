"""Revokes a CA in a stage, as when its key leaked, and lifts that: the CA alone, not its devices.

    refuse    the registry's table says that the CA is revoked; `register` holds its devices from then on, whatever AWS
              IoT shows (jitr/store/revoked_cas.py)
    CA        INACTIVE, without auto-registration: AWS IoT registers no device of it
    rule      disabled: events of pending devices are lost

The first holds until it is lifted: `ca apply`, `ca rotate` and `ca switch-mode` refuse, and the sweep undoes what a
deployment or a person activates. A step that fails stops no other one, and the same command does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jitr.store.revoked_cas import CaRevocation
from jitr.verdicts import OperatorVerdict
from jitrctl.ca import registry
from jitrctl.ca.plan import RuleState
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.run.parallel import ON_PURPOSE, describe_error

if TYPE_CHECKING:
    from jitr.verdicts import OperatorAction
    from jitr_fleet.model import Ca
    from jitrctl.ca.plan import FoundCa
    from jitrctl.session.stage import Stage


class RevocationStep(StrEnum):
    """A step, in words; those that others have too are the words that explaining_orders.py knows."""

    REFUSE = "refuse its devices"
    DEACTIVATE = "disable auto-registration, set it INACTIVE"
    DISABLE_RULE = "disable its topic rule"
    ENABLE_RULE = "enable its topic rule"
    ACTIVATE = "set it ACTIVE, enable auto-registration"
    ADMIT = "admit its devices again"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedCa:
    """A CA in one stage: how it is registered there, and whether it is revoked."""

    ca: Ca
    is_given: bool  # the fleet file gives it to the account
    found: FoundCa | None
    rule: RuleState
    revocation: CaRevocation | None
    has_table: bool  # the stage has a registry

    @property
    def steps_to_revoke(self) -> tuple[RevocationStep, ...]:
        steps = []
        if self.revocation is None and self.has_table and (self.is_given or self.found):
            steps.append(RevocationStep.REFUSE)
        if self.found and (self.found.active or self.found.registers_automatically):
            steps.append(RevocationStep.DEACTIVATE)
        if self.rule is RuleState.ENABLED:
            steps.append(RevocationStep.DISABLE_RULE)
        return tuple(steps)

    @property
    def steps_to_lift(self) -> tuple[RevocationStep, ...]:
        """The steps; the order ends last, so that an interrupted one can be given again.

        The rule stays disabled while a provisioning template is on the CA: else jitr and JITP both act.
        """
        if self.revocation is None:
            return ()
        has_template = self.found is not None and self.found.has_template
        steps = [RevocationStep.ENABLE_RULE] if self.rule is RuleState.DISABLED and not has_template else []
        if self.found and not (self.found.active and self.found.registers_automatically):
            steps.append(RevocationStep.ACTIVATE)
        return (*steps, RevocationStep.ADMIT)


def inspect_revocation(stage: Stage, ca: Ca) -> RevokedCa:
    """Read how a CA is registered in a stage, and whether it is revoked.

    Raises Unavailable, botocore's errors.
    """
    has_table = True
    try:
        revocation = stage.revoked_cas.read().get(ca.certificate_id)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        has_table, revocation = False, None
    return RevokedCa(
        ca=ca,
        is_given=any(one.ca.name == ca.name for one in stage.account.cas),
        found=registry.find(stage, ca),
        rule=registry.find_rule(stage, ca),
        revocation=revocation,
        has_table=has_table,
    )


def carry_out(stage: Stage, ca: Ca, steps: tuple[RevocationStep, ...], note: str) -> None:
    """Carry out all steps, also when one fails.

    Raises Refused with what failed and what was done; the order to lift a revocation stops at the first failure.
    """
    done: list[str] = []
    failed: list[str] = []
    for step in steps:
        try:
            _take_step(stage, ca, step, note)
        except ON_PURPOSE as error:
            failed.append(f"{step}: {describe_error(error)}")
            if RevocationStep.ADMIT in steps:
                break
        else:
            done.append(step)
    if failed:
        raise Refused(f"{'; '.join(failed)}; done: {', '.join(done) or 'nothing'}; the same command does the rest")


def _take_step(stage: Stage, ca: Ca, step: RevocationStep, note: str) -> None:
    rule = stage.names.rule(ca.name)
    match step:
        case RevocationStep.REFUSE:
            given = CaRevocation(by=stage.caller, at=now(), note=note)
            stage.revoked_cas.revoke(ca.certificate_id, given)
        case RevocationStep.DEACTIVATE:
            registry.deactivate(stage, ca)
        case RevocationStep.DISABLE_RULE:
            stage.iot.disable_topic_rule(ruleName=rule)
        case RevocationStep.ENABLE_RULE:
            stage.iot.enable_topic_rule(ruleName=rule)
        case RevocationStep.ACTIVATE:
            stage.iot.update_ca_certificate(
                certificateId=ca.certificate_id, newStatus="ACTIVE", newAutoRegistrationStatus="ENABLE"
            )
        case RevocationStep.ADMIT:
            stage.revoked_cas.lift(ca.certificate_id, CaRevocation(by=stage.caller, at=now(), note=note))


def has_devices_order(one: RevokedCa, action: OperatorAction) -> bool:
    """Whether the order on the CA's devices is kept there already, as strong or stronger."""
    given = one.revocation.devices if one.revocation else None
    return given is not None and (given.action is action or action.is_weaker_than(given.action))


def order_devices(stage: Stage, ca: Ca, action: OperatorAction, note: str) -> None:
    """Write the order on all devices of a revoked CA; the sweep carries it out on those that become ACTIVE late.

    Raises Refused when the CA is not revoked any more; Unavailable, botocore's errors.
    """
    verdict = OperatorVerdict(action=action, by=stage.caller, at=now(), note=note)
    try:
        is_kept = stage.revoked_cas.order_devices(ca.certificate_id, verdict)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return  # not deployed: nothing activates devices there
    if not is_kept:
        raise Refused(f"{ca.name} is not revoked here, so its devices got no order: give the order again")
