"""Fixtures: one account of moto's, without network or credentials."""

import logging
from collections.abc import Iterator
from functools import cache
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.utils import method_names_from_class

from tests.support.cases.issuing import REGION
from tests.support.cloud import Cloud, Wire

DUMMY = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="session")
def session(wire: Wire) -> boto3.Session:
    """One session for all tests, since it keeps the API models it has read; its credentials are nobody's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in DUMMY.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    wire.listen(session)
    return session


@pytest.fixture(scope="module")
def moto() -> Iterator[None]:
    """moto, begun once: it makes thousands of patterns for requests, which nobody here sends, whenever it begins.

    What a service can do it looks up at each call; here it remembers.
    """
    operations = "moto.core.responses.method_names_from_class"
    with mock_aws(config={"iot": {"use_valid_cert": True}}), patch(operations, cache(method_names_from_class)):
        yield


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, session: boto3.Session, wire: Wire, moto: None) -> Iterator[None]:  # noqa: ARG001
    """No test here reaches AWS, or leaves anything to the next one."""
    for name, value in DUMMY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    wire.reset()
    BackendDict.reset()
    reset_model_data()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)  # which moto has taken away
    yield
    # Loggers are the process's.
    for service in ("register", "sweep"):
        logger = logging.getLogger(service)
        logger.handlers.clear()
        vars(logger).pop("init", None)
        vars(logger).pop("powertools_handler", None)


@pytest.fixture
def cloud(session: boto3.Session, wire: Wire) -> Cloud:
    return Cloud(session, wire)
