"""The policies for operators with their placeholders filled in, and the calls that are held against them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.client import BaseClient

from jitrctl.localaws.workspace import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

POLICIES = CHECKOUT / "policies" / "operators"
# What jitrctl says of a call that a policy does not allow.
REFUSED = "is not allowed: have it added"
Called = tuple[str, str, dict[str, Any]]  # service, operation, parameters


def policy_document(name: str, account_id: str, region: str, fleet: str = "acme") -> dict[str, Any]:
    """A policy with its placeholders filled in, as docs/operators.md says to."""
    text = (POLICIES / f"{name}.json").read_text(encoding="utf-8")
    values = {"partition": "aws", "region": region, "account": account_id, "fleet": fleet}
    for placeholder, value in values.items():
        text = text.replace(f"<{placeholder}>", value)
    return dict(json.loads(text))


@contextmanager
def record_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Called]]:
    """Record every call of boto3 meanwhile: its service as IAM calls it, its operation and its parameters."""
    calls: list[Called] = []
    call: Any = vars(BaseClient)["_make_api_call"]

    def noted(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        service = client.meta.service_model.signing_name
        calls.append(("cloudwatch" if service == "monitoring" else service, operation, parameters))
        return call(client, operation, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(BaseClient, "_make_api_call", noted)
        yield calls
