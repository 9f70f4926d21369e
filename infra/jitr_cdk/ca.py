"""A CA that the stack registers in AWS IoT, where the fleet file says so.

Mode and verification certificate are create-only: CloudFormation would register the same CA a second time, which AWS
IoT refuses in the middle of an update. So both are parameters, which the CDK CLI hands on from one update to the next:
a mode that is no longer allowed is refused before CloudFormation touches anything, with what to do instead, and a
verification certificate that was renewed, which AWS IoT asks for at the registration alone, changes nothing.
"""

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_iot as iot
from constructs import Construct, IDependable

from jitr_fleet.choices import ANOTHER_MODE
from jitr_fleet.model import CaDeployment


class RegisteredCa(Construct):
    """The registration of one CA, kept when the stack goes: with it, its devices' certificates would go astray.

    `after` is everything else that can fail. A CA that is kept whatever happens would stand in the way of a second try,
    so one whose creation is rolled back is deleted; since they are made last of all, only another new CA of the same
    operation can have that done.
    """

    def __init__(self, scope: Construct, *, registration: CaDeployment, after: Iterable[IDependable]) -> None:
        ca, mode = registration.ca, registration.mode.value
        # By the certificate alone: another one is another CA, with parameters of its own, whatever its name, and the
        # same one under another name must not be registered a second time.
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
        # A device may knock the moment that the CA is there.
        certificate.node.add_dependency(*after)
