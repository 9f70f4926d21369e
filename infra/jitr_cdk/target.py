"""Describes where the functions of a stage run: in AWS Lambda, or on the local AWS.

The local AWS runs Lambda code under its own interpreter, whatever the template says, so runtime, processor and wheels
are properties of the target. The other differences of the local AWS are listed here by name, so that no template for
AWS gets them by accident.
"""

import platform
import sys
from dataclasses import dataclass
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_


class LocalDifference(StrEnum):
    """A difference of a stack for the local AWS, each because of a limit in docs/divergences.md."""

    # Its IAM checks other resources than AWS for attaching, detaching and the CA, so the role for AWS fails there.
    OTHER_ARNS_CHECKED = "LocalAwsChecksOtherArns"
    # Its IAM has SendMessageBatch and DeleteMessageBatch as actions; AWS checks SendMessage and DeleteMessage.
    BATCH_ACTIONS_CHECKED = "LocalAwsChecksBatchActions"
    # It uses plain HTTP on the loopback interface, so a policy that requires TLS denies everything.
    PLAIN_HTTP = "PlainHttp"
    # Its CloudFormation has no AWS::IoT::Logging.
    NO_IOT_LOGGING = "NoIotLogging"
    # Its CloudFormation has no AWS::Events::EventBusPolicy, and it drops events to another account's bus.
    NO_BUS_POLICY = "NoBusPolicy"
    # Its CloudFormation has no AWS::IoT::BillingGroup, and its AWS IoT no billing groups: CreateThing ignores them.
    NO_BILLING_GROUPS = "NoBillingGroups"
    # It makes no snapshots, and CDK refuses them for interpreters without SnapStart.
    NO_SNAPSHOTS = "NoSnapshots"
    # Each environment is a process of this machine, and takes a second of a processor to start.
    FEW_ENVIRONMENTS = "FewEnvironments"
    # Its bootstrap roles cannot publish assets when IAM is enforced.
    CLI_CREDENTIALS = "CliCredentials"


_FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Runtime and processor of the functions, the folder of their wheels, and the differences from AWS."""

    runtime: lambda_.Runtime
    architecture: lambda_.Architecture
    wheels: str  # the folder below .wheels/ that `make wheels` fills for this target
    differences: frozenset[LocalDifference] = frozenset()

    def limit_environments(self, wanted: int) -> int:
        """Limit the number of concurrent execution environments of `register`."""
        few = LocalDifference.FEW_ENVIRONMENTS in self.differences
        return min(wanted, _FEW) if few else wanted

    @property
    def tls_only(self) -> bool:
        """Whether resource policies may demand TLS."""
        return LocalDifference.PLAIN_HTTP not in self.differences

    def synthesizer(self) -> cdk.IStackSynthesizer:
        if LocalDifference.CLI_CREDENTIALS in self.differences:
            return cdk.CliCredentialsStackSynthesizer()
        return cdk.DefaultStackSynthesizer()


AWS = Target(
    runtime=lambda_.Runtime.PYTHON_3_13,
    architecture=lambda_.Architecture.ARM_64,
    wheels="python3.13-aarch64",
)


def local() -> Target:
    """The local AWS on this machine: this interpreter, this processor."""
    minor = f"python3.{sys.version_info.minor}"
    machine = platform.machine()
    arm = machine in ("arm64", "aarch64")
    return Target(
        runtime=lambda_.Runtime(minor, lambda_.RuntimeFamily.PYTHON),
        architecture=lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64,
        wheels="local",
        differences=frozenset(LocalDifference),
    )
