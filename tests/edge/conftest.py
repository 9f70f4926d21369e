"""Fixtures: one account of moto's, without network or credentials."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.utils import method_names_from_class

from jitr.aws import queues
from jitr.handlers import register
from jitr.rules import Rules
from tests.support.cases.issuing import REGION, factory
from tests.support.cloud import Cloud, Wire
from tests.support.edge.sweeping import Listing

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


@pytest.fixture
def warm(cloud: Cloud, wire: Wire) -> Cloud:
    """An execution environment that has described the CA a moment ago."""
    cloud.aws_iot.describe_ca(factory().certificate_id)
    wire.forget()
    return cloud


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Between how many seconds each message was put off, the greatest of which is then taken."""
    asked: list[tuple[int, int]] = []

    def randint(least: int, most: int) -> int:
        asked.append((least, most))
        return most

    monkeypatch.setattr(queues, "random", SimpleNamespace(randint=randint))
    return asked


@pytest.fixture
def deployed(
    warm: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The handler itself, with its own clients, as Lambda invokes it; nothing is paced, and the time is the tests'."""
    for name, value in replace(warm.settings, activations_per_second=1e9).to_environ().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "rules.json").write_text(warm.rules.to_json())
    load = Rules.load
    monkeypatch.setattr(Rules, "load", lambda: load(tmp_path))
    monkeypatch.setattr(register, "_now", warm.clock)
    register._built.cache_clear()
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
    return lambda event: register.handler(event, context)  # type: ignore[arg-type]


@pytest.fixture
def listing(wire: Wire) -> Listing:
    listing = Listing()
    wire.serve("ListCertificates", listing.answer)
    wire.serve("ListCertificatesByCA", listing.answer)
    wire.serve("GetMetricStatistics", listing.points)
    return listing
