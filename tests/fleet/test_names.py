"""What fleet.toml accepts as a name, AWS and the functions accept too."""

from collections.abc import Callable
from pathlib import Path

import botocore.session
import pytest
from cfnlint.helpers import REGIONS  # type: ignore[import-untyped]
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from jitr.admission.naming import ATTRIBUTE_VALUE, THING_NAME
from jitr.rules import TEMPLATE_FIELDS
from jitr_fleet.names import (
    FLEET_NAME_LENGTH,
    OWN_NAME_LENGTH,
    REGIONS_WITHOUT_IOT_TYPES,
    VALUE_CHARACTERS,
    VALUE_LENGTH,
    fleet_name,
    partition_of,
    template,
    thing_name,
    thing_word,
)
from jitr_fleet.problems import KeyPosition, Report
from jitr_fleet.resources import ResourceNames
from jitr_fleet.values import format_duration
from tests.support.fleet.drafts import Draft

SESSION = botocore.session.get_session()


def place() -> KeyPosition:
    return KeyPosition(Report(Path("fleet.toml"), ""))


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_every_region_that_botocore_knows_is_one(partition: str) -> None:
    regions = SESSION.get_available_regions("iot", partition) + SESSION.get_available_regions("sqs", partition)
    assert len(regions) > 3
    assert {region: partition_of(region) for region in regions} == dict.fromkeys(regions, partition)


@pytest.mark.parametrize("region", ["", "eu-central", "eu-central-1a", "EU-CENTRAL-1", "aws-global", "us-gov-1", "x"])
def test_what_is_no_region_has_no_partition(region: str) -> None:
    assert partition_of(region) is None


@given(st.text(min_size=1) | st.text("aZ09:_-./ {}", min_size=1, max_size=140))
def test_a_thing_type_or_group_is_accepted_exactly_when_aws_takes_it(name: str) -> None:
    assert (thing_word(name, place()) == name) == bool(THING_NAME.fullmatch(name))


@given(st.text("aZ09_.,@/:#=[]- +*é", min_size=1, max_size=20) | st.text(min_size=1).filter(lambda it: "{" not in it))
def test_a_fixed_attribute_value_is_accepted_exactly_when_the_functions_take_it(value: str) -> None:
    accepted = template(VALUE_CHARACTERS, VALUE_LENGTH)(value, place()) == value
    assert accepted == bool(ATTRIBUTE_VALUE.fullmatch(value))


@pytest.mark.parametrize("field", TEMPLATE_FIELDS)
def test_every_field_of_the_contract_can_be_used(field: str) -> None:
    assert thing_name(f"a-{{{field}}}:b", place()) == f"a-{{{field}}}:b"


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0s"), (59, "59s"), (60, "1m"), (3600, "1h"), (86_400, "1d"), (90, "90s")]
)
def test_durations_are_written_in_their_greatest_unit(seconds: int, written: str) -> None:
    assert format_duration(seconds) == written


def test_the_longest_fleet_name_still_fits_a_buckets_name() -> None:
    name = fleet_name("a" * FLEET_NAME_LENGTH, place())
    assert name
    assert len(ResourceNames(name).crl_bucket("111111111111", "ap-northeast-1")) == 63
    here = place()
    assert fleet_name("a" * (FLEET_NAME_LENGTH + 1), here) is None
    (problem,) = here.report.problems
    assert "at most 26 characters" in str(problem)


def test_the_longest_names_still_fit_a_policy_name(draft: Draft) -> None:
    longest = "a" * OWN_NAME_LENGTH
    draft.text = draft.text.replace("factory =", f"{longest} =").replace("ca.factory", f"ca.{longest}")
    draft.text = draft.text.replace(f"ca.{longest}{longest[7:]}", f"ca.{longest}").replace(
        '"acme"', f'"{longest[:FLEET_NAME_LENGTH]}"'
    )
    fleet = draft.load()
    assert fleet.policy_name(fleet.cas[0]) == f"jitr-{longest[:FLEET_NAME_LENGTH]}--{longest}"
    assert len(fleet.policy_name(fleet.cas[0])) <= 128


CALLABLES: tuple[Callable[..., object], ...] = (thing_word, thing_name)


@pytest.mark.parametrize("reader", CALLABLES)
@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, None])
def test_a_value_of_another_type_is_reported_not_raised(reader: Callable[..., object], value: object) -> None:
    here = place()
    assert reader(value, here) is None
    assert len(here.report.problems) == 1


def test_the_regions_without_the_iot_types_are_those_of_cloudformations_schemas() -> None:
    types = {f"AWS::IoT::{name}" for name in ("ThingType", "ThingGroup", "CACertificate", "Logging")}
    lacking = {name for name in REGIONS if not types <= set(PROVIDER_SCHEMA_MANAGER.get_resource_types(name))}

    assert lacking == REGIONS_WITHOUT_IOT_TYPES


def test_a_region_without_the_iot_types_is_refused_by_name(draft: Draft) -> None:
    draft.replace('"us-east-1"', '"eu-central-2"')

    assert "is eu-central-2, where CloudFormation lacks AWS::IoT::ThingType" in draft.problem()[1]
