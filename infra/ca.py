"""A CA that the stack registers in AWS IoT, where the fleet file says so.

Mode, certificate and verification certificate cannot be changed in place: CloudFormation would register the CA a second
time, which fails in the middle of an update. So the mode is a parameter that allows one value. The CDK CLI hands a
stack's parameters on from update to update, and CloudFormation refuses a value that is not allowed before it touches
anything, with what to do instead.
"""

import aws_cdk as cdk
from aws_cdk import aws_iot as iot
from constructs import Construct, IDependable

from fleet.model import CaRegistration


class RegisteredCa(Construct):
    """The registration of one CA, kept when the stack goes: with it, its devices' certificates would go astray."""

    def __init__(
        self, scope: Construct, construct_id: str, *, registration: CaRegistration, after: list[IDependable]
    ) -> None:
        super().__init__(scope, construct_id)
        mode, name = registration.mode.value, registration.ca.name
        parameter = cdk.CfnParameter(
            self,
            "Mode",
            type="String",
            default=mode,
            allowed_values=[mode],
            description=f"Mode in which CA {name} is registered; not for the command line",
            constraint_description=(
                f"{mode} now, and CA {name} is registered in another mode, which AWS IoT cannot change in place. "
                f'Deploy once with registered_by = "jitrctl", delete the CA in AWS IoT, and deploy with "stack" again'
            ),
        )
        certificate = iot.CfnCACertificate(
            self,
            "Ca",
            ca_certificate_pem=registration.ca.certificate_pem,
            certificate_mode=parameter.value_as_string,
            verification_certificate_pem=registration.verification_certificate_pem,
            status="ACTIVE",
            auto_registration_status="ENABLE",
        )
        certificate.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        # A device may knock the moment that the CA is there.
        certificate.node.add_dependency(*after)
