"""Clients that are made once for the process; the account behind them changes with each world.

Making a client takes longer than ten calls, and a warm environment keeps its clients too.
"""

from dataclasses import dataclass
from typing import Any, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from simulation import Account, Aws, Call, Clock
from simulation.aws import DEFAULT_CONFIG, ServiceName
from simulation.place import Place
from simulation.wire import attach


class _Fast:
    """In place of botocore's user agent, which takes a fifth of a call."""

    def to_string(self) -> str:
        return "simulated"

    def with_client_config(self, _config: object) -> "_Fast":
        return self


_session = boto3.Session(aws_access_key_id="simulated", aws_secret_access_key="simulated")
# That our parameters fit the service model is what the failure matrix and the contract tests see.
_SPARED = Config(signature_version=UNSIGNED, parameter_validation=False)


@dataclass(slots=True)
class _Line:
    """Where a shared client's calls end."""

    account: "WarmAccount | None" = None
    caller: str = ""

    def sleep(self, seconds: float) -> None:
        assert self.account
        self.account.aws.clock.sleep(seconds)


class WarmAccount(Account):
    """An account whose clients are shared by all worlds of the process; a client takes longer than ten calls."""

    _lines: dict[tuple[str, str, str, Config], tuple[Any, _Line]] = {}  # noqa: RUF012 -- for the process

    def client(self, service: ServiceName, *, caller: str = "", config: Config = DEFAULT_CONFIG) -> Any:
        key = self.id, service, caller, config
        if key not in self._lines:
            self._lines[key] = self._connected(service, caller, config)
        client, line = self._lines[key]
        line.account = self
        return client

    def _connected(self, service: ServiceName, caller: str, config: Config) -> tuple[Any, _Line]:
        client: Any = _session.client(service, region_name=self.region, config=config.merge(_SPARED))
        client._user_agent_creator = _Fast()
        read_timeout: float = client.meta.config.read_timeout
        line = _Line()

        def serve(operation: str, params: dict[str, Any], attempt: int, invocation: str) -> dict[str, Any]:
            account = line.account
            assert account
            call = Call(
                account_id=account.id,
                region=account.region,
                caller=caller,
                service=service,
                operation=operation,
                parameters=params,
                at=account.aws.clock.now(),
                attempt=attempt,
                invocation=invocation,
            )
            return account._serve(call, read_timeout)

        attach(client, cast("Clock", line), serve)
        return client, line


class WarmAws(Aws):
    """A world of WarmAccounts."""

    def account(self, account_id: str, region: str = "eu-central-1") -> Account:
        key = account_id, region
        if key not in self._accounts:
            place = Place(account_id, region, self.clock, self.undocumented, self._default_cas.setdefault(region, {}))
            self._accounts[key] = WarmAccount(self, place)
        return self._accounts[key]
