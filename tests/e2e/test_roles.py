"""Least privilege, second proof, on the local AWS: every action is taken from the deployed roles in turn.

The local AWS enforces IAM on the functions' roles (AUTH=true). So each action of each statement is removed from the
role's inline policy, a path that uses it is gone by the deployed function, and that has to fail naming the action. An
action that no path here uses is an error, too: either the role allows too much, or a way is missing below. What AWS
itself uses in these roles the local AWS does not ask for, and is asserted in the template (tests/infra).
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.decisions import Decision, Outcome
from jitr.events import event_document
from jitr.hub.table import HubTable
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.provisioning import OWNER_ATTRIBUTE
from jitr.record import Record
from jitr.store.dynamodb import key
from jitr.store.enrollment_table import EnrollmentTable, EntryChange
from jitr.store.withdrawal_marks import marks
from jitr_cdk.target import LocalDifference
from jitrctl.__main__ import main
from jitrctl.clock import now
from jitrctl.demo.story import Story
from jitrctl.localaws import accounts
from jitrctl.localaws.issuing import DeviceFiles, IssuingCa
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from jitrctl.mqtt.client import ConnectRefusal
from tests.support.e2e.waiting import wait_until
from tests.support.infra.least_privilege import as_list
from tests.support.local import deploying

Permission = tuple[str, str]  # a statement's Sid, and one of its actions

# Used by AWS itself, in the function's role: by the event source mapping, and for the function's log.
BY_AWS = {
    ("TakeRegistrations", "sqs:GetQueueAttributes"),
    ("TakeRegistrations", "sqs:ReceiveMessage"),
    ("TakeEvents", "sqs:DeleteMessage"),
    ("TakeEvents", "sqs:GetQueueAttributes"),
    ("TakeEvents", "sqs:ReceiveMessage"),
    ("WriteOwnLog", "logs:CreateLogStream"),
    ("WriteOwnLog", "logs:PutLogEvents"),
}
# What the local AWS allows without being asked to; held to be so, so that the day it checks is noticed.
UNCHECKED = {
    # Without it, AWS denies a look at an object that is not there; the local AWS says that it is not there.
    ("register", "SeeThatNoCrlIsThere", "s3:ListBucket"),
    ("sweep", "SeeThatNoCrlIsThere", "s3:ListBucket"),
}
# Gone in the simulation alone (tests/infra/test_least_privilege.py): a certificate has a second form only when its CA's
# key is of an elliptic curve, and openssl's CAs here have RSA keys.
BY_OTHER_TESTS = {
    ("register", "KeepRegistry", "dynamodb:ConditionCheckItem"),
    ("sweep", "KeepRegistry", "dynamodb:ConditionCheckItem"),  # only before a name that was claimed in vain goes back
}


@dataclass(frozen=True, kw_only=True)
class Role:
    """The role of a deployed function, whose one inline policy can be changed and put back."""

    stage: LocalStage
    function: str

    @property
    def name(self) -> str:
        arn = api(self.stage, "lambda").get_function_configuration(FunctionName=self.function)["Role"]
        return str(arn.rpartition("/")[2])

    def policy(self) -> dict[str, Any]:
        client = api(self.stage, "iam")
        (only,) = client.list_role_policies(RoleName=self.name)["PolicyNames"]
        return dict(client.get_role_policy(RoleName=self.name, PolicyName=only)["PolicyDocument"])

    def permissions(self) -> set[Permission]:
        return {
            (one["Sid"], action)
            for one in self.policy()["Statement"]
            if one["Sid"] not in set(LocalDifference)
            for action in as_list(one["Action"])
        }

    @contextmanager
    def without(self, sid: str, action: str) -> Iterator[None]:
        """One action less in a statement, and in what the local AWS needs besides because it checks other ARNs."""
        client, before = api(self.stage, "iam"), self.policy()
        (only,) = client.list_role_policies(RoleName=self.name)["PolicyNames"]
        names = {sid, *LocalDifference}
        left = [
            {
                **one,
                "Action": [
                    each for each in as_list(one["Action"]) if one["Sid"] not in names or not same(each, action)
                ],
            }
            for one in before["Statement"]
        ]
        less = {**before, "Statement": [one for one in left if one["Action"]]}
        client.put_role_policy(RoleName=self.name, PolicyName=only, PolicyDocument=json.dumps(less))
        try:
            yield
        finally:
            client.put_role_policy(RoleName=self.name, PolicyName=only, PolicyDocument=json.dumps(before))


@cache
def api(stage: LocalStage, service: str) -> Any:
    """Clients take a while to make."""
    return stage.account.client(service)


def same(one: str, action: str) -> bool:
    """Whether it is the action, or what the local AWS calls it when it comes in a batch."""
    return one in (action, f"{action}Batch")


class Stand:
    """The stage with what the ways need: devices that wait, and the functions to be called directly."""

    def __init__(self, stage: LocalStage, story: Story, folder: Path) -> None:
        self.stage = stage
        self.cas: Mapping[str, IssuingCa] = story.cast.cas
        self.folder = folder
        self.lambda_ = api(stage, "lambda")
        self.dynamodb = api(stage, "dynamodb")
        self._number = 0

    def device(self, name: str = "", *, ca: str = "factory", days: int = 365) -> DeviceFiles:
        """A device that connected for the first time, of which no function has heard."""
        self._number += 1
        kind = {"factory": "sensor", "partner": "gateway"}[ca]
        name = name or f"{kind}-{7000 + self._number}"
        files = self.cas[ca].issue(self.folder / str(self._number), name, days=days)
        assert isinstance(self.stage.device(files, name).connect(self.stage.endpoint), ConnectRefusal)
        assert self.stage.status(files.certificate_id) == "PENDING_ACTIVATION"
        return files

    def name_of(self, files: DeviceFiles) -> str:
        return files.certificate.stem

    def event(self, certificate_id: str, *, ca: str = "factory", again_after: float | None = None) -> dict[str, Any]:
        first = None if again_after is None else now() - timedelta(seconds=again_after)
        return event_document(
            certificate_id=certificate_id,
            ca_certificate_id=self.cas[ca].certificate_id,
            account_id=self.stage.account.id,
            published_at=now(),
            registered_at=first,
        )

    def register(self, event: dict[str, Any]) -> str:
        """Call `register`; what it said."""
        return self._call(self.stage.names.register_function, event)

    def batch(self, *bodies: str, receives: int = 1) -> str:
        """Call `register` with a batch, as the event source mapping does; what it said."""
        records = [
            {
                "messageId": f"message-{number}",
                "receiptHandle": "none",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": str(receives if number else 1),
                    "SentTimestamp": str(round(now().timestamp() * 1000)),
                },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            }
            for number, body in enumerate(bodies)
        ]
        return self._call(self.stage.names.register_function, {"Records": records})

    def deny(self, thing_name: str) -> None:
        entry = Entry(subject=Subject(SubjectKind.THING, thing_name), rule=EntryRule.DENY)
        table = EnrollmentTable(self.dynamodb, self.stage.names.enrollment_table)
        table.change([EntryChange(entry=entry, replaces=None)], by="test", at=now())

    def sweep(self) -> str:
        return self._call(self.stage.names.sweep_function, {})

    def carried(self, account: str = "111111111111", certificate_id: str = "") -> str:
        """An event of another account's as the hub's rule would put it into its queue."""
        self._number += 1
        detail = {
            "version": "1",
            "id": f"{self._number:032x}",
            "fleet": "acme",
            "account": account,
            "region": self.stage.account.region,
            "certificate_id": certificate_id or f"{self._number:064x}",
            "ca": "factory",
            "thing_name": f"sensor-{8000 + self._number}",
            "outcome": "activated",
            "status": "ACTIVE",
            "decided_at": now().isoformat(timespec="milliseconds"),
        }
        return json.dumps({"source": "jitr", "account": account, "region": detail["region"], "detail": detail})

    def hub(self, body: str) -> str:
        return self._call(self.stage.names.hub_function, {"Records": [{"messageId": "message-0", "body": body}]})

    def restart(self) -> None:
        """Have the next call start anew, with nothing remembered."""
        self.lambda_.update_function_configuration(
            FunctionName=self.stage.names.register_function, Description=f"restarted {self._number}"
        )

    def _call(self, function: str, payload: dict[str, Any]) -> str:
        answer = self.lambda_.invoke(FunctionName=function, Payload=json.dumps(payload))
        return str(answer["Payload"].read().decode())

    def log(self, since: float) -> str:
        """What the functions logged since then, a time of `time.time()`."""
        logs = api(self.stage, "logs")
        texts = []
        names = self.stage.names
        for function in (names.register_function, names.sweep_function, names.hub_function):
            group = self.stage.names.log_group(function)
            with suppress(logs.exceptions.ResourceNotFoundException):
                pages = logs.get_paginator("filter_log_events").paginate(
                    logGroupName=group, startTime=int(since * 1000)
                )
                texts += [event["message"] for page in pages for event in page["events"]]
        return "\n".join(texts)


Go = Callable[[], str]
Way = Callable[[Stand], Go]  # prepares, with all permissions; what it returns goes the way, and says what was said


def first_connection(stand: Stand) -> Go:
    return partial(stand.register, stand.event(stand.device().certificate_id))


def anew(stand: Stand) -> Go:
    """With nothing remembered of the CA."""
    go = first_connection(stand)
    stand.restart()
    return go


def revocation_list(stand: Stand) -> Go:
    files = stand.device(ca="partner")
    stand.restart()
    return partial(stand.register, stand.event(files.certificate_id, ca="partner"))


def adoption(stand: Stand) -> Go:
    """Somebody made the thing before."""
    files = stand.device()
    stand.stage.iot.create_thing(thingName=stand.name_of(files), attributePayload={"attributes": {"colour": "red"}})
    return partial(stand.register, stand.event(files.certificate_id))


def renamed(stand: Stand) -> Go:
    """An earlier attempt attached it to a thing of another name."""
    files, iot = stand.device(), stand.stage.iot
    certificate = iot.describe_certificate(certificateId=files.certificate_id)["certificateDescription"]
    name = f"was-{stand.name_of(files)}"
    iot.create_thing(thingName=name, attributePayload={"attributes": {OWNER_ATTRIBUTE: files.certificate_id}})
    iot.attach_thing_principal(
        thingName=name, principal=certificate["certificateArn"], thingPrincipalType="EXCLUSIVE_THING"
    )
    stand.stage.registry.note_tried(files.certificate_id, name, Record())
    return partial(stand.register, stand.event(files.certificate_id))


def taking_back(stand: Stand) -> Go:
    """A second certificate under a known name is held, and nothing stays attached to it."""
    files = stand.device()
    stand.register(stand.event(files.certificate_id))
    clone = stand.device(stand.name_of(files))
    return partial(stand.register, stand.event(clone.certificate_id))


def disowning(stand: Stand) -> Go:
    """A run ended after its claim, long ago, and the device is denied meanwhile."""
    files, stage = stand.device(), stand.stage
    described = stage.iot.describe_certificate(certificateId=files.certificate_id)["certificateDescription"]
    claim = Decision(
        certificate_id=files.certificate_id,
        outcome=Outcome.ACTIVATED,
        status=Status.ACTIVE,
        registered_at=described["creationDate"],
        decided_at=now() - timedelta(minutes=10),
        rules_digest="another",
        thing_name=stand.name_of(files),
    )
    owner = Owner(
        certificate_id=files.certificate_id,
        ca_certificate_id=stand.cas["factory"].certificate_id,
        serial="01",
        issued_at=claim.decided_at,
        ends_at=claim.decided_at + timedelta(days=365),
        registered_at=claim.registered_at,
    )
    stage.registry.claim(claim, Record(), owner, run="dead", share=False, earlier=None, retire_at=now())
    stand.deny(stand.name_of(files))
    return partial(stand.register, stand.event(files.certificate_id))


def unreadable(stand: Stand) -> Go:
    return partial(stand.batch, "{}")


def right_behind(stand: Stand) -> Go:
    return partial(stand.batch, json.dumps(stand.event(stand.device().certificate_id, again_after=2)))


def suspected(stand: Stand) -> Go:
    """A message that was received often comes with another one, which is deleted before it is touched."""
    bodies = [json.dumps(stand.event(stand.device().certificate_id)) for _ in range(2)]
    return partial(stand.batch, *bodies, receives=5)


def forgotten(stand: Stand) -> Go:
    """A device waits, and no event of it was ever sent; nor is a lease left of a sweep that could not give it back."""
    stand.device()
    waited = now() + timedelta(seconds=1.5)
    wait_until(lambda: now() > waited, "longer than the ordinary path takes")
    stand.dynamodb.delete_item(TableName=stand.stage.names.registry_table, Key=key("lease#sweep"))
    return stand.sweep


def counted(stand: Stand) -> Go:
    """The day's count of a CA's certificates has not been made yet."""
    ca = stand.cas["factory"].certificate_id
    stand.dynamodb.delete_item(TableName=stand.stage.names.registry_table, Key=key(f"sweep#{ca}"))
    return forgotten(stand)


def listing_changed(stand: Stand) -> Go:
    """A device is held, and the list has changed since: its entries are looked at."""
    files = stand.device(ca="partner")
    stand.register(stand.event(files.certificate_id, ca="partner"))
    decision = stand.stage.decision(files.certificate_id)
    assert decision
    assert decision.outcome is Outcome.HELD
    stand.deny("gateway-9999")
    return forgotten(stand)


def retiring(stand: Stand) -> Go:
    """A certificate was followed by another one, and the overlap of a second is over."""
    old = stand.device(days=45)
    stand.register(stand.event(old.certificate_id))
    new = stand.device(stand.name_of(old))
    stand.register(stand.event(new.certificate_id))
    decision = stand.stage.decision(new.certificate_id)
    assert decision
    assert decision.replaces == old.certificate_id
    ends = decision.decided_at + timedelta(seconds=1)
    wait_until(lambda: now() > ends, "the overlap's end")
    return forgotten(stand)


def marked(stand: Stand) -> Go:
    """Marks say that attempts may have left something: a device without thing and policy, a thing made for it."""
    files, iot = stand.device(), stand.stage.iot
    stand.register(stand.event(files.certificate_id))
    name, orphan = stand.name_of(files), f"was-{stand.name_of(files)}"
    arn = iot.describe_certificate(certificateId=files.certificate_id)["certificateDescription"]["certificateArn"]
    iot.detach_thing_principal(thingName=name, principal=arn)
    for policy in iot.list_attached_policies(target=arn)["policies"]:
        iot.detach_policy(policyName=policy["policyName"], target=arn)
    iot.create_thing(thingName=orphan, attributePayload={"attributes": {OWNER_ATTRIBUTE: files.certificate_id}})
    left = marks(files.certificate_id, [name, orphan], None, now() - timedelta(hours=1))
    stand.stage.registry.note_withdrawals(left)
    return forgotten(stand)


def out_of_place(stand: Stand) -> Go:
    """An account that is no home of the CA tells the hub of an activation; the local AWS would drop its event."""
    return partial(stand.hub, stand.carried())


WAYS: dict[str, dict[Permission, Way]] = {
    "register": {
        ("DecideOnCertificates", "iot:DescribeCertificate"): first_connection,
        ("DecideOnCertificates", "iot:UpdateCertificate"): first_connection,
        ("ReadCas", "iot:DescribeCACertificate"): anew,
        ("ProvisionThings", "iot:CreateThing"): first_connection,
        ("ProvisionThings", "iot:DescribeThing"): adoption,
        ("ProvisionThings", "iot:ListThingPrincipals"): adoption,
        ("ProvisionThings", "iot:UpdateThing"): adoption,
        ("AttachToCertificates", "iot:AttachPolicy"): first_connection,
        ("AttachToCertificates", "iot:AttachThingPrincipal"): first_connection,
        ("AttachToCertificates", "iot:DetachPolicy"): taking_back,
        ("AttachToCertificates", "iot:DetachThingPrincipal"): taking_back,
        ("AttachToCertificates", "iot:ListPrincipalThings"): renamed,
        ("KeepRegistry", "dynamodb:BatchGetItem"): first_connection,
        ("KeepRegistry", "dynamodb:DeleteItem"): disowning,
        ("KeepRegistry", "dynamodb:UpdateItem"): first_connection,
        ("TakeRegistrations", "sqs:ChangeMessageVisibility"): right_behind,
        ("TakeRegistrations", "sqs:DeleteMessage"): suspected,
        ("DeadLetter", "sqs:SendMessage"): unreadable,
        ("Announce", "events:PutEvents"): first_connection,
        ("JoinGroups", "iot:AddThingToThingGroup"): first_connection,
        ("ReadCrls", "s3:GetObject"): revocation_list,
        ("SeeThatNoCrlIsThere", "s3:ListBucket"): revocation_list,
        ("ReadEnrollment", "dynamodb:BatchGetItem"): first_connection,
        ("ReadEnrollment", "dynamodb:ConditionCheckItem"): first_connection,
    },
    "sweep": {
        ("ListCertificates", "iot:ListAttachedPolicies"): retiring,
        ("ListCertificates", "iot:ListCertificates"): forgotten,
        ("ListCertificates", "iot:ListCertificatesByCA"): counted,
        ("SeeHowOldTheQueueIs", "cloudwatch:GetMetricStatistics"): forgotten,
        ("RetireCertificates", "iot:DescribeCertificate"): retiring,
        ("RetireCertificates", "iot:UpdateCertificate"): retiring,
        ("RetireCertificates", "iot:DetachPolicy"): retiring,
        ("RetireCertificates", "iot:DetachThingPrincipal"): retiring,
        ("RetireCertificates", "iot:ListPrincipalThings"): retiring,
        ("AttachAgain", "iot:AttachPolicy"): marked,
        ("AttachAgain", "iot:AttachThingPrincipal"): marked,
        ("DeleteOrphans", "iot:DeleteThing"): marked,
        ("DeleteOrphans", "iot:DescribeThing"): marked,
        ("DeleteOrphans", "iot:ListThingPrincipals"): marked,
        ("KeepRegistry", "dynamodb:BatchGetItem"): forgotten,
        ("KeepRegistry", "dynamodb:DeleteItem"): forgotten,
        ("KeepRegistry", "dynamodb:GetItem"): forgotten,
        ("KeepRegistry", "dynamodb:UpdateItem"): forgotten,
        ("ReadEnrollment", "dynamodb:BatchGetItem"): listing_changed,
        ("ReadEnrollment", "dynamodb:GetItem"): forgotten,
        ("ReadCrls", "s3:GetObject"): forgotten,
        ("SeeThatNoCrlIsThere", "s3:ListBucket"): forgotten,
        ("FindWhatIsDue", "dynamodb:Query"): forgotten,
        ("SendForgotten", "sqs:SendMessage"): forgotten,
        ("Announce", "events:PutEvents"): retiring,
    },
    "hub": {
        ("KeepHubTable", "dynamodb:GetItem"): out_of_place,
        ("KeepHubTable", "dynamodb:UpdateItem"): out_of_place,
        ("ReadEnrollment", "dynamodb:BatchGetItem"): out_of_place,
        ("Announce", "events:PutEvents"): out_of_place,
    },
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One of this module's own: its roles are changed, and nobody else should meet that."""
    return Workspace(directory=tmp_path_factory.mktemp("roles"))


@pytest.fixture(scope="module")
def stand(workspace: Workspace) -> Iterator[Stand]:
    """One account with the stack; one CA's devices are listed and looked for in a CRL; no rule is enabled."""
    story = Story(workspace)
    try:
        story.steps()[0].play()
        stage = story.cast.second
        text = workspace.fleet_file.read_text(encoding="utf-8")
        text = text.replace("[ca.factory]", f'[ca.factory]\nhome = ["{stage.name}"]', 1)
        text += f'\n[ca.partner.checks]\nrevocation = "enforce"\n\n[hub]\naccount = "{stage.name}"\n'
        workspace.fleet_file.write_text(text, encoding="utf-8")
        deploying.synthesize(workspace, stage.name)
        deploying.deploy(workspace, stage.account, stage.place)
        for name, ca in story.cast.cas.items():
            stage.register_ca(name, ca)
            stage.iot.disable_topic_rule(ruleName=stage.names.rule(name))
        yield Stand(stage, story, workspace.directory / "devices")
    finally:
        accounts.down(workspace.directory)


def roles_of(stage: LocalStage) -> dict[str, Role]:
    functions = {
        "register": stage.names.register_function,
        "sweep": stage.names.sweep_function,
        "hub": stage.names.hub_function,
    }
    return {name: Role(stage=stage, function=function) for name, function in functions.items()}


def test_no_deployed_role_allows_an_action_that_no_way_uses(stand: Stand) -> None:
    for name, role in roles_of(stand.stage).items():
        elsewhere = {(sid, action) for function, sid, action in BY_OTHER_TESTS if function == name}
        assert role.permissions() - BY_AWS - elsewhere == set(WAYS[name]), name


def test_events_of_two_accounts_become_one_table_that_jitrctl_reads(
    stand: Stand, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub's own by its bus, the other account's carried into the queue, since the local AWS drops it."""
    stage, certificate_id = stand.stage, f"{1:064x}"
    sqs, events = api(stage, "sqs"), api(stage, "events")
    url = sqs.get_queue_url(QueueName=stage.names.hub_queue)["QueueUrl"]
    own = json.loads(stand.carried(stage.account.id, certificate_id))
    entry = {"Source": "jitr", "DetailType": "Device Activated", "Detail": json.dumps(own["detail"])}

    assert not events.put_events(Entries=[entry])["FailedEntryCount"]
    sqs.send_message(QueueUrl=url, MessageBody=stand.carried(certificate_id=certificate_id))
    table = HubTable(stand.dynamodb, stage.names.hub_table)

    def everywhere() -> set[str]:
        return {one.account_id for one in table.scan() if one.certificate_id == certificate_id}

    wait_until(lambda: everywhere() == {stage.account.id, "111111111111"}, "both accounts in the table")
    code = main(["fleet", "devices", "--out-of-place", "--fleet", str(workspace.fleet_file), "--json"])
    (found,) = [
        one for one in json.loads(capsys.readouterr().out)["devices"] if one["certificate_id"] == certificate_id
    ]
    assert (code, found["account"]) == (1, "dev")


CASES = [(function, sid, action) for function, ways in WAYS.items() for sid, action in ways]


@pytest.mark.deep  # the second proof; the first is tests/infra/test_least_privilege.py
@pytest.mark.parametrize(("function", "sid", "action"), CASES)
def test_without_any_one_action_the_way_that_uses_it_fails_and_names_it(
    stand: Stand, function: str, sid: str, action: str
) -> None:
    go = WAYS[function][sid, action](stand)
    denial = f"not authorized to perform: {action}"

    with roles_of(stand.stage)[function].without(sid, action):
        began = time.time()
        said = go()
        checked = denial in said or told(stand, denial, began)

    assert checked is ((function, sid, action) not in UNCHECKED), f"{said}\n{stand.log(began)}"


def told(stand: Stand, denial: str, began: float) -> bool:
    """Whether the functions' logs say so within a moment."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if denial in stand.log(began):
            return True
        time.sleep(0.1)
    return False
