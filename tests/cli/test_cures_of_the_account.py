"""Cures of what an account lacks: taken from what doctor prints, carried out, and the device comes in."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from jitr.aws.crl_bucket import object_key
from jitr.aws.queues import REASON_ATTRIBUTE
from jitr.errors import Reason
from jitr.events import event_document
from simulation import Leaf
from tests.support.cli.doctored import Doctored, doctored
from tests.support.cli.simulated import DEV, IDS, REGION, RULES

SENSOR = "sensor-0001"
HERE = f"--account {DEV} --region {REGION}"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctored:
    return doctored(tmp_path, monkeypatch)


def deploy(made: Doctored, rules: str) -> None:
    made.fleet.write(rules)
    made.fleet.deploy()


def held(made: Doctored, reason: Reason) -> Leaf:
    leaf = made.fleet.issue(SENSOR)
    assert made.connect(leaf, SENSOR) == "refused"
    decision = made.fleet.record(DEV, leaf).decision
    assert decision
    assert decision.reason is reason, decision.detail
    return leaf


# What was changed beside the stack.


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("rule role", "rule role is broken"),
        ("queue policy", "queue is broken: the queue's policy denies it"),
        ("function", "function is broken: it fails for every device"),
    ],
)
def test_what_was_changed_beside_the_stack_is_reverted_and_a_new_device_comes_in(
    made: Doctored, changed: str, said: str
) -> None:
    made.changed.add(changed)
    leaf = made.fleet.issue(SENSOR)

    _, printed = made.ask_doctor(made.file(leaf))
    assert said in printed
    ((*command,),) = made.follow(printed)
    assert command[-1] == "--revert-drift", "CloudFormation compares templates alone without it"
    assert made.connect(leaf, SENSOR) == "accepted"
    assert made.ask_doctor(made.file(leaf))[0] == 0


def test_a_template_without_the_key_is_shown_and_its_body_is_not_lost(made: Doctored) -> None:
    """The rest of the cure, which this command names, is in test_ca_take_over_refused.py."""
    ca = made.fleet.place(DEV).iot.cas.by_id[made.fleet.old.certificate_id]
    before = ca.template = {"templateBody": "{}", "roleArn": "arn:aws:iam::111111111111:role/jitp"}

    _, printed = made.ask_doctor(made.file(made.fleet.issue(SENSOR)))
    assert "provisioning template is broken" in printed
    (adopt,) = made.follow(printed)
    assert adopt[:4] == ["jitrctl", "ca", "adopt", "factory"]
    assert ca.template == before


# What the rules name is gone, or AWS IoT refuses it.


def test_a_deleted_thing_group_is_made_again(made: Doctored) -> None:
    deploy(made, RULES + 'thing_groups = ["hall-1"]\n')
    iot, groups = made.fleet.iot(DEV), made.fleet.place(DEV).iot.things.groups
    groups.remove("hall-1")
    leaf = held(made, Reason.TARGET_MISSING)
    made.reverting.append(lambda: groups.add("hall-1"))

    (printed,) = made.cure(leaf, SENSOR)
    assert "TARGET_MISSING" in printed
    assert "hall-1" in iot.list_thing_groups_for_thing(thingName=SENSOR)["thingGroups"][0]["groupName"]


def test_a_certificate_that_is_attached_to_another_thing_is_detached_and_released(made: Doctored) -> None:
    iot, leaf = made.fleet.iot(DEV), made.fleet.issue(SENSOR)
    made.fleet.place(DEV).connect(leaf, client_id=SENSOR)
    arn = iot.describe_certificate(certificateId=leaf.certificate_id)["certificateDescription"]["certificateArn"]
    iot.create_thing(thingName="by-hand")
    iot.attach_thing_principal(thingName="by-hand", principal=arn)
    made.connect(leaf, SENSOR)

    _, printed = made.ask_doctor(made.file(leaf))
    assert "REQUEST_REFUSED" in printed
    assert "remove what the detail names" in printed
    iot.detach_thing_principal(thingName="by-hand", principal=arn)
    shown, released = made.follow(printed)
    assert shown[:3] == ["aws", "iot", "list-principal-things"]
    assert released[:3] == ["jitrctl", "device", "release"]
    assert made.connect(leaf, SENSOR) == "accepted"


# What the CA and the hook say.


def issue_crl(made: Doctored, *, ends_in: timedelta) -> bytes:
    """The CA's CRL, in the file that the cure names; gives its bytes."""
    authority, now = made.fleet.old, made.fleet.aws.clock.now()
    builder = x509.CertificateRevocationListBuilder(
        authority.certificate.subject, now - timedelta(days=1), now + ends_in
    )
    crl = builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (made.fleet.directory / "factory.crl").write_bytes(crl)
    return crl


def publish(made: Doctored, content: bytes) -> None:
    bucket = made.fleet.stage(DEV).crl_bucket
    made.fleet.place(DEV).s3.put(bucket, object_key(made.fleet.old.certificate_id), content)


def crl_missing(_: Doctored) -> None:
    pass


def crl_stale(made: Doctored) -> None:
    publish(made, issue_crl(made, ends_in=timedelta(hours=-1)))


def crl_unusable(made: Doctored) -> None:
    publish(made, b"no CRL")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (crl_missing, Reason.CRL_MISSING),
        (crl_stale, Reason.CRL_STALE),
        (crl_unusable, Reason.CRL_UNUSABLE),
    ],
)
def test_a_crl_is_published_by_the_cure_and_what_was_held_for_it_comes_in(
    made: Doctored, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Doctored], None], reason: Reason
) -> None:
    monkeypatch.chdir(made.fleet.directory)
    deploy(made, RULES + 'checks.revocation = "enforce"\n')
    broken(made)
    leaf = held(made, reason)
    issue_crl(made, ends_in=timedelta(days=7))

    _, printed = made.ask_doctor(made.file(leaf))
    ((*command,),) = made.follow(printed)
    assert command[:4] == ["jitrctl", "crl", "put", "factory.crl"]
    made.fleet.aws.clock.advance(61)  # for a minute an execution environment keeps what it has read
    assert made.connect(leaf, SENSOR) == "accepted"


def test_a_repaired_hook_lets_in_what_was_held_for_it(made: Doctored) -> None:
    functions, refuse = made.fleet.place(DEV).functions, [True]

    def hook(_: object) -> dict[str, bool]:
        if refuse:
            raise RuntimeError("no connection to the factory's database")
        return {"allowProvisioning": True}

    arn = functions.create("decide", hook)
    deploy(made, RULES + f'hook = "{arn}"\n')
    leaf = held(made, Reason.HOOK_FAILED)

    _, printed = made.ask_doctor(made.file(leaf))
    assert "repair the hook's function" in printed
    refuse.clear()
    made.follow(printed)
    assert made.connect(leaf, SENSOR) == "accepted"


def test_what_a_hook_refused_comes_in_when_the_hook_changes_its_mind(made: Doctored) -> None:
    answer = {"allowProvisioning": False}
    arn = made.fleet.place(DEV).functions.create("decide", lambda _: answer)
    deploy(made, RULES + f'hook = "{arn}"\n')
    leaf = held(made, Reason.HOOK_REFUSED)

    _, printed = made.ask_doctor(made.file(leaf))
    assert "ask the owners of the CA's hook" in printed
    answer["allowProvisioning"] = True
    made.follow(printed)
    assert made.connect(leaf, SENSOR) == "accepted"


# Dead letters.


def test_a_dead_letter_is_sent_again_by_the_cure(made: Doctored) -> None:
    leaf = made.fleet.issue(SENSOR)
    rules = made.fleet.place(DEV).iot.broker.rules[made.fleet.old.certificate_id]
    rules[0].enabled = False
    made.fleet.place(DEV).connect(leaf, client_id=SENSOR)
    rules[0].enabled = True
    event = event_document(
        certificate_id=leaf.certificate_id,
        ca_certificate_id=made.fleet.old.certificate_id,
        account_id=IDS[DEV],
        published_at=None,
        registered_at=None,
    )
    sqs = made.fleet.place(DEV).client("sqs", caller="test")
    url = sqs.get_queue_url(QueueName="jitr-acme-dead-letters")["QueueUrl"]
    reason = {REASON_ATTRIBUTE: {"DataType": "String", "StringValue": "failed 10 times"}}
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event), MessageAttributes=reason)

    _, printed = made.ask_doctor(made.file(leaf))
    assert "messages is broken" in printed
    ((*command,),) = made.follow(printed)
    assert command[:4] == ["jitrctl", "dlq", "redrive", "--all"]
    made.fleet.deployments[DEV].mapping().drain()
    assert made.fleet.status(DEV, leaf) == "ACTIVE"
