"""Says what is wrong with a stage's CAs: how they are registered, their certificates' end, their CRLs. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from jitr_fleet.choices import RegisteredBy
from jitrctl.ca.crl_state import CrlProgress
from jitrctl.ca.plan import RuleState, adopt_command, differences
from jitrctl.status.crls import CrlState
from jitrctl.status.problems import WHERE, Kind, Problem, Severity
from jitrctl.status.stage_commands import aws_command, deploy_command, restore_command
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from jitrctl.ca.plan import CaState
    from jitrctl.session.stage import Stage
    from jitrctl.status.crls import CrlHealth
    from jitrctl.status.health import Health


def find_ca_problems(stage: Stage, health: Health, now: datetime) -> Iterator[Problem]:
    """The problems of the stage's CAs at a time."""
    for state in health.cas:
        # Without the stack there is no rule, and its deployment is the cure of both.
        if differing := _differing(stage, state if health.stack else replace(state, rule=RuleState.ENABLED)):
            yield differing
        if expiring := _expiring(stage, state, now):
            yield expiring
    for ca, crl in health.crls.items():
        if problem := _of_crl(ca, crl):
            yield problem
        if problem := _of_applied(ca, crl):
            yield problem


def _differing(stage: Stage, state: CaState) -> Problem | None:
    texts = differences(state)
    if not texts:
        return None
    if state.revocation:
        return Problem(
            kind=Kind.CA,
            severity=Severity.DRIFTED,
            text=f"CA {state.name}: {'; '.join(texts)}; its devices go over to its successor, or are deactivated",
            runbook="a-cas-key-leaked",
        )
    is_only_freed = state.is_freed and len(texts) == 1
    return Problem(
        kind=Kind.CA,
        severity=Severity.WAITING if is_only_freed else Severity.STOPPED,
        text=f"CA {state.name} is not as the fleet file says: {'; '.join(texts)}",
        cures=tuple(_cures(stage, state)),
    )


def _cures(stage: Stage, state: CaState) -> Iterator[str]:
    """The commands that make the CA as it is declared, in their order."""
    found, by_stack = state.found, state.declared.registered_by is RegisteredBy.STACK
    if state.is_freed:
        yield deploy_command(stage)
    elif state.rule is RuleState.DISABLED and not state.is_held and not (found and found.has_template):
        yield aws_command(stage, f"iot enable-topic-rule --rule-name {stage.names.rule(state.name)}")
    is_wrong_in_stack = by_stack and (found is None or not (found.active and found.registers_automatically))
    if state.rule in (RuleState.MISSING, RuleState.ELSEWHERE) or is_wrong_in_stack:
        yield restore_command(stage)
    if found and found.has_template and not state.is_held:
        yield adopt_command(state.name) + WHERE
    if by_stack:
        return
    if found and found.mode is not state.declared.mode:
        yield f"jitrctl ca switch-mode --ca {state.name}{WHERE}"
    if state.is_held:
        yield from _cures_of_held(stage, state)
    elif found is None or not (found.active and found.registers_automatically):
        yield f"jitrctl ca apply --ca {state.name}{WHERE}"


def _cures_of_held(stage: Stage, state: CaState) -> Iterator[str]:
    """The commands for a CA under a template that registers no device; `ca apply` leaves it as it is."""
    if state.found and not state.found.active:
        activate = f"--certificate-id {state.declared.ca.certificate_id} --new-status ACTIVE"
        yield aws_command(stage, f"iot update-ca-certificate {activate}")
    if state.found and not state.found.registers_automatically:
        yield f"{adopt_command(state.name)} --take-over{WHERE}"


def _expiring(stage: Stage, state: CaState, now: datetime) -> Problem | None:
    ends_at = state.declared.ca.certificate.not_after
    left = ends_at - now
    if left > timedelta(seconds=stage.fleet.alarms.ca_expiry):
        return None
    text = f"has ended, on {ends_at:%F}" if left < timedelta(0) else f"ends in {left.days} days, on {ends_at:%F}"
    return Problem(
        kind=Kind.CA_EXPIRING,
        severity=Severity.STOPPED if left < timedelta(0) else Severity.SOON,
        text=f"the certificate of CA {state.name} {text}: register its successor, and issue from that",
        runbook="ca-expiring",
    )


def _of_crl(ca: str, crl: CrlHealth) -> Problem | None:
    text = {
        CrlState.MISSING: "is not published",
        CrlState.UNUSABLE: f"cannot be used ({crl.why})",
        CrlState.STALE: f"is stale since {at(crl.next_update)}" if crl.next_update else "is stale",
        CrlState.GOING_STALE: f"is in force only until {at(crl.next_update)}" if crl.next_update else "",
    }.get(crl.state)
    if text is None:
        return None
    wanted = "one" if crl.state is CrlState.MISSING else "the next one"
    held = ": new devices are held" if crl.enforced and crl.state is not CrlState.GOING_STALE else ""
    return Problem(
        kind=Kind.CRL,
        severity=Severity.SOON if not held else Severity.STOPPED,
        text=f"the CRL of CA {ca} {text}{held}; have the CA issue {wanted}",
        cures=(f"jitrctl crl put {ca}.crl --ca {ca}{WHERE}",),
    )


def _of_applied(ca: str, crl: CrlHealth) -> Problem | None:
    """What keeps the published CRL from ACTIVE devices; one that cannot be used is a problem already."""
    one = crl.applied
    if one is None or not one.asks_for_approval or crl.state is CrlState.UNUSABLE:
        return None
    approve = f'jitrctl crl approve {ca} --note "…"{WHERE}'
    if one.progress is CrlProgress.WAITING:
        return Problem(
            kind=Kind.CRL_WAITS,
            severity=Severity.WAITING,
            text=f"the CRL of CA {ca} takes out {one.ended} of {one.devices} devices at once, and waits: approve it "
            "if it is right, or have the CA issue the next one",
            cures=(approve,),
            runbook="crl-waits",
        )
    return Problem(
        kind=Kind.CRL_REFUSED,
        severity=Severity.FAILING,
        text=f"the CRL of CA {ca} is not applied to ACTIVE devices: {one.why}; have the CA issue the next one",
        cures=(f"jitrctl crl put {ca}.crl --ca {ca}{WHERE}",),
        runbook="crl-refused",
    )
