"""Plans the steps that make a registered CA what the fleet file says, and describes the differences.

Pure: decides on the states that registry.py read. A mode cannot be changed in place, so a wrong one is an obstacle and
left to `jitrctl ca switch-mode`. Everything else becomes a step, unless it is as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jitr.x509.certificate import Certificate
from jitr_fleet.choices import ANOTHER_MODE, RegisteredBy
from jitrctl.clock import now

if TYPE_CHECKING:
    from datetime import datetime

    from jitr.rules import CertificateMode
    from jitr.store.revoked_cas import CaRevocation
    from jitr_fleet.model import CaDeployment


_REGISTERED_TWICE = "it is registered already, and not by the stack, which would register it a second time and fail"


class RuleState(StrEnum):
    """The CA's topic rule in a stage; without it, or while it is disabled, a device's first connection is lost."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    ELSEWHERE = "another topic"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCa:
    """A CA as it is registered in a stage."""

    mode: CertificateMode
    active: bool
    registers_automatically: bool
    has_template: bool  # a provisioning template, which makes AWS IoT provision by itself and publish no event
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaState:
    """A CA of the fleet file in a stage, and how it is registered there."""

    declared: CaDeployment
    found: FoundCa | None
    rule: RuleState
    registration_code: str | None = None  # the account's, if the CA is not registered in DEFAULT mode yet and should be
    is_the_stacks: bool = False  # the stage's stack has registered it
    revocation: CaRevocation | None = None  # an operator's order (`ca revoke`), until it is lifted

    @property
    def name(self) -> str:
        return self.declared.ca.name

    @property
    def is_held(self) -> bool:
        """Whether a provisioning template is on it, as the fleet file says: AWS IoT provisions, and jitr holds."""
        return self.declared.jitp and self.found is not None and self.found.has_template

    @property
    def is_freed(self) -> bool:
        """Whether the fleet file says that a provisioning template is on it, and none is."""
        return self.declared.jitp and self.found is not None and not self.found.has_template


@dataclass(frozen=True, slots=True)
class RegisterCa:
    """Register the CA in its mode, ACTIVE."""

    automatically: bool  # devices register as they connect

    def __str__(self) -> str:
        return "register it" + (", with auto-registration" if self.automatically else ", without auto-registration")


@dataclass(frozen=True, slots=True)
class Activate:
    """Set the CA ACTIVE."""

    def __str__(self) -> str:
        return "set it ACTIVE"


@dataclass(frozen=True, slots=True)
class EnableAutoRegistration:
    """Let devices register as they connect."""

    def __str__(self) -> str:
        return "enable auto-registration"


Step = RegisterCa | Activate | EnableAutoRegistration


@dataclass(frozen=True, slots=True, kw_only=True)
class CaPlan:
    """The steps for one CA in one stage, and what prevents the others."""

    state: CaState
    steps: tuple[Step, ...]
    waiting: tuple[str, ...] = ()  # solved by a deployment of the stack
    obstacles: tuple[str, ...] = ()  # need an action by the operator

    @property
    def undone(self) -> tuple[str, ...]:
        return (*self.waiting, *self.obstacles)


def plan(state: CaState, *, anyway: bool = False) -> CaPlan:
    """Plan the steps to what the fleet file says; `anyway` enables auto-registration without the topic rule."""
    if state.revocation:
        return CaPlan(state=state, steps=(), obstacles=(revoked_obstacle(state.name, state.revocation),))
    if state.declared.registered_by is RegisteredBy.STACK:
        return _left_to_the_stack(state)
    steps: list[Step] = []
    waiting: list[str] = []
    obstacles: list[str] = []
    may_register = anyway or state.rule is RuleState.ENABLED
    if not may_register and not (state.found and state.found.registers_automatically):
        waiting.append(
            f"auto-registration waits: the topic rule is {state.rule}, and the event of a device's first connection "
            "would be lost; deploy the stack first, or say --anyway"
        )
    if state.found is None:
        if refusal := proof_obstacle(state):
            return CaPlan(state=state, steps=(), obstacles=(refusal,))
        steps.append(RegisterCa(automatically=may_register))
        return CaPlan(state=state, steps=tuple(steps), waiting=tuple(waiting))
    if state.found.mode is not state.declared.mode:
        obstacles.append(
            f"it is registered in mode {state.found.mode}, the fleet file says {state.declared.mode}: "
            "`jitrctl ca switch-mode`, after reading what that does to the devices"
        )
    waiting += [freed_text(state)] if state.is_freed else []
    obstacles += _template_obstacles(state)
    if state.is_held:
        return CaPlan(state=state, steps=(), obstacles=tuple(obstacles))
    if not state.found.active:
        steps.append(Activate())
    if not state.found.registers_automatically and may_register:
        steps.append(EnableAutoRegistration())
    return CaPlan(state=state, steps=tuple(steps), waiting=tuple(waiting), obstacles=tuple(obstacles))


def _template_obstacles(state: CaState) -> tuple[str, ...]:
    if state.is_held:
        return (held_text(state),)
    if state.found and state.found.has_template:
        adopt = (
            f"`{adopt_command(state.name)}` shows what it does, and how jitr takes the CA over and keeps the template"
        )
        return (
            f"a provisioning template is set, so AWS IoT provisions devices itself and publishes no event: {adopt}",
        )
    return ()


def held_text(state: CaState, options: str = "") -> str:
    """What is said of a CA under a provisioning template that the fleet file knows; `options` choose the stage."""
    on = "enabled" if state.rule is RuleState.ENABLED else "disabled"
    take_over = take_over_command(state.name, options)
    if state.revocation:
        return f"held: a provisioning template is on this CA; {revoked_obstacle(state.name, state.revocation)}"
    if state.found and not state.found.active:
        return (
            f"held: a provisioning template is on this CA, and it is INACTIVE, so neither AWS IoT nor jitr brings a "
            f"device in: set it ACTIVE (`aws iot update-ca-certificate`), then {take_over}, or leave it to the template"
        )
    if state.found and not state.found.registers_automatically:
        return (
            "held: a provisioning template is on this CA, and auto-registration is off, as a take-over that was killed "
            f"may leave it, so new devices are refused; {take_over} takes it over, and "
            f"`{adopt_command(state.name, options)} --undo` goes back to the template"
        )
    return (
        f"held: a provisioning template is on this CA, so AWS IoT provisions its devices; its topic rule is {on}, and "
        f"jitr decides on none that stays pending; {take_over} takes it over"
    )


def adopt_command(ca: str, options: str = "") -> str:
    """The command that shows what a CA's provisioning template does; `options` choose the stage."""
    return f"jitrctl ca adopt {ca}{f' {options}' if options else ''}"


def take_over_command(ca: str, options: str = "") -> str:
    """The command, quoted, that takes a CA over from its provisioning template; `options` choose the stage."""
    return f"`{adopt_command(ca, options)} --take-over`"


def freed_text(state: CaState) -> str:
    """What is said where the fleet file says `jitp = true`, and no template is on the CA any more."""
    left = {
        RuleState.DISABLED: "; until then its topic rule is disabled, so first connections wait for the sweep",
        RuleState.ENABLED: "; its topic rule is enabled, and a deployment with the key would disable it again",
    }
    return (
        "no provisioning template is on this CA any more: remove jitp = true from its entry, and deploy"
        f"{left.get(state.rule, '')}"
    )


def revoked_obstacle(name: str, revocation: CaRevocation) -> str:
    """Why nothing makes a revoked CA what the fleet file says, and how that ends."""
    return f"it was {revocation.description}, and stays INACTIVE: `jitrctl ca revoke {name} --lift` takes that back"


def _left_to_the_stack(state: CaState) -> CaPlan:
    """The plan for a CA that the stack registers: no steps."""
    obstacle = _stacks_obstacle(state) if state.found else proof_obstacle(state)
    if state.found or obstacle:
        return CaPlan(state=state, steps=(), obstacles=(obstacle,) if obstacle else ())
    return CaPlan(state=state, steps=(), waiting=("the stack registers it: deploy the stack",))


def _stacks_obstacle(state: CaState) -> str | None:
    """What is wrong with a registered CA of the stack, and the cure; None when nothing is."""
    if not state.is_the_stacks:
        return f'{_REGISTERED_TWICE}: say registered_by = "jitrctl" in this account'
    if state.found and state.found.mode is not state.declared.mode:
        return (
            f"the stack registered it in mode {state.found.mode}, and the fleet file says {state.declared.mode}: the "
            f"deployment will be refused; {ANOTHER_MODE}"
        )
    texts = differences(state)
    return (
        f"the stack registers it, and {'; '.join(texts)}: deploy the stack, or see what changed it since"
        if texts
        else None
    )


def differences(state: CaState) -> tuple[str, ...]:
    """How a CA differs from what the fleet file says, each in words; empty when it does not."""
    found, texts = state.found, []
    if state.revocation:
        return _revoked_differences(state, state.revocation)
    if found is None:
        texts.append("it is not registered")
    else:
        if state.declared.registered_by is RegisteredBy.STACK and not state.is_the_stacks:
            texts.append(_REGISTERED_TWICE)
        if found.mode is not state.declared.mode:
            texts.append(f"its mode is {found.mode}, the fleet file says {state.declared.mode}")
        if not found.active:
            texts.append("it is INACTIVE: no device can register")
        if not found.registers_automatically:
            why = "; a take-over from the provisioning template was broken off" if state.is_held else ""
            texts.append(f"auto-registration is off: new devices are refused, and no event is published{why}")
    return (*texts, *_template_differences(state), *_rule_differences(state))


def _template_differences(state: CaState) -> tuple[str, ...]:
    if state.is_freed:
        return (freed_text(state),)
    if state.found and state.found.has_template and not state.is_held:
        return ("a provisioning template is set: AWS IoT provisions devices itself, and publishes no event",)
    return ()


def _rule_differences(state: CaState) -> tuple[str, ...]:
    if state.rule is RuleState.ENABLED or (state.rule is RuleState.DISABLED and state.declared.jitp):
        return ()
    if state.rule is RuleState.DISABLED:
        return ("its topic rule is disabled: first connections are lost until the sweep",)
    return (f"its topic rule is {state.rule}: deploy the stack",)


def _revoked_differences(state: CaState, revocation: CaRevocation) -> tuple[str, ...]:
    texts = [f"it was {revocation.description}"]
    if state.found and (state.found.active or state.found.registers_automatically):
        texts.append("something has activated it since: its devices are held, and the next sweep sets it INACTIVE")
    return tuple(texts)


def proof_warning(state: CaState) -> str | None:
    """A warning about an expired verification certificate of a registered CA; None when there is nothing to warn of.

    AWS IoT needs it only to register a CA; but a CA that was deleted could not be registered again.
    """
    proof = _proof(state)
    if state.found is None or proof is None or proof.not_after >= now():
        return None
    return (
        f"{state.declared.verification_certificate_path} expired on {proof.not_after:%F}; the CA is "
        "registered and works, but could not be registered again: `jitrctl ca csr` makes the request for a new one"
    )


def proof_obstacle(state: CaState) -> str | None:
    """Why AWS IoT would refuse the verification certificate in this account; None when it would not."""
    proof = _proof(state)
    if proof is None or state.registration_code is None:
        return None
    if proof.not_after < now():
        return (
            f"{state.declared.verification_certificate_path} expired on {proof.not_after:%F}, and the CA "
            "is still to be registered with it: `jitrctl ca csr` makes the request for a new one"
        )
    names = proof.field_values("common_name")
    if any(name.lower() == state.registration_code.lower() for name in names):
        return None
    return (
        f"{state.declared.verification_certificate_path} is made for another registration code than this account's "
        "in this Region: `jitrctl ca csr` makes the request for a new one"
    )


def _proof(state: CaState) -> Certificate | None:
    pem = state.declared.verification_certificate_pem
    return Certificate.from_pem(pem) if pem else None
