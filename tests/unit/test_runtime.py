"""The check of the runtime's boto3: every parameter that the source uses, and what an old copy leads to."""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore
import botocore.session
import pytest
from botocore import xform_name

from jitr.aws import runtime
from jitr.errors import Misconfigured

SOURCE = Path(runtime.__file__).parents[1]
SESSION = botocore.session.get_session()
OPERATIONS = {
    xform_name(name): (service, name)
    for service in runtime.PARAMETERS
    for name in SESSION.get_service_model(service).operation_names
}


# What the source calls its clients; `_iot` is ours.
CLIENTS = ("client", "clients[region]", "cloudwatch", "dynamodb", "events", "s3()", "sqs")


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Every call of a client in the source: service, operation, the parameters that are named."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value).rpartition(".")[2]
            if node.func.attr in OPERATIONS and owner.lstrip("_") in CLIENTS:
                yield *OPERATIONS[node.func.attr], {one.arg for one in node.keywords if one.arg}


def client(service: Any) -> Any:
    return boto3.client(service, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")


def test_every_parameter_of_every_call_in_the_source_is_checked() -> None:
    used = [one for one in calls() if (one[0], one[1]) != ("dynamodb", "Scan")]  # the enrollment list's, of jitrctl
    assert len({operation for _, operation, _ in used}) > 15
    assert {service for service, _, _ in used} == runtime.PARAMETERS.keys()
    for service, operation, parameters in used:
        assert parameters <= set(runtime.PARAMETERS[service].get(operation, ())), operation


def test_this_boto3_knows_them_all_and_its_version_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        runtime.check(logging.getLogger(), *(client(service) for service in runtime.PARAMETERS))
    (logged,) = (record for record in caplog.records if record.message == "runtime")
    assert (vars(logged)["boto3"], vars(logged)["botocore"]) == (boto3.__version__, botocore.__version__)


@pytest.mark.parametrize(
    ("operation", "gone"), [("AttachThingPrincipal", "thingPrincipalType"), ("AttachPolicy", None)]
)
def test_a_boto3_that_lacks_one_is_refused_with_its_version(
    monkeypatch: pytest.MonkeyPatch, operation: str, gone: str | None
) -> None:
    iot = client("iot")
    model = iot.meta.service_model
    if gone:
        del model.operation_model(operation).input_shape.members[gone]
    else:
        monkeypatch.setitem(vars(model), "operation_names", [one for one in model.operation_names if one != operation])
    with pytest.raises(
        Misconfigured, match=rf"botocore {botocore.__version__} does not know {operation} with {gone or ''}"
    ):
        runtime.check(logging.getLogger(), iot)
