"""Ways through the functions in the simulation, and between them and AWS what their roles allow."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

from jitr.aws.crl_bucket import Crls
from jitr.events import event_document
from jitr.provisioning import OWNER_ATTRIBUTE
from jitr.rules import CheckMode
from jitr.store.revoked_cas import CaRevocation, RevokedCas
from jitr.store.sweep_state import SweepState
from jitr.store.withdrawal_marks import marks
from jitr.verdicts import OperatorAction, OperatorVerdict
from simulation import Call, Died, Fault, Moment
from simulation.clock import START
from simulation.faults import ServiceError
from tests.support.survival.revoking import ENFORCED, FOR_GOOD, Revoking
from tests.support.survival.scenario_world import World, authority
from tests.support.survival.scenarios import SCENARIOS, Scenario

ACCOUNT, REGION = "111111111111", "eu-central-1"
ROLES = {"register": "RegistrationRegisterRole", "sweep": "SweepingSweepRole", "revoke": "RevocationRevokeRole"}
Needed = tuple[str, str]  # action, ARN
Allowed = Mapping[str, list[Needed]]  # caller → what its role allows


def needs(call: Call) -> Iterator[Needed]:  # noqa: C901, PLR0912 -- one case for each kind of call
    """The permissions that AWS checks for one call."""
    said, action = call.parameters, call.name
    arn = f"arn:aws:{call.service}:{REGION}:{ACCOUNT}:"
    match call.service, call.operation:
        case "iot", "DescribeCertificate" | "UpdateCertificate":
            yield action, f"{arn}cert/{said['certificateId']}"
        case "iot", "CreateThing" | "AddThingToBillingGroup" if "billingGroupName" in said:
            yield action, f"{arn}thing/{said['thingName']}"
            yield action, f"{arn}billinggroup/{said['billingGroupName']}"
        case "iot", "CreateThing" | "UpdateThing" | "DescribeThing" | "DeleteThing" | "ListThingPrincipals":
            yield action, f"{arn}thing/{said['thingName']}"
        case "iot", "AddThingToThingGroup":
            yield action, f"{arn}thing/{said['thingName']}"
            yield action, f"{arn}thinggroup/{said['thingGroupName']}"
        case "iot", "AttachThingPrincipal" | "DetachThingPrincipal" | "ListPrincipalThings":
            yield action, said["principal"]
        case "iot", "AttachPolicy" | "DetachPolicy":
            yield action, said["target"]
        case "iot-data", "GetThingShadow" | "UpdateThingShadow":
            yield f"iot:{call.operation}", f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{said['thingName']}"
        case "iot-data", _:
            yield f"iot:{call.operation}", f"arn:aws:iot:{REGION}:{ACCOUNT}:client/{said['clientId']}"
        case "iot", "DescribeCACertificate" | "UpdateCACertificate":
            yield action, f"{arn}cacert/{said['certificateId']}"
        case ("iot", "ListCertificates" | "ListCertificatesByCA" | "ListAttachedPolicies") | (
            "cloudwatch",
            "GetMetricStatistics",
        ):
            yield action, "*"
        case "dynamodb", "BatchGetItem":
            yield from ((action, f"{arn}table/{table}") for table in said["RequestItems"])
        case "dynamodb", "TransactWriteItems":
            for item in said["TransactItems"]:
                ((kind, write),) = item.items()
                yield f"dynamodb:{kind}Item", f"{arn}table/{write['TableName']}"
        case "dynamodb", _:
            index = f"/index/{said['IndexName']}" if "IndexName" in said else ""
            yield action, f"{arn}table/{said['TableName']}{index}"
        case "sqs", operation:
            yield f"sqs:{operation.removesuffix('Batch')}", arn + said["QueueUrl"].rpartition("/")[2]
        case "events", "PutEvents":
            yield from ((action, f"{arn}event-bus/{entry['EventBusName']}") for entry in said["Entries"])
        case "iot-data", operation:
            yield f"iot:{operation}", f"arn:aws:iot:{REGION}:{ACCOUNT}:client/{said['clientId']}"
        case "s3", "GetObject" if "VersionId" in said:
            yield "s3:GetObjectVersion", f"arn:aws:s3:::{said['Bucket']}/{said['Key']}"
        case "s3", "GetObject":
            # Without s3:ListBucket, S3 does not say that an object is not there, but denies it.
            yield "s3:ListBucket", f"arn:aws:s3:::{said['Bucket']}"
            yield action, f"arn:aws:s3:::{said['Bucket']}/{said['Key']}"
        case _:
            raise AssertionError(f"{call.name} needs permissions that nobody has written down")


@dataclass
class Iam:
    """Between the functions and AWS: denies what the roles do not allow, and notes what was used."""

    allowed: Allowed
    used: set[tuple[str, str]] = field(default_factory=set)  # caller, action
    denied: list[str] = field(default_factory=list)
    throttled: str = ""  # an operation that AWS throttles meanwhile

    def __call__(self, call: Call, moment: Moment) -> Fault | None:
        if moment == "after" or call.caller not in ROLES:
            return None
        for action, arn in needs(call):
            self.used.add((call.caller, action))
            if not any(action == one and fnmatchcase(arn, pattern) for one, pattern in self.allowed[call.caller]):
                self.denied.append(f"{call.caller} {action} on {arn}")
                text = f"{call.caller} is not authorized to perform: {action} on resource: {arn}"
                raise ServiceError("AccessDeniedException", text, status=403)
        return Fault.THROTTLED if call.operation == self.throttled else None


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way through the functions, for what it uses: prepared undisturbed, then gone."""

    name: str
    prepare: Callable[[World], None] = lambda _: None
    go: Callable[[World, Iam], None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    world: type[World] = World

    def __str__(self) -> str:
        return self.name


def deliver_all(world: World, _: Iam) -> None:
    world.mapping.drain(within=86_400)


def send(world: World, body: str) -> None:
    sqs = world.account.client("sqs", caller="admin")
    sqs.send_message(QueueUrl=world.deployment.registrations.url, MessageBody=body)


def event_of(certificate_id: str) -> str:
    event = event_document(
        certificate_id=certificate_id,
        ca_certificate_id=authority().certificate_id,
        account_id=ACCOUNT,
        published_at=None,
        registered_at=None,
    )
    return json.dumps(event)


def somebody_made_the_thing(world: World) -> None:
    world.admin.create_thing(thingName="sensor-0001", attributePayload={"attributes": {"colour": "red"}})
    world.connect()


def a_clone_knocks(world: World) -> None:
    world.connect()
    world.mapping.drain()
    assert world.connect() == "accepted"
    world.connect(world.issue("sensor-0001"))


def claimed_under_other_rules(world: World) -> None:
    def dies_after_the_claim(call: Call, moment: Moment) -> None:
        if (call.operation, moment) == ("TransactWriteItems", "after"):
            raise Died

    world.aws.fault = dies_after_the_claim
    world.connect()
    world.mapping.poll()
    world.aws.fault = None
    world.deploy(common_name="other-[0-9]+")


def attached_to_another_name(world: World) -> None:
    def dies_once_attached(call: Call, moment: Moment) -> None:
        if (call.operation, moment) == ("AttachThingPrincipal", "after"):
            raise Died

    world.aws.fault = dies_once_attached
    world.connect()
    world.mapping.poll()
    world.aws.fault = None
    world.deploy(thing_name="dev-{common_name}")


def marked(world: World) -> None:
    """Marks say that attempts may have left something: a whole device, and a thing that was made for it."""
    world.connect()
    world.mapping.drain()
    certificate_id = world.leaf.certificate_id
    made_for = {"attributes": {OWNER_ATTRIBUTE: certificate_id}}
    world.admin.create_thing(thingName="sensor-0002", attributePayload=made_for)
    left = marks(certificate_id, ["sensor-0001", "sensor-0002"], "device", world.aws.clock.now())
    world.registry().note_withdrawals(left)
    world.aws.clock.advance(3600)


def marked_and_not_whole(world: World) -> None:
    marked(world)
    arn = world.account.iot.certificates.by_id[world.leaf.certificate_id].arn
    world.admin.detach_thing_principal(thingName="sensor-0001", principal=arn)
    world.admin.detach_policy(policyName="device", target=arn)
    world.aws.clock.advance(60)


def marked_and_claimed(world: World) -> None:
    """The certificate has claimed the other name, too, as when a release has forgotten its claim."""
    marked(world)
    owner = world.registry().owner("sensor-0001")
    assert owner
    world.registry().adopt("sensor-0002", owner)


def suspected(world: World, iam: Iam) -> None:
    """A message that was received often comes with another one, which is deleted before it is touched."""
    world.connect()
    iam.throttled = "DescribeCertificate"
    for _ in range(4):
        world.mapping.poll()
        world.aws.clock.advance(900)
    iam.throttled = ""
    world.connect(world.issue("sensor-0002"))
    world.mapping.drain(within=86_400)


def revoked_ca(world: World) -> None:
    """An operator revoked the CA with its devices, and a deployment set it ACTIVE again."""
    table = world.deployment.settings.registry_table
    order = CaRevocation(by="operator", at=START)
    ca = world.deployment.rules.cas[0].certificate_id
    revoked = RevokedCas(world.account.client("dynamodb", caller="admin"), table)
    revoked.revoke(ca, order)
    revoked.order_devices(ca, OperatorVerdict(action=OperatorAction.REVOKED, by="operator", at=START))


def forgotten(world: World) -> None:
    rule = dict(world.account.iot.broker.rules)
    world.account.iot.broker.rules.clear()
    world.connect()
    world.account.iot.broker.rules.update(rule)
    world.aws.clock.advance(3600)


def sweep(world: World, _: Iam) -> None:
    world.deployment.sweep()


def one_at_a_time(world: World, _: Iam) -> None:
    journal = SweepState(world.account.client("dynamodb", caller="sweep"), world.deployment.settings.registry_table)
    assert journal.take_lease("one", world.aws.clock.now(), seconds=60)
    journal.give_back_lease("one")


def read_crl(world: World, _: Iam) -> None:
    settings = world.deployment.settings
    client = world.account.client("s3", caller="register")
    crls = Crls(lambda: client, settings.crl_bucket, settings.account_id, clock=world.aws.clock.now)
    crls.of(world.rules().cas[0])


class Applied(Revoking):
    """A device of jitr's is connected, another one is from before jitr, and a first CRL was applied to all."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.connect()
        self.mapping.drain(within=60)
        assert self.connect() == "accepted"
        self.before = self.issue("sensor-0002")
        self.account.iot.certificates.register(
            self.before, status="ACTIVE", mode="SNI_ONLY", ca_certificate_id=authority().certificate_id
        )
        for _ in range(3):
            self.sweep_and_decide()
            self.apply()

    def list_both(self) -> None:
        self.apply({self.leaf: FOR_GOOD, self.before: FOR_GOOD})


def apply_crl(world: World, _: Iam) -> None:
    assert isinstance(world, Applied)
    world.list_both()


def acted(scenario: Scenario) -> Callable[[World, Iam], None]:
    """One of the failure matrix's scenarios, undisturbed."""

    def go(world: World, iam: Iam) -> None:
        scenario.act(world)
        deliver_all(world, iam)

    return go


WAYS = (
    *(
        Way(
            name=one.name,
            prepare=one.prepare,
            go=acted(one),
            settings=one.settings,
        )
        for one in SCENARIOS
        if set(one.callers) <= ROLES.keys()
    ),
    Way(name="adopt", prepare=somebody_made_the_thing, go=deliver_all),
    Way(name="take back", prepare=a_clone_knocks, go=deliver_all),
    Way(name="another name", prepare=attached_to_another_name, go=deliver_all),
    Way(name="orphan", prepare=marked, go=sweep),
    Way(name="give a name back", prepare=marked_and_claimed, go=sweep),
    Way(name="attach again", prepare=marked_and_not_whole, go=sweep),
    Way(name="disown", prepare=claimed_under_other_rules, go=deliver_all),
    Way(name="unreadable", prepare=lambda world: send(world, "{}"), go=deliver_all),
    Way(name="unknown", prepare=lambda world: send(world, event_of("0" * 64)), go=deliver_all),
    Way(name="suspected", go=suspected),
    Way(name="revocation list", go=read_crl),
    Way(name="revocation list of a sweep", settings={"checks": {"revocation": CheckMode.ENFORCE}}, go=sweep),
    Way(name="CRL", world=Applied, go=apply_crl),
    Way(name="CRL whose event was lost", settings=ENFORCED, prepare=World.publish_crl, go=sweep),
    Way(name="forgotten", prepare=forgotten, go=sweep),
    Way(name="revoked CA", prepare=revoked_ca, go=sweep),
    Way(name="one sweep at a time", go=one_at_a_time),
)


def play(way: Way, allowed: Allowed) -> tuple[Iam, str]:
    """Go a way under these roles; what was used, and all that was said of failures."""
    world = way.world(**way.settings)
    way.prepare(world)
    world.aws.fault = iam = Iam(allowed)
    said = []
    try:
        way.go(world, iam)
    except ClientError as error:
        said.append(str(error))
    said += [str(fields) for level, _, fields in world.deployment.journal.lines if level == "error"]
    for message in world.deployment.dead_letters.receive(10):
        said += [str(value["StringValue"]) for value in message.attributes.values()]
    return iam, "\n".join(said)
