"""The `sweep` function, run by EventBridge Scheduler: pending certificates that the queue has forgotten."""

import functools
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from jitr.edge import CLIENT_CONFIG
from jitr.iot import AwsIot
from jitr.messages import SweepQueue
from jitr.pacing import Pacer
from jitr.registry import Registry
from jitr.rules import Rules
from jitr.settings import Settings
from jitr.sweeping import Sweep
from jitr.telemetry import METRICS_NAMESPACE, SWEPT

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# ListCertificatesByCA allows 10 calls/s (Service Quotas L-5A0AFD83); operators' tools need some of them.
_SECONDS_BETWEEN_PAGES = 0.2


def build(environ: Mapping[str, str]) -> tuple[Sweep, Logger, Metrics]:
    """Put the function together from its environment and rules.

    Raises Misconfigured.
    """
    settings = Settings.from_environ(environ)
    logger = Logger(service="sweep")
    metrics = Metrics(namespace=METRICS_NAMESPACE, service="sweep")
    metrics.set_default_dimensions(fleet=settings.fleet)
    sweep = Sweep(
        rules=Rules.load(),
        iot=AwsIot(boto3.client("iot", config=CLIENT_CONFIG), Pacer(_SECONDS_BETWEEN_PAGES), clock=_now),
        registry=Registry(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.registry_table),
        queue=SweepQueue(
            boto3.client("sqs", config=CLIENT_CONFIG), boto3.client("cloudwatch", config=CLIENT_CONFIG), settings
        ),
        clock=_now,
    )
    return sweep, logger, metrics


_built = functools.cache(lambda: build(os.environ))


def handler(_event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry; the event says nothing that matters, the schedule is the message.

    Raises Unavailable, so that the scheduler tries again.
    """
    sweep, logger, metrics = _built()
    swept = asdict(sweep.run())
    logger.info("swept", extra=swept)
    metrics.add_metric(SWEPT, MetricUnit.Count, swept["sent"])
    metrics.flush_metrics()
    return swept


def _now() -> datetime:
    return datetime.now(UTC)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    _built()
