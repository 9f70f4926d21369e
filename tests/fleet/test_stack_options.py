"""[stack], existing and registered_by: what people may write, and what they are told otherwise."""

from dataclasses import replace

import pytest
from cryptography import x509

from jitr_fleet.choices import IotLogging, RegisteredBy
from tests.support.fleet.drafts import Draft


def test_without_the_table_nothing_is_chosen(draft: Draft) -> None:
    stack = draft.load().stack

    assert (dict(stack.tags), stack.permission_boundary, stack.termination_protection, stack.iot_logging) == (
        {},
        None,
        False,
        None,
    )


def test_what_is_chosen_is_read(draft: Draft) -> None:
    draft.text += '\n[stack]\ntags = { team = "iot" }\niot_logging = "error"\ntermination_protection = true\n'
    stack = draft.load().stack

    assert dict(stack.tags) == {"team": "iot"}
    assert (stack.iot_logging, stack.termination_protection) == (IotLogging.ERROR, True)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('tags = "iot"', "stack.tags is not a table"),
        ('tags = { "aws:team" = "iot" }', "is not a legal tag"),
        ("tags = { team = 1 }", "stack.tags.team has no legal value"),
        ('tags = { team = "ä" }', "stack.tags.team has no legal value"),
        ('permission_boundary = "boundary"', "is not the ARN of a managed policy"),
        ('permission_boundary = "arn:aws:iam::<account>:role/x"', "is not the ARN of a managed policy"),
        ('termination_protection = "yes"', "is a text, a boolean is expected"),
        ("termination_protection = 1", "is an integer, a boolean is expected"),
        ('kms_key = "alias/jitr"', "is not the ARN of your own KMS key"),
        (
            'kms_key = "arn:<partition>:kms:<region>:<account>:alias/aws/sqs"',
            "is not the ARN of your own KMS key",
        ),
        ('kms_key = "arn:aws:kms:us-east-1:<account>:alias/jitr"', "stages in eu-central-1 use it"),
        ('kms_key = "arn:aws:kms:<region>:222222222222:alias/jitr"', "stages in 111111111111 use it"),
        (
            'kms_key = "arn:aws:kms:<region>:<account>:key/mrk-0123456789abcdef0123456789abcdef"',
            "names one key by its id, but keys of several accounts or Regions have different ids",
        ),
        ('iot_logging = "loud"', "known here: off, error, warn, info, debug"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(draft: Draft, written: str, said: str) -> None:
    draft.text += f"\n[stack]\n{written}\n"
    line, problem = draft.problem()

    assert line == draft.line(written)
    assert said in problem


ONE_KEY = "arn:aws:kms:<region>:<account>:key/0123abcd-0000-0000-0000-000000000000"


def test_an_account_of_several_regions_has_a_key_of_several_regions(draft: Draft) -> None:
    draft.replace("activations_per_second = 50", f'activations_per_second = 50\nkms_key = "{ONE_KEY}"')
    assert "names one key by its id" in draft.problem()[1]

    draft.replace("key/0123abcd-0000-0000-0000-000000000000", "key/mrk-0123456789abcdef0123456789abcdef")
    assert draft.load().accounts[1].kms_key


def test_an_accounts_own_key_comes_before_the_fleets(draft: Draft) -> None:
    draft.replace('profile = "acme-dev"', f'profile = "acme-dev"\nkms_key = "{ONE_KEY}"')
    draft.text += '\n[stack]\nkms_key = "arn:aws:kms:<region>:222222222222:alias/jitr"\n'

    assert draft.load().stack.kms_key, "no other account than that one is left to it"


def test_more_tags_than_aws_leaves_room_for_are_refused(draft: Draft) -> None:
    draft.text += "\n[stack.tags]\n" + "\n".join(f't{number} = "x"' for number in range(41))

    assert "holds 41 tags; keep 40: AWS allows 50" in draft.problem()[1]


def test_a_template_on_a_ca_is_said_of_one_account_and_reaches_its_rules(draft: Draft) -> None:
    draft.replace('ca.factory = { mode = "SNI_ONLY" }', 'ca.factory = { mode = "SNI_ONLY", jitp = true }')
    fleet = draft.load()
    dev, prod = fleet.accounts
    assert [one.cas[0].jitp for one in (dev, prod)] == [False, True]
    assert [fleet.rules(one, one.regions[0]).cas[0].jitp for one in (dev, prod)] == [False, True]
    first, second = (fleet.rules(one, one.regions[0]).cas[0] for one in (dev, prod))
    assert first.digest == replace(first, jitp=True).digest, "the brake counts anew"
    assert second.jitp


def test_a_ca_is_registered_by_jitrctl_unless_the_stack_is_asked_to(draft: Draft) -> None:
    assert draft.load().cas[0].registered_by is RegisteredBy.JITRCTL
    draft.replace('on_reject = "revoke"', 'on_reject = "revoke"\nregistered_by = "stack"')
    assert draft.load().cas[0].registered_by is RegisteredBy.STACK


def test_an_account_may_say_on_its_own_who_registers_a_ca(draft: Draft) -> None:
    draft.replace('"dev.pem"', '"dev.pem", registered_by = "stack"')

    assert [one.cas[0].registered_by for one in draft.load().accounts] == [RegisteredBy.STACK, RegisteredBy.JITRCTL]


def test_a_verification_certificate_that_no_parameter_holds_is_not_for_a_stack(draft: Draft) -> None:
    long = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(3000))
    draft.write("dev.pem", draft.issuer.verification(extensions=(long,)))
    draft.load()
    draft.replace('on_reject = "revoke"', 'on_reject = "revoke"\nregistered_by = "stack"')
    line, problem = draft.problem()

    assert line == draft.line('ca.factory = { mode = "DEFAULT"')
    assert "a stack's parameter holds 4096" in problem
    assert 'or set registered_by = "jitrctl" here' in problem
    draft.replace('"dev.pem"', '"dev.pem", registered_by = "jitrctl"')
    draft.load()


def test_cas_that_share_a_group_agree_on_whether_it_exists(draft: Draft) -> None:
    draft.write("other.pem", draft.issuer.__class__("Other CA").certificate())
    other = '[ca.other]\ncertificate = "other.pem"\ncommon_name = ".*"\nthing_groups = ["sensors"]\nexisting = true\n'
    draft.replace("[sweep]", f"{other}\n[sweep]")
    draft.text += 'ca.other = { mode = "SNI_ONLY" }\n'
    line, problem = draft.problem()

    assert line == draft.line("existing = true")
    assert 'contradicts ca.factory, which has the thing group "sensors" too' in problem
