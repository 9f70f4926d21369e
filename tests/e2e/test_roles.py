"""Least privilege, second proof, on the local AWS: every action is taken from the deployed roles in turn.

The local AWS enforces IAM on the functions' roles (AUTH=true). So each action of each statement is removed from the
role's inline policy, a path that uses it is gone by the deployed function, and that has to fail naming the action. An
action that no path here uses is an error, too: either the role allows too much, or a way is missing below. What AWS
itself uses in these roles the local AWS does not ask for, and is asserted in the template (tests/infra).
"""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest

from jitr.decisions import Decision, Outcome
from jitr.hub.table import HubTable
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.provisioning import OWNER_ATTRIBUTE
from jitr.record import Record
from jitr.store.dynamodb import key
from jitr.store.failure_count import FailureCount
from jitr.store.withdrawal_marks import marks
from jitrctl.__main__ import main
from jitrctl.clock import now
from jitrctl.demo.story import Story
from jitrctl.localaws import accounts
from jitrctl.localaws.stage import LocalStage
from jitrctl.localaws.workspace import Workspace
from tests.support.e2e.direct_calls import Stand
from tests.support.e2e.roles import Permission, Role, cached_client
from tests.support.e2e.waiting import wait_until
from tests.support.local import deploying

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
    ("register", "EndSessions", "iot:DeleteConnection"),  # of an order on many devices: infra/test_least_privilege.py
    ("register", "EndSessions", "iot:GetConnection"),  # without it the session is ended unseen
    ("sweep", "KeepRegistry", "dynamodb:ConditionCheckItem"),  # only before a name that was claimed in vain goes back
    # Where a revoked CA is ACTIVE again: infra/test_least_privilege.py.
    ("sweep", "KeepRevokedCasInactive", "iot:DescribeCACertificate"),
    ("sweep", "KeepRevokedCasInactive", "iot:UpdateCACertificate"),
    ("sweep", "AskForCrls", "sqs:SendMessage"),  # for a CRL whose event was lost; `revoke` itself too
}


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
    """A message that has ended the function comes with another one, which is deleted before it is touched."""
    bodies = [json.dumps(stand.event(stand.device().certificate_id)) for _ in range(2)]
    FailureCount(stand.dynamodb, stand.stage.names.registry_table).begin("message-1", now())  # and it did not end
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
    sqs, events = cached_client(stage, "sqs"), cached_client(stage, "events")
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
