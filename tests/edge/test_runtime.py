"""Every function checks at init that the runtime's boto3 knows what it uses of each of its clients."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from jitr.aws import runtime
from jitr.errors import Misconfigured
from jitr.handlers import hub, register, sweep
from jitr.rules import Rules
from tests.support.cloud import Cloud

Build = Callable[[Mapping[str, str]], object]
HUB: Build = partial(hub.build, homes='{"homes": {}, "accounts": []}')
AT_INIT: dict[Build, tuple[str, ...]] = {
    register.build: ("iot", "dynamodb", "sqs", "events"),
    sweep.build: ("iot", "dynamodb", "sqs", "events", "cloudwatch"),
    HUB: ("dynamodb", "events"),
}


@pytest.fixture
def environ(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mapping[str, str]:
    (tmp_path / "rules.json").write_text(cloud.rules.to_json())
    load = Rules.load
    monkeypatch.setattr(Rules, "load", lambda: load(tmp_path))
    return {**cloud.settings.to_environ(), hub.HUB_TABLE: "hub"}


def want(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the source use a parameter that no boto3 knows."""
    operation = next(iter(runtime.PARAMETERS[service]))
    monkeypatch.setattr(runtime, "PARAMETERS", {**runtime.PARAMETERS, service: {operation: ("OfTomorrow",)}})


@pytest.mark.parametrize(
    ("build", "service"), [(build, one) for build, services in AT_INIT.items() for one in services]
)
def test_a_function_whose_boto3_lacks_a_parameter_takes_no_message(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, build: Build, service: str
) -> None:
    build(environ)
    want(service, monkeypatch)
    with pytest.raises(Misconfigured, match="OfTomorrow"):
        build(environ)


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize(
    ("make", "service"),
    [
        pytest.param(partial(register._client, "s3"), "s3", id="register, CRLs"),
        pytest.param(partial(register._client, "lambda", region_name="eu-central-1"), "lambda", id="register, hooks"),
        pytest.param(sweep._s3, "s3", id="sweep, CRLs"),
    ],
)
def test_a_client_that_is_made_when_it_is_needed_is_checked_then(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], object], service: str
) -> None:
    make()
    want(service, monkeypatch)
    with pytest.raises(Misconfigured, match="OfTomorrow"):
        make()
