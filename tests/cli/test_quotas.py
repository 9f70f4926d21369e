"""`jitrctl fleet quotas`: what bounds activation, and what to ask for; Service Quotas answers as its API says."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from jitr.aws.rate_limit import max_concurrency_for
from jitrctl.__main__ import main
from jitrctl.errors import Refused
from jitrctl.status.quotas import BOUNDS, read_quotas

DESCRIBE, UPDATE, ATTACH_POLICY = "L-FC864907", "L-77B523DC", "L-CA7D4E3E"
CONCURRENCY = "L-B99A9384"

Answers = dict[str, float]
# As Service Quotas writes them.
NAMES = {
    "L-3E927DFC": "Maximum number of device certificates that can be registered per second",
    "L-FC864907": "DescribeCertificate API TPS",
    "L-64CBACAC": "CreateThing API TPS",
    "L-F64D1AA6": "AttachThingPrincipal API TPS",
    "L-CA7D4E3E": "AttachPolicy API TPS",
    "L-77B523DC": "UpdateCertificate API TPS",
    "L-2904683A": "AddThingToThingGroup API TPS",
    "L-B99A9384": "Concurrent executions",
}


@pytest.fixture
def service_quotas(aws: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:  # noqa: ARG001
    """Have Service Quotas know these values: own ones, AWS's defaults, and increases that are being looked at."""

    def answer(
        *, own: Answers, default: Answers, pending: Answers, names: Mapping[str, str] = MappingProxyType(NAMES)
    ) -> None:
        call: Any = vars(BaseClient)["_make_api_call"]

        def answered(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
            known = {"ListServiceQuotas": own, "ListAWSDefaultServiceQuotas": default}.get(operation)
            if operation == "ListRequestedServiceQuotaChangeHistory":
                return {
                    "RequestedQuotas": [
                        {"QuotaCode": code, "Status": "PENDING", "DesiredValue": value}
                        for code, value in pending.items()
                    ]
                }
            if known is None:
                return call(client, operation, parameters)
            assert parameters["ServiceCode"] in ("iotcore", "lambda")
            if not default:
                said = {"Error": {"Code": "NoSuchResourceException", "Message": "no such service"}}
                raise ClientError(said, operation)  # type: ignore[arg-type]
            return {"Quotas": [{"QuotaCode": c, "QuotaName": names.get(c, c), "Value": v} for c, v in known.items()]}

        monkeypatch.setattr(BaseClient, "_make_api_call", answered)

    return answer


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What is said of the stage dev/eu-central-1, by quota code."""

    def run(path: Path, code: int) -> Any:
        assert main(["fleet", "quotas", "--fleet", str(path), "--account", "dev", "--json"]) == code
        (stage,) = json.loads(capsys.readouterr().out)["stages"]
        return {one["code"]: one for one in stage["quotas"]}

    return run


DEFAULTS: Answers = {bound.code: bound.default for bound in BOUNDS}


def test_awss_defaults_are_enough_for_ten_a_second(
    service_quotas: Callable[..., None], fleet_file: Path, told: Callable[..., Any]
) -> None:
    service_quotas(own={}, default=DEFAULTS, pending={})

    said = told(fleet_file, 0)

    assert set(said) == {bound.code for bound in BOUNDS} | {CONCURRENCY, "L-E72BB356"}
    assert (said[DESCRIBE]["per_second"], said[DESCRIBE]["needed"], said[DESCRIBE]["known"]) == (10, 10, True)
    assert {one["increase_to"] for one in said.values()} == {None}


def test_a_quota_is_known_by_its_name_whatever_its_code(
    service_quotas: Callable[..., None], fast: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the code says here may be out of date; what is asked for goes by Service Quotas' own."""
    renamed = {"L-NEW": 12.0, DESCRIBE: 500.0}
    names = {"L-NEW": NAMES[DESCRIBE], DESCRIBE: "DescribeSomethingElse API TPS"}
    service_quotas(own={}, default=renamed, pending={"L-NEW": 20.0}, names=names)

    assert main(["fleet", "quotas", "--fleet", str(fast), "--account", "dev", "--json"]) == 1
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    (said,) = (one for one in stage["quotas"] if one["quota"] == "DescribeCertificate")
    assert (said["code"], said["per_second"], said["known"], said["asked_for"]) == ("L-NEW", 12, True, 20)
    assert main(["fleet", "quotas", "--fleet", str(fast), "--account", "dev"]) == 1
    assert "--quota-code L-NEW --desired-value 65" in capsys.readouterr().out


def test_a_quota_whose_name_is_written_otherwise_is_known_by_its_code(
    service_quotas: Callable[..., None], fast: Path, told: Callable[..., Any]
) -> None:
    names = {**NAMES, DESCRIBE: "Rate of DescribeCertificate API requests"}
    service_quotas(own={DESCRIBE: 60.0}, default=DEFAULTS, pending={}, names=names)

    said = told(fast, 1)

    assert (said[DESCRIBE]["per_second"], said[DESCRIBE]["known"]) == (60, True)


@pytest.fixture
def fast(write_fleet: Callable[..., Path]) -> Path:
    return write_fleet("[account.dev]", "[account.dev]\nactivations_per_second = 50")


def test_an_accounts_own_quota_comes_before_the_default_and_what_is_too_little_is_asked_for(
    service_quotas: Callable[..., None], fast: Path, told: Callable[..., Any]
) -> None:
    service_quotas(own={DESCRIBE: 60.0}, default=DEFAULTS, pending={})

    said = told(fast, 1)

    assert (said[DESCRIBE]["per_second"], said[DESCRIBE]["increase_to"]) == (60, None)
    assert (said[UPDATE]["per_second"], said[UPDATE]["increase_to"]) == (10, 65)
    assert said[ATTACH_POLICY]["increase_to"] == 65


def test_the_local_aws_has_no_quotas_and_is_not_asked() -> None:
    local: Any = SimpleNamespace(access=SimpleNamespace(elsewhere="http://127.0.0.1:4566"))
    with pytest.raises(Refused, match="is not AWS, and has no quotas"):
        read_quotas(local)


def test_each_group_takes_a_call_more(
    service_quotas: Callable[..., None], write_fleet: Callable[..., Path], told: Callable[..., Any]
) -> None:
    service_quotas(own={}, default=DEFAULTS, pending={})
    path = write_fleet('thing_type  = "sensor"', 'thing_groups = ["a", "b", "c"]')

    assert told(path, 0)["L-2904683A"]["needed"] == 30


def test_where_service_quotas_knows_nothing_the_default_stands_and_is_marked(
    service_quotas: Callable[..., None], fleet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service_quotas(own={}, default={}, pending={})

    assert main(["fleet", "quotas", "--fleet", str(fleet_file), "--account", "dev"]) == 0
    shown = capsys.readouterr()
    assert "10*" in shown.out
    assert "AWS's default" in shown.err


def test_people_get_the_command_that_asks_unless_enough_was_asked_for_already(
    service_quotas: Callable[..., None], fast: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service_quotas(own={}, default=DEFAULTS, pending={DESCRIBE: 95.0, UPDATE: 20.0})

    assert main(["fleet", "quotas", "--fleet", str(fast), "--account", "dev"]) == 1
    shown = capsys.readouterr().out
    assert f"--quota-code {UPDATE} --desired-value 65 --region eu-central-1" in shown
    assert f"--quota-code {DESCRIBE}" not in shown
    assert "95" in shown.split(), "what is being looked at"


def test_a_quota_that_may_not_be_read_fails_its_stage_and_names_the_action(
    aws: None,  # noqa: ARG001 -- which it needs first
    monkeypatch: pytest.MonkeyPatch,
    fleet_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call: Any = vars(BaseClient)["_make_api_call"]

    def denied(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if "Quota" not in operation:
            return call(client, operation, parameters)
        said = {"Error": {"Code": "AccessDeniedException", "Message": f"not authorized: servicequotas:{operation}"}}
        raise ClientError(said, operation)  # type: ignore[arg-type]

    monkeypatch.setattr(BaseClient, "_make_api_call", denied)

    assert main(["fleet", "quotas", "--fleet", str(fleet_file), "--account", "dev"]) == 1
    assert "ListAWSDefaultServiceQuotas is not allowed" in capsys.readouterr().err


def test_a_new_accounts_ten_functions_at_once_are_too_few(
    service_quotas: Callable[..., None], fleet_file: Path, told: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A new account may have ten; at ten devices a second `register` alone uses more."""
    service_quotas(own={CONCURRENCY: 10.0}, default={**DEFAULTS, CONCURRENCY: 1000.0}, pending={})

    said = told(fleet_file, 1)[CONCURRENCY]

    assert (said["at_once"], said["needed"], said["increase_to"]) == (10, max_concurrency_for(10) + 4, 1000)
    assert "per_second" not in said
    assert main(["fleet", "quotas", "--fleet", str(fleet_file), "--account", "dev"]) == 1
    assert "--service-code lambda --quota-code L-B99A9384 --desired-value 1000" in capsys.readouterr().out


def test_reads_of_cas_are_counted_for_every_environment_and_minute(
    service_quotas: Callable[..., None], fleet_file: Path, told: Callable[..., Any]
) -> None:
    service_quotas(own={}, default=DEFAULTS, pending={})

    said = told(fleet_file, 0)

    assert said["L-E72BB356"]["needed"] == round(max_concurrency_for(10) / 60, 1)
    assert "L-C481616A" not in said, "no CA has a hook"


def test_a_hook_takes_a_look_up_of_what_a_refused_device_is_attached_to(
    service_quotas: Callable[..., None], write_fleet: Callable[..., Path], told: Callable[..., Any]
) -> None:
    service_quotas(own={}, default=DEFAULTS, pending={})
    hook = 'hook = "arn:{partition}:lambda:{region}:{account}:function:ask"'
    path = write_fleet('thing_type  = "sensor"', f'thing_type  = "sensor"\n{hook}')

    assert told(path, 0)["L-C481616A"]["needed"] == 10


def test_a_pace_far_below_what_the_quotas_allow_is_named(
    service_quotas: Callable[..., None], fleet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = {"L-3E927DFC": 20.0, DESCRIBE: 20.0, "L-77B523DC": 20.0, "L-CA7D4E3E": 20.0}
    for own, is_named in ((far, True), (far | {DESCRIBE: 19.0}, False)):
        service_quotas(own=own, default=DEFAULTS, pending={})
        main(["fleet", "quotas", "--fleet", str(fleet_file), "--account", "dev"])
        assert ("far below the 20 that the quotas allow" in capsys.readouterr().out) is is_named
