"""A small model of AWS IoT, SQS, DynamoDB, EventBridge and Lambda's queue poller, in memory and in virtual time.

It is for testing jitr, not for running it. Real boto3 clients are answered where the network would begin (wire.py), and
most calls skip the parts of botocore that have no visible effect (short_way.py). So each call can be throttled, lost,
cut off or interleaved with another's, quotas can be applied, and hours of a storm pass in minutes.

    aws = Aws()                                        a world with its own Clock
    account = aws.account("111111111111")              one account in one Region
    account.client("iot").describe_certificate(…)      a real boto3 client
    account.connect(certificate, client_id="sensor-1") a device
    Deployment(account, rules)                         jitr, deployed there

docs/aws-facts.md has what is known of AWS ("aws-facts §…"); what is not documented is a switch in `Undocumented`. A
request that is not modelled raises NotModelled; nothing succeeds silently.

Not modelled: IAM, TLS, MQTT after CONNECT, policies' contents (save whether they need a thing), certificate transfer,
what fleet provisioning by claim makes, dynamic groups, jobs, shadows; FIFO queues; DynamoDB's capacity, streams, scans
and eventual consistency; EventBridge rules.
"""

from simulation.authority import Authority
from simulation.aws import Aws, SimulatedAccount
from simulation.clock import Clock, DeadlinePassed
from simulation.deployment import Deployment
from simulation.faults import Call, Died, Fault, ModelBroken, Moment, NotModelled
from simulation.leaf import Leaf
from simulation.place import Undocumented

__all__ = [
    "Authority",
    "Aws",
    "Call",
    "Clock",
    "DeadlinePassed",
    "Deployment",
    "Died",
    "Fault",
    "Leaf",
    "ModelBroken",
    "Moment",
    "NotModelled",
    "SimulatedAccount",
    "Undocumented",
]
