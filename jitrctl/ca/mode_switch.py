"""Changes a CA's mode: AWS IoT has no call for it, so the registration is deleted and made again.

Everything that could be refused is checked first. If the new registration fails nevertheless, the old one is restored.
Device certificates do not change: ACTIVE ones keep working. A device that connects for the first time in the seconds
between is refused, and connects again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.rules import CertificateMode
from jitr_fleet.choices import ANOTHER_MODE, RegisteredBy
from jitrctl.ca import registry
from jitrctl.ca.plan import proof_obstacle, revoked_obstacle
from jitrctl.errors import Refused
from jitrctl.run.parallel import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jitr_fleet.model import CaDeployment
    from jitrctl.ca.plan import CaState, FoundCa
    from jitrctl.session.stage import Stage

# A deleted CA may count as registered for a moment; AWS does not document this.
_ATTEMPTS = 10
_BETWEEN_ATTEMPTS = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One CA in one stage whose mode is to change, and what prevents it."""

    stage: Stage
    state: CaState
    obstacle: str | None = None

    @property
    def before(self) -> FoundCa:
        assert self.state.found is not None  # noqa: S101 -- only what is registered is switched
        return self.state.found

    @property
    def to(self) -> CertificateMode:
        return self.state.declared.mode

    def __str__(self) -> str:
        return f"{self.stage} {self.state.name}: {self.before.mode} to {self.to}"


def plan_switches(states: Mapping[Stage, tuple[CaState, ...]], chosen: frozenset[Stage]) -> tuple[Switch, ...]:
    """Plan the switches in the chosen stages, those that give up DEFAULT first; pure.

    `states` holds every stage of the fleet in the same Regions that answered, so that a second account in DEFAULT mode
    is found before anything is deleted.
    """
    wrong = [
        Switch(stage=stage, state=state)
        for stage in chosen
        for state in states.get(stage, ())
        if state.found and state.found.mode is not state.declared.mode
    ]
    giving_up = {(one.stage, one.state.name) for one in wrong if one.to is CertificateMode.SNI_ONLY}
    judged = [replace(one, obstacle=_obstacle(one, states, giving_up)) for one in wrong]
    return tuple(sorted(judged, key=lambda one: (one.to is CertificateMode.DEFAULT, str(one))))


def _obstacle(
    one: Switch, states: Mapping[Stage, tuple[CaState, ...]], giving_up: set[tuple[Stage, str]]
) -> str | None:
    if one.state.revocation:
        return revoked_obstacle(one.state.name, one.state.revocation)
    if one.before.has_template:
        return (
            "a provisioning template is on it, which would be lost with the registration: "
            f"`jitrctl ca adopt {one.state.name} --take-over` takes it off and keeps it"
        )
    if one.state.declared.registered_by is RegisteredBy.STACK:
        return f"the stack registers it: {ANOTHER_MODE}"
    if one.to is CertificateMode.SNI_ONLY:
        return None
    for stage, others in states.items():
        for other in others:
            if (
                stage.region == one.stage.region
                and stage is not one.stage
                and other.name == one.state.name
                and other.found
                and other.found.mode is CertificateMode.DEFAULT
                and (stage, other.name) not in giving_up
            ):
                return f"{stage} holds it in mode DEFAULT, and one account per CA and Region may: switch that one first"
    return proof_obstacle(one.state)


def switch(one: Switch, *, old_proof: str | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
    """Delete the registration and make it in the other mode, with the same status and auto-registration.

    `old_proof` is the verification certificate (PEM) with which a registration in DEFAULT mode can be restored.

    Raises Refused, with the state after the failure.
    """
    iot, certificate_id = one.stage.iot, one.state.declared.ca.certificate_id
    try:
        iot.update_ca_certificate(
            certificateId=certificate_id, newStatus="INACTIVE", newAutoRegistrationStatus="DISABLE"
        )
        iot.delete_ca_certificate(certificateId=certificate_id)
    except (ClientError, BotoCoreError) as error:
        raise Refused(f"{describe_error(error)}; {_reactivate(one)}") from error
    try:
        _register(one, one.state.declared, sleep)
    except (Refused, ClientError, BotoCoreError) as error:
        raise Refused(_put_back(one, old_proof, sleep, why=describe_error(error))) from error


def _register(one: Switch, registration: CaDeployment, sleep: Callable[[float], None]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            registry.register(
                one.stage, registration, active=one.before.active, automatically=one.before.registers_automatically
            )
        except Refused as error:
            cause: Any = error.__cause__
            again = isinstance(cause, one.stage.iot.exceptions.ResourceAlreadyExistsException)
            if not again or attempt == _ATTEMPTS - 1:
                raise
            sleep(_BETWEEN_ATTEMPTS)
        else:
            return


def _put_back(one: Switch, old_proof: str | None, sleep: Callable[[float], None], *, why: str) -> str:
    """Restore the old registration; returns the state after that, in a sentence."""
    if one.before.mode is CertificateMode.DEFAULT and old_proof is None:
        return (
            f"{why}; it is deleted, and cannot be put back in mode DEFAULT without its verification certificate "
            "(--old-verification): cure that, then `jitrctl ca apply` registers it as the fleet file says"
        )
    old = replace(one.state.declared, mode=one.before.mode, verification_certificate_pem=old_proof)
    if one.before.mode is CertificateMode.SNI_ONLY:
        old = replace(old, verification_certificate_pem=None)
    try:
        _register(one, old, sleep)
    except (Refused, ClientError, BotoCoreError) as error:
        return (
            f"{why}; it is deleted, and putting it back failed too ({describe_error(error)}): cure that, then "
            "`jitrctl ca apply` registers it as the fleet file says"
        )
    return f"{why}; the old registration in mode {one.before.mode} was put back"


def _reactivate(one: Switch) -> str:
    """Undo the deactivation; returns the state after that, in a sentence."""
    try:
        one.stage.iot.update_ca_certificate(
            certificateId=one.state.declared.ca.certificate_id,
            newStatus="ACTIVE" if one.before.active else "INACTIVE",
            newAutoRegistrationStatus="ENABLE" if one.before.registers_automatically else "DISABLE",
        )
    except (ClientError, BotoCoreError) as error:
        return f"it may be INACTIVE now ({describe_error(error)}): `jitrctl ca status`, then `jitrctl ca apply`"
    return f"nothing was switched, it is in mode {one.before.mode} as before"
