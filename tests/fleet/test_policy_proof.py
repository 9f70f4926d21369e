"""Under its CA's policy, in each stage, a device connects; else the fleet file is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from jitr_fleet.policy import BUILT_IN_POLICY
from jitr_fleet.policy_proof import PolicyProof, prove_fleet
from tests.support.fleet.drafts import Draft
from tests.support.fleet.policies import ARN, ATTACHED, CONNECT, THING, allow, deny, line_of, write

IN_DEV = "arn:aws:iot:eu-central-1:111111111111:"


def proof(draft: Draft) -> PolicyProof:
    (found,) = prove_fleet(draft.load())
    return found


def notes(draft: Draft) -> list[str]:
    return [note.message for note in proof(draft).notes]


TALK = [
    allow("iot:Publish", f"{ARN}topic/up/{THING}/*"),
    allow("iot:Subscribe", f"{ARN}topicfilter/down/{THING}/+"),
    allow("iot:Receive", f"{ARN}topic/down/{THING}/?"),
]


def test_a_device_that_may_connect_publish_subscribe_and_receive_is_proven(draft: Draft) -> None:
    write(draft, CONNECT, *TALK)
    found = proof(draft)

    assert (found.problems, found.notes, found.device) == ((), (), "sensor-7777")
    assert found.trial.connect.is_allowed
    assert found.trial.publish.name == "up/sensor-7777/x"
    assert found.trial.subscribe.name == "down/sensor-7777/+"
    assert found.trial.receive.name == "down/sensor-7777/x"


def test_the_policy_that_jitr_brings_lets_devices_do_all_of_it(draft: Draft) -> None:
    draft.replace('policy = "device.json"\n', "")
    found = proof(draft)

    assert found.file.path == BUILT_IN_POLICY
    assert found.notes == ()
    assert all(
        one.is_allowed for one in (found.trial.connect, found.trial.publish, found.trial.subscribe, found.trial.receive)
    )


def test_an_installation_without_that_file_proves_what_the_fleet_file_names(
    draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft.replace('policy = "device.json"\n', "")
    fleet = draft.load()
    monkeypatch.setattr("jitr_fleet.policy_proof.BUILT_IN_POLICY", draft.folder / "nowhere.json")
    assert prove_fleet(fleet) == ()


REFUSED: list[tuple[list[dict[str, Any]], str, str]] = [
    (TALK, "no statement allows iot:Connect, so no device can connect", '"Statement"'),
    ([], "it has no usable Statement", '"Statement"'),
    ([CONNECT, {"Sid": "No", **deny("*", "*")}], "statement 2 (No) denies iot:Connect to every device", '"Sid": "No"'),
    ([CONNECT, deny("iot:*", f"{ARN}client/*")], "statement 2 denies iot:Connect to every device", '"Deny"'),
    ([CONNECT, deny("iot:Con*", f"{ARN}client/{THING}")], "statement 2 denies iot:Connect to every device", '"Deny"'),
    (
        [allow("iot:Connect", f"{ARN}topic/x")],
        "none of its resources is arn:aws:iot:eu-central-1:111111111111:client/sensor-7777",
        '"Allow"',
    ),
    (
        [
            allow(
                "iot:Connect", f"{ARN}client/{THING}", Condition={"Bool": {"iot:Connection.Thing.IsAttached": "false"}}
            )
        ],
        "statement 1 allows iot:Connect, and no device as its thing: its Condition holds for none",
        '"Allow"',
    ),
    (
        [
            allow(
                "iot:Connect",
                f"{ARN}client/{THING}",
                Condition={"StringEquals": {"iot:Connection.Thing.ThingTypeName": "gateway"}},
            )
        ],
        "its Condition holds for none",
        '"Allow"',
    ),
    (
        [CONNECT, allow("iot:Publish", "arn:aws:iot:eu-central-1:999999999999:topic/x")],
        'statement 2 names the account "999999999999", where this policy is not deployed',
        "9999:topic/x",
    ),
    (
        [CONNECT, allow("iot:Publish", [f"{ARN}topic/y", "arn:aws:iot:us-west-2:<account>:topic/x"])],
        'statement 2 names the Region "us-west-2", where this policy is not deployed',
        "us-west-2",
    ),
    (
        [CONNECT, deny("iot:Publish", "arn:aws-cn:iot:*:999999999999:topic/x")],
        'statement 2 names the partition "aws-cn" and the account "999999999999", where this policy is not deployed',
        "aws-cn",
    ),
    (
        [allow("iot:Connect", f"{IN_DEV}client/{THING}")],
        "none of its resources is arn:aws:iot:eu-central-1:222222222222:client/sensor-7777",
        '"Allow"',
    ),
]


@pytest.mark.parametrize(("statements", "said", "at"), REFUSED, ids=[said[:70] for _, said, _ in REFUSED])
def test_a_policy_under_which_no_device_connects_is_refused_at_its_line(
    draft: Draft, statements: list[dict[str, Any]], said: str, at: str
) -> None:
    write(draft, *statements)
    found = draft.refused()

    assert found.message.startswith("the policy of ca.factory: ")
    assert found.message.endswith(said)
    assert found.cure
    line = line_of(draft, at)
    assert found.line == (line - 1 if at in ('"Allow"', '"Deny"', '"Sid": "No"') else line)  # of the brace before it


NOTED: list[tuple[list[dict[str, Any]], list[str]]] = [
    (
        [CONNECT],
        [
            "no statement allows iot:Publish: devices send nothing",
            "no statement allows iot:Subscribe: devices subscribe to nothing",
        ],
    ),
    (
        [CONNECT, *TALK[:2]],
        ["no statement allows iot:Receive: devices may subscribe to down/sensor-7777/+, and nothing"],
    ),
    (
        [CONNECT, TALK[0], allow("iot:Subscribe", f"{ARN}topic/x")],
        ["statement 3 has iot:Subscribe and no resource topicfilter/…, which it is about"],
    ),
    (
        [CONNECT, *TALK, deny("iot:Publish", f"{ARN}topic/up/*")],
        ["statement 5 denies iot:Publish on up/sensor-7777/x: devices send nothing"],
    ),
    (
        [{**CONNECT, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, *TALK],
        ["statement 1 depends on aws:SourceIp, so whether a device may connect cannot be decided here"],
    ),
    (
        [{**CONNECT, "Condition": {"StringLike": {"iot:ClientId": "other-*"}}}, *TALK],
        ["statement 1 depends on iot:ClientId, so whether a device may connect cannot be decided here"],
    ),
    (
        [allow("iot:Connect", [f"{ARN}client/gateway-1", f"{ARN}client/gateway-2"], Condition=ATTACHED), *TALK],
        ["statement 1 allows iot:Connect only as gateway-1, gateway-2"],
    ),
    (
        [CONNECT, *TALK[1:], allow("iot:Publish", f"{ARN}topic/up/${{iot:Thing.ThingName}}/x")],
        ["statement 4 depends on iot:Thing.ThingName, so whether devices have iot:Publish cannot be decided here"],
    ),
    (
        [CONNECT, *TALK, allow("iot:Publish", f"{IN_DEV}topic/x")],
        ['statement 5 names the account "111111111111", so it is about nothing in prod/eu-central-1, prod/us-east-1'],
    ),
    (
        [CONNECT, *TALK[1:], {"Effect": "Allow", "NotAction": "iot:Publish", "Resource": f"{ARN}thing/x"}],
        ["no statement allows iot:Publish: devices send nothing"],
    ),
]


@pytest.mark.parametrize(("statements", "said"), NOTED)
def test_what_a_policy_leaves_out_is_noted_and_taken(
    draft: Draft, statements: list[dict[str, Any]], said: list[str]
) -> None:
    write(draft, *statements)
    found = notes(draft)

    assert len(found) == len(said)
    for message, part in zip(found, said, strict=True):
        assert message.startswith(f"the policy of ca.factory: {part}")


def test_a_note_stands_at_the_line_of_its_statement(draft: Draft) -> None:
    write(draft, CONNECT, *TALK, {"Sid": "No", **deny("iot:Publish", f"{ARN}topic/up/*")})
    (note,) = proof(draft).notes

    assert note.file == draft.folder / "device.json"
    assert note.line == line_of(draft, '"Sid": "No"') - 1


def test_a_deny_of_another_topic_is_no_matter(draft: Draft) -> None:
    write(
        draft,
        CONNECT,
        *TALK,
        deny("iot:Publish", f"{ARN}topic/down/*"),
        deny("iot:Connect", f"{ARN}client/sensor-0001"),
    )
    assert notes(draft) == []


def test_notes_are_in_the_order_of_the_file(draft: Draft) -> None:
    write(
        draft,
        CONNECT,
        {"Sid": "No", **deny("iot:Publish", "*")},
        TALK[0],
        TALK[1],
        allow("iot:Receive", f"{IN_DEV}topic/x"),
    )
    lines = [note.line for note in proof(draft).notes]
    assert len(lines) > 2
    assert lines == sorted(lines)


def test_the_subscription_is_shown_on_which_something_arrives(draft: Draft) -> None:
    write(draft, CONNECT, TALK[0], allow("iot:Subscribe", f"{ARN}topicfilter/silent"), *TALK[1:])
    found = proof(draft)

    assert found.notes == ()
    assert found.trial.subscribe.name == "down/sensor-7777/+"


def test_what_comes_by_a_shared_subscription_comes_on_its_filter(draft: Draft) -> None:
    write(
        draft,
        CONNECT,
        TALK[0],
        allow("iot:Subscribe", f"{ARN}topicfilter/$share/all/a/#"),
        allow("iot:Receive", f"{ARN}topic/a/*"),
    )
    assert proof(draft).trial.receive.name == "a/x"


def test_several_cas_with_one_file_have_one_message(draft: Draft) -> None:
    second_ca(draft, f'policy = "../{draft.folder.name}/device.json"')
    write(draft, CONNECT, allow("iot:Conect", "*"))
    found = draft.refused()

    assert found.message.startswith("the policy of ca.factory and ca.second: statement 2 has the action")


def test_what_the_devices_of_several_cas_and_stages_show_alike_is_said_once(draft: Draft) -> None:
    second_ca(draft, 'policy = "device.json"')
    draft.replace('common_name = "sensor-[0-9]{4,}"', 'common_name = "gateway-[0-9]{4,}"')
    write(draft, allow("iot:Connect", f"{ARN}client/other-{THING}"), *TALK)

    message = draft.refused().message
    assert "as its thing: none of its resources is" in message
    assert message.startswith("the policy of ca.factory and ca.second: statement 1 allows iot:Connect")


def test_a_finding_that_holds_in_some_stages_names_them(draft: Draft) -> None:
    write(draft, allow("iot:Connect", f"{IN_DEV}client/{THING}"))
    assert "ca.factory: in prod/eu-central-1, prod/us-east-1 statement 1 allows iot:Connect" in draft.refused().message


def test_a_finding_that_holds_for_one_ca_names_it(draft: Draft) -> None:
    second_ca(draft, 'policy = "device.json"\nthing_type = "gateway"')
    only_sensors = {"StringEquals": {"iot:Connection.Thing.ThingTypeName": "sensor"}}
    write(draft, allow("iot:Connect", f"{ARN}client/{THING}", Condition=only_sensors))

    assert "the policy of ca.factory and ca.second: for ca.second statement 1 allows" in draft.refused().message


def test_what_is_wrong_is_reported_with_everything_else_file_by_file(draft: Draft) -> None:
    write(draft, CONNECT, allow("iot:Conect", "*"))
    draft.replace('name = "acme"', 'name = "Acme!"')
    draft.replace('every = "5m"', 'every = "5 weeks"')

    lines = [line for line, _ in draft.problems()]
    assert lines == [draft.line('name = "Acme!"'), draft.line("every ="), line_of(draft, "iot:Conect")]


def test_a_file_of_cas_in_no_account_is_not_proven(draft: Draft) -> None:
    draft.load()
    fleet = dataclasses.replace(draft.load(), accounts=())
    assert prove_fleet(fleet) == ()


def second_ca(draft: Draft, keys: str) -> None:
    """Another CA, in the same accounts."""
    other = type(draft.issuer)("Second CA")
    draft.write("second.pem", other.certificate())
    draft.replace(
        "[sweep]",
        f'[ca.second]\ncertificate = "second.pem"\ncommon_name = "gateway-[0-9]+"\n{keys}\n\n[sweep]',
    )
    draft.replace(
        'ca.factory = { mode = "SNI_ONLY" }\n',
        'ca.factory = { mode = "SNI_ONLY" }\nca.second = { mode = "SNI_ONLY" }\n',
    )


def test_the_example_in_the_repository_is_proven_without_a_note(draft: Draft) -> None:
    policy = Path(__file__).parents[2] / "policies" / "device.json"
    draft.write("device.json", policy.read_bytes())
    assert notes(draft) == []
