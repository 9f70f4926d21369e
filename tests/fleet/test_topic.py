"""[alarms] topic: an SNS topic that the alarms of every stage can tell."""

import pytest

from jitr_fleet.model import Alarms
from tests.support.fleet.drafts import Draft


def with_topic(draft: Draft, topic: str) -> str:
    written = f'topic = "{topic}"'
    draft.text += f"\n[alarms]\n{written}\n"
    return written


def test_without_the_table_the_limits_are_the_documented_ones(draft: Draft) -> None:
    assert draft.load().alarms == Alarms(
        topic=None, backlog=900, rejection_rate=20, ca_expiry=90 * 86_400, device_expiry=14 * 86_400
    )


@pytest.mark.parametrize(
    "topic",
    [
        "arn:<partition>:sns:<region>:<account>:on-call",
        "arn:aws:sns:<region>:333333333333:on-call",  # another account's, whose policy lets CloudWatch publish
        "arn:aws-cn:sns:<region>:<account>:on_call",
    ],
)
def test_a_topic_may_leave_partition_region_and_account_to_the_stack(draft: Draft, topic: str) -> None:
    with_topic(draft, topic)
    assert draft.load().alarms.topic == topic


@pytest.mark.parametrize(
    "topic",
    ["on-call", "arn:aws:sqs:<region>:<account>:on-call", "arn:aws:sns:<zone>:<account>:x", "arn:aws:sns:<region>:1:x"],
)
def test_what_is_no_topic_is_told_with_what_to_write(draft: Draft, topic: str) -> None:
    written = with_topic(draft, topic)
    line, said = draft.problem()
    assert line == draft.line(written)
    assert "is not the ARN of an SNS topic" in said
    assert "arn:<partition>:sns:<region>:<account>:on-call" in said


def test_a_fifo_topic_takes_no_alarms(draft: Draft) -> None:
    with_topic(draft, "arn:<partition>:sns:<region>:<account>:on-call.fifo")
    assert "alarms cannot use FIFO topics" in draft.problem()[1]


def test_alarms_cannot_tell_a_topic_of_another_region(draft: Draft) -> None:
    written = with_topic(draft, "arn:aws:sns:eu-central-1:<account>:on-call")
    line, said = draft.problem()
    assert line == draft.line(written)
    assert "is in eu-central-1; alarms in us-east-1 cannot publish to it" in said
