"""What the stack makes in an account, made in moto itself: through boto3 it took a third of every test's time."""

import copy
from collections.abc import Mapping
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.iot.models import iot_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from jitr.store.outcome_index import LISTED_AS, LISTED_AT, OUTCOME_INDEX
from jitr.store.registry import DUE_INDEX
from jitr.store.serial_index import ISSUED_AS, SERIAL_INDEX
from tests.support.cases.issuing import ACCOUNT, REGION

TABLE = "jitr-acme-registry"
CRLS = f"jitr-acme-crl-{ACCOUNT}-{REGION}"
ENROLLMENT = "jitr-acme-enrollment"
QUEUE = "jitr-acme-registrations"
DEAD_LETTERS = "jitr-acme-dead-letters"
CRL_QUEUE = "jitr-acme-crls"

# The tables that the stack makes, as CreateTable takes them.
REGISTRY: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "due", "AttributeType": "S"},
        {"AttributeName": "due_at", "AttributeType": "N"},
        {"AttributeName": LISTED_AS, "AttributeType": "S"},
        {"AttributeName": LISTED_AT, "AttributeType": "N"},
        {"AttributeName": ISSUED_AS, "AttributeType": "S"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": DUE_INDEX,
            "KeySchema": [
                {"AttributeName": "due", "KeyType": "HASH"},
                {"AttributeName": "due_at", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
        {
            "IndexName": OUTCOME_INDEX,
            "KeySchema": [
                {"AttributeName": LISTED_AS, "KeyType": "HASH"},
                {"AttributeName": LISTED_AT, "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
        {
            "IndexName": SERIAL_INDEX,
            "KeySchema": [{"AttributeName": ISSUED_AS, "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
ENTRIES: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def _create_table(name: str, settings: Mapping[str, Any]) -> None:
    dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].create_table(
        name,
        schema=copy.deepcopy(settings["KeySchema"]),
        throughput=None,
        attr=copy.deepcopy(settings["AttributeDefinitions"]),
        global_indexes=copy.deepcopy(settings.get("GlobalSecondaryIndexes", [])),
        indexes=[],
        streams=None,
        billing_mode=settings["BillingMode"],
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
        warm_throughput=None,
    )


def deploy(ca_pem: str) -> None:
    """Make what the stack makes, and register a CA."""
    for name in (QUEUE, DEAD_LETTERS, CRL_QUEUE):
        sqs_backends[DEFAULT_ACCOUNT_ID][REGION].create_queue(name)
    _create_table(TABLE, REGISTRY)
    _create_table(ENROLLMENT, ENTRIES)
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(CRLS, REGION)
    iot = iot_backends[DEFAULT_ACCOUNT_ID][REGION]
    iot.register_ca_certificate(ca_pem, set_as_active=True, registration_config=None)  # type: ignore[arg-type]  # none
    iot.create_thing_type("sensor", {})
    iot.create_policy("jitr-acme-factory", "{}")  # type: ignore[arg-type]  # which it keeps as text


def url_of(queue: str) -> str:
    return f"https://sqs.{REGION}.amazonaws.com/{DEFAULT_ACCOUNT_ID}/{queue}"
