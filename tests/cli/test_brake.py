"""Which of the queue's mappings the brake is about."""

from types import SimpleNamespace
from typing import Any

import pytest

from jitr_fleet.resources import LIVE, ResourceNames
from jitrctl import intake

NAMES = ResourceNames("acme")
FUNCTION = f"arn:aws:lambda:eu-central-1:111111111111:function:{NAMES.register_function}"


def stage(*functions: str, asked: list[Any] | None = None) -> Any:
    """A stage whose queue feeds these functions; each mapping's UUID is its function's ARN."""

    class NotFoundError(Exception):
        pass

    def configuration(**parameters: str) -> dict[str, str]:
        (asked if asked is not None else []).append(parameters)
        if not functions:
            raise NotFoundError
        return {"State": "Active"}

    mappings = [{"UUID": one, "FunctionArn": one, "State": "Enabled"} for one in functions]
    return SimpleNamespace(
        region="eu-central-1",
        names=NAMES,
        account=SimpleNamespace(id="111111111111"),
        lambda_=SimpleNamespace(
            list_event_source_mappings=lambda **_: {"EventSourceMappings": mappings},
            get_function_configuration=configuration,
            exceptions=SimpleNamespace(ResourceNotFoundException=NotFoundError),
        ),
    )


@pytest.mark.parametrize("ours", [FUNCTION, f"{FUNCTION}:{LIVE}"])
def test_the_brake_is_on_registers_way_with_and_without_snapshots_whoever_else_reads_the_queue(ours: str) -> None:
    found = intake.find_mapping(stage(f"{FUNCTION}-audit", ours))

    assert found
    assert found.uuid == ours


def test_somebody_elses_way_out_of_the_queue_is_not_braked() -> None:
    assert intake.find_mapping(stage(f"{FUNCTION}-audit")) is None


@pytest.mark.parametrize(("fed", "qualifier"), [(FUNCTION, {}), (f"{FUNCTION}:{LIVE}", {"Qualifier": LIVE})])
def test_it_is_what_the_queue_feeds_that_is_asked_how_it_is(fed: str, qualifier: dict[str, str]) -> None:
    """A version with a snapshot can be broken, or still in the making, while the function's newest code is well."""
    asked: list[Any] = []
    there = stage(fed, asked=asked)

    assert intake.read_configuration(there, intake.find_mapping(there)) == {"State": "Active"}
    assert asked == [{"FunctionName": NAMES.register_function, **qualifier}]


def test_a_function_that_is_not_there_has_no_configuration() -> None:
    assert intake.read_configuration(stage(), None) is None
