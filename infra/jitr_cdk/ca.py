"""Registers a CA in AWS IoT by the stack, if the fleet file says so.

Mode and verification certificate are create-only: for a change CloudFormation would register the same CA a second time,
which AWS IoT refuses in the middle of an update. So both are parameters, whose values the CDK CLI keeps from one update
to the next. A changed mode is refused before CloudFormation changes anything, with a message that says what to do. A
renewed verification certificate changes nothing, since AWS IoT needs it only for the registration.
"""

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_iot as iot
from constructs import Construct, IDependable

from jitr_fleet.choices import ANOTHER_MODE
from jitr_fleet.model import CaDeployment


class RegisteredCa(Construct):
    """The registration of one CA. It is kept when the stack is deleted, since its devices' certificates need it.

    `after` is everything else that can fail. A CA whose creation is rolled back is deleted, so that the next deployment
    can register it. CAs are made last, so only another new CA in the same deployment can cause that rollback.
    """

    def __init__(self, scope: Construct, *, registration: CaDeployment, after: Iterable[IDependable]) -> None:
        ca, mode = registration.ca, registration.mode.value
        # Named by the certificate: another certificate is another CA, with its own parameters, and the same one under
        # another name must not be registered a second time.
        super().__init__(scope, f"Ca-{ca.certificate_id[:16]}")
        allowed = cdk.CfnParameter(
            self,
            "Mode",
            type="String",
            default=mode,
            allowed_pattern=mode,
            description=f"Mode in which CA {ca.name} is registered; not for the command line",
            constraint_description=(
                f"must be {mode}, says the fleet file, but the stack registered CA {ca.name} in another mode, which "
                f"AWS IoT cannot change in place. Nothing was touched: {ANOTHER_MODE}"
            ),
        )
        proof = registration.verification_certificate_pem and cdk.CfnParameter(
            self,
            "Verification",
            type="String",
            default=registration.verification_certificate_pem,
            description=f"What CA {ca.name} was first registered with; not for the command line",
        )
        certificate = iot.CfnCACertificate(
            self,
            "Ca",
            ca_certificate_pem=ca.certificate_pem,
            certificate_mode=allowed.value_as_string,
            verification_certificate_pem=proof.value_as_string if proof else None,
            status="ACTIVE",
            auto_registration_status="ENABLE",
        )
        certificate.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        # A device may connect as soon as the CA is registered.
        certificate.node.add_dependency(*after)
