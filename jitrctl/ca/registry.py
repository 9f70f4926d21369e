"""Reads and changes the CAs registered with AWS IoT in a stage; only mode_switch.py also changes them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jitr.rules import CertificateMode
from jitr_fleet.choices import RegisteredBy
from jitr_fleet.resources import registered_topic
from jitrctl.ca.plan import Activate, CaState, EnableAutoRegistration, FoundCa, RegisterCa, RuleState
from jitrctl.errors import Refused
from jitrctl.session import cloudformation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr.store.revoked_cas import CaRevocation
    from jitr_fleet.model import Ca, CaDeployment
    from jitrctl.ca.plan import Step
    from jitrctl.session.stage import Stage


def inspect_cas(stage: Stage, declared: Sequence[CaDeployment]) -> tuple[CaState, ...]:
    """Read the state of each of these CAs in a stage.

    Raises botocore's errors.
    """
    rules, revoked = _rules(stage), read_revoked(stage)
    of_the_stack = (
        cloudformation.list_registered_cas(stage)
        if any(one.registered_by is RegisteredBy.STACK for one in declared)
        else ()
    )
    states = []
    for registration in declared:
        found = find(stage, registration.ca)
        to_be_default = found is None or found.mode is not CertificateMode.DEFAULT
        prove = to_be_default and registration.mode is CertificateMode.DEFAULT
        states.append(
            CaState(
                declared=registration,
                found=found,
                rule=_rule(rules.get(stage.names.rule(registration.ca.name)), registration.ca),
                registration_code=registration_code(stage) if prove else None,
                is_the_stacks=registration.ca.certificate_id in of_the_stack,
                revocation=revoked.get(registration.ca.certificate_id),
            )
        )
    return tuple(states)


def apply(stage: Stage, registration: CaDeployment, step: Step) -> None:
    """Carry out one step.

    Raises Refused when AWS IoT refuses a registration; botocore's errors.
    """
    certificate_id = registration.ca.certificate_id
    match step:
        case RegisterCa(automatically=automatically):
            register(stage, registration, active=True, automatically=automatically)
        case Activate():
            stage.iot.update_ca_certificate(certificateId=certificate_id, newStatus="ACTIVE")
        case EnableAutoRegistration():
            stage.iot.update_ca_certificate(certificateId=certificate_id, newAutoRegistrationStatus="ENABLE")


def register(stage: Stage, registration: CaDeployment, *, active: bool, automatically: bool) -> None:
    """Register a CA in the mode that the fleet file says, with tags that name the fleet and the CA.

    Raises Refused when AWS IoT refuses it; botocore's errors.
    """
    proof = registration.verification_certificate_pem
    exceptions = stage.iot.exceptions
    try:
        stage.iot.register_ca_certificate(
            caCertificate=registration.ca.certificate_pem,
            certificateMode=registration.mode.value,
            setAsActive=active,
            allowAutoRegistration=automatically,
            tags=[
                {"Key": "jitr-fleet", "Value": stage.fleet.name},
                {"Key": "jitr-ca", "Value": registration.ca.name},
            ],
            **({"verificationCertificate": proof} if proof else {}),
        )
    except exceptions.ResourceAlreadyExistsException as error:
        raise Refused(
            f"AWS IoT says that {registration.ca.name} is registered already; in mode DEFAULT another account can be "
            "the one that holds it in this Region: check that account, or use SNI_ONLY"
        ) from error
    except exceptions.RegistrationCodeValidationException as error:
        raise Refused(
            f"{registration.verification_certificate_path} does not hold this account's registration code: "
            "`jitrctl ca csr` makes the request for one that does"
        ) from error
    except exceptions.CertificateValidationException as error:
        said = error.response["Error"].get("Message", "")
        raise Refused(f"AWS IoT does not take the CA or its verification certificate: {said}") from error


def registration_code(stage: Stage) -> str:
    """The account's registration code in the Region: the common name of verification certificates."""
    return str(stage.iot.get_registration_code()["registrationCode"])


def set_auto_registration(stage: Stage, ca: Ca, *, on: bool) -> None:
    """Enable or disable the registration of a CA's devices at their first connection."""
    stage.iot.update_ca_certificate(
        certificateId=ca.certificate_id, newAutoRegistrationStatus="ENABLE" if on else "DISABLE"
    )


def deactivate(stage: Stage, ca: Ca) -> None:
    """Set a CA INACTIVE: no device of it is registered any more; ACTIVE ones keep working."""
    stage.iot.update_ca_certificate(
        certificateId=ca.certificate_id, newStatus="INACTIVE", newAutoRegistrationStatus="DISABLE"
    )


def delete(stage: Stage, ca: Ca) -> None:
    """Delete a CA that is INACTIVE, if it exists."""
    with suppress(stage.iot.exceptions.ResourceNotFoundException):
        stage.iot.delete_ca_certificate(certificateId=ca.certificate_id)


def find(stage: Stage, ca: Ca) -> FoundCa | None:
    """How a CA is registered in a stage; None when it is not.

    Raises botocore's errors.
    """
    try:
        answer = stage.iot.describe_ca_certificate(certificateId=ca.certificate_id)
    except stage.iot.exceptions.ResourceNotFoundException:
        return None
    described = answer["certificateDescription"]
    return FoundCa(
        # Absent for CAs that were registered before modes existed: those are DEFAULT.
        mode=CertificateMode(described.get("certificateMode", "DEFAULT")),
        active=described["status"] == "ACTIVE",
        registers_automatically=described.get("autoRegistrationStatus") == "ENABLE",
        has_template=bool((answer.get("registrationConfig") or {}).get("templateBody"))
        or bool((answer.get("registrationConfig") or {}).get("templateName")),
        ends_at=ca.certificate.not_after,
    )


def read_revoked(stage: Stage) -> dict[str, CaRevocation]:
    """The CAs that an operator has revoked there, by certificate id; none when there is no table.

    Raises Unavailable, botocore's errors.
    """
    try:
        return stage.revoked_cas.read()
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return {}


def find_rule(stage: Stage, ca: Ca) -> RuleState:
    """The state of a CA's topic rule in a stage.

    Raises botocore's errors.
    """
    return _rule(_rules(stage).get(stage.names.rule(ca.name)), ca)


def _rules(stage: Stage) -> dict[str, dict[str, Any]]:
    """The account's topic rules by name. For a missing rule, GetTopicRule would answer that it is not permitted."""
    pages = stage.iot.get_paginator("list_topic_rules").paginate()
    return {rule["ruleName"]: rule for page in pages for rule in page["rules"]}


def _rule(rule: dict[str, Any] | None, ca: Ca) -> RuleState:
    if rule is None:
        return RuleState.MISSING
    if rule.get("topicPattern", "").strip("'") != registered_topic(ca.certificate_id):
        return RuleState.ELSEWHERE
    return RuleState.DISABLED if rule.get("ruleDisabled") else RuleState.ENABLED
