"""Where the functions of a stage run: in AWS Lambda, or on the local AWS.

The local AWS runs Lambda code under its own interpreter, whatever the template says, so runtime, processor and wheels
are a property of the target and nowhere a constant. What else the local AWS does differently is listed here too, by
name, so that production templates cannot take it over by accident.
"""

import platform
import sys
from dataclasses import dataclass
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_


class LocalDifference(StrEnum):
    """What a stack for the local AWS has or lacks, each because of a limit named in docs/divergences.md."""

    # Its IAM checks other resources than AWS for attaching, detaching and the CA, so the right role fails there.
    OTHER_ARNS_CHECKED = "LocalAwsChecksOtherArns"
    # Its IAM knows SendMessageBatch and DeleteMessageBatch as actions; AWS asks for SendMessage and DeleteMessage.
    BATCH_ACTIONS_CHECKED = "LocalAwsChecksBatchActions"
    # It speaks plain HTTP on the loopback interface, so a policy that demands TLS denies everything.
    PLAIN_HTTP = "PlainHttp"
    # Its CloudFormation has no AWS::IoT::Logging.
    NO_IOT_LOGGING = "NoIotLogging"
    # Its CloudFormation has no AWS::Events::EventBusPolicy, and it drops events to another account's bus.
    NO_BUS_POLICY = "NoBusPolicy"
    # It takes no snapshots, and CDK refuses them for an interpreter that Lambda has none for.
    NO_SNAPSHOTS = "NoSnapshots"
    # Each environment is a process of this machine, and takes a second of a processor to start.
    FEW_ENVIRONMENTS = "FewEnvironments"
    # Its bootstrap roles cannot publish assets when IAM is enforced.
    CLI_CREDENTIALS = "CliCredentials"


_FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Runtime and processor of the functions, and how their dependencies' wheels are chosen."""

    runtime: lambda_.Runtime
    architecture: lambda_.Architecture
    wheels: str  # the folder below .wheels/ that `make wheels` fills for this target
    differences: frozenset[LocalDifference] = frozenset()

    def limit_environments(self, wanted: int) -> int:
        """How many execution environments of `register` there may be at once."""
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
