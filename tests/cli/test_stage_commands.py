"""Commands of the AWS CLI and the CDK that go to the stage they are written for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jitr_fleet.parse import load
from jitrctl.session.fleet_option import with_fleet_option
from jitrctl.session.stage import Stage, choose
from jitrctl.status.stage_commands import aws_command, deploy_command, restore_command

ROLE = 'role_arn = "arn:aws:iam::111111111111:role/operator"'


@pytest.fixture
def stage(write_fleet: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Stage]:
    """The stage dev/eu-central-1, with these words about its account in ./fleet.toml."""

    def made(words: str) -> Stage:
        monkeypatch.chdir(write_fleet(ROLE, words).parent)
        return choose(load(Path("fleet.toml")), ["dev"], ())[0]

    return made


def test_a_profile_is_named(stage: Callable[[str], Stage]) -> None:
    dev = stage('profile = "acme-dev"')
    assert aws_command(dev, "iot x") == "aws iot x --region eu-central-1 --profile acme-dev"
    assert deploy_command(dev) == "node_modules/.bin/cdk deploy dev/eu-central-1 --profile acme-dev"


def test_the_credentials_of_a_role_are_asked_for(stage: Callable[[str], Stage]) -> None:
    said = aws_command(stage(f'{ROLE}\nprofile = "acme"'), "iot x")
    assert said == "aws iot x --region eu-central-1 # with the credentials of arn:aws:iam::111111111111:role/operator"


def test_an_account_of_the_local_aws_has_its_endpoint_keys_and_target(stage: Callable[[str], Stage]) -> None:
    dev = stage('endpoint_url = "http://127.0.0.1:4566"\nprofile = "acme-dev"')
    assert aws_command(dev, "iot x") == (
        "AWS_ACCESS_KEY_ID=111111111111 AWS_SECRET_ACCESS_KEY=test aws iot x --region eu-central-1 "
        "--endpoint-url http://127.0.0.1:4566"
    )
    assert deploy_command(dev) == "node_modules/.bin/cdk deploy dev/eu-central-1 -c target=local"
    Path("accounts.json").touch()  # of `jitrctl local up`
    assert deploy_command(dev) == "jitrctl local deploy --account dev --region eu-central-1"


def test_what_was_changed_beside_a_stack_is_reverted_by_a_deployment_that_looks_for_it(
    stage: Callable[[str], Stage],
) -> None:
    assert restore_command(stage("")) == "node_modules/.bin/cdk deploy dev/eu-central-1 --revert-drift"
    dev = stage('endpoint_url = "http://127.0.0.1:4566"')
    assert restore_command(dev) == "node_modules/.bin/cdk deploy dev/eu-central-1 -c target=local --revert-drift"
    Path("accounts.json").touch()  # of `jitrctl local up`, whose deployments always revert
    assert restore_command(dev) == "jitrctl local deploy --account dev --region eu-central-1"


def test_each_region_of_the_local_aws_has_its_own_endpoint(stage: Callable[[str], Stage]) -> None:
    dev = stage('endpoint_url = { eu-central-1 = "http://127.0.0.1:4567" }')
    assert aws_command(dev, "iot x").endswith("--endpoint-url http://127.0.0.1:4567")


def test_another_fleet_file_is_named_to_the_cdk(write_fleet: Callable[..., Path]) -> None:
    path = write_fleet()
    (dev, *_) = choose(load(path), ["dev"], ())
    assert deploy_command(dev, "diff") == f"node_modules/.bin/cdk diff dev/eu-central-1 -c fleet={path}"


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        (
            "`jitrctl ca resume`; then `jitrctl sweep`",
            "`jitrctl ca resume --fleet x.toml`; then `jitrctl sweep --fleet x.toml`",
        ),
        ("`jitrctl sweep --fleet y.toml`", "`jitrctl sweep --fleet y.toml`"),
        ("`jitrctl local deploy --account dev`", "`jitrctl local deploy --account dev`"),  # has no such option
        ("`aws iot x`", "`aws iot x`"),
    ],
)
def test_a_printed_command_gets_the_fleet_file_where_it_takes_one(text: str, completed: str) -> None:
    assert with_fleet_option(text, " --fleet x.toml") == completed
