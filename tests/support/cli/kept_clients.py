"""jitrctl's clients, made once for the process: a test asks for a dozen, and each takes 6 ms or more.

A command makes its own, since it is a process of its own. Whatever a client is made from is what it is kept by, but for
the credentials of a role, which are new for each command: it is given those that were asked for last.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from jitr_fleet.model import Account
from jitrctl.session import access

_make = access._client
_clients: dict[tuple[Any, ...], Any] = {}


def keep_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have jitrctl take clients that were made before, until the test is over."""
    monkeypatch.setattr(access, "_client", _kept)


def _kept(
    session: Any, service: str, account: Account, region: str, keys: Mapping[str, Any], config: Any = None
) -> Any:
    key = (session, service, account.id, account.endpoint_in(region), region, bool(keys), config)
    if key not in _clients:
        _clients[key] = _make(session, service, account, region, keys, config)
    client = _clients[key]
    if keys:
        signing = client._request_signer._credentials
        signing.access_key, signing.secret_key = keys["aws_access_key_id"], keys["aws_secret_access_key"]
        signing.token = keys.get("aws_session_token")
    return client
