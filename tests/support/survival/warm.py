"""Clients that are made once for the process; the account behind them changes with each world.

A warm environment keeps its clients too.
"""

from dataclasses import dataclass
from typing import Any, cast

from botocore.config import Config

from simulation import Aws, Call, Clock, SimulatedAccount
from simulation.aws import DEFAULT_CONFIG
from simulation.clients import ServiceName, new_client
from simulation.place import Place
from simulation.wire import attach

# That our parameters fit the service model is what the failure matrix and the contract tests see.
_SPARED = Config(parameter_validation=False)


@dataclass(slots=True)
class _Line:
    """Where a shared client's calls end."""

    account: "WarmAccount | None" = None
    caller: str = ""

    def sleep(self, seconds: float) -> None:
        assert self.account
        self.account.aws.clock.sleep(seconds)


class WarmAccount(SimulatedAccount):
    """An account whose clients are shared by all worlds of the process."""

    _lines: dict[tuple[str, str, str, Config], tuple[Any, _Line]] = {}  # noqa: RUF012 -- for the process

    def client(self, service: ServiceName, *, caller: str = "", config: Config = DEFAULT_CONFIG) -> Any:
        key = self.id, service, caller, config
        if key not in self._lines:
            self._lines[key] = self._connected(service, caller, config)
        client, line = self._lines[key]
        line.account = self
        return client

    def _connected(self, service: ServiceName, caller: str, config: Config) -> tuple[Any, _Line]:
        client = new_client(service, self.region, config.merge(_SPARED))
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

    def account(self, account_id: str, region: str = "eu-central-1") -> SimulatedAccount:
        key = account_id, region
        if key not in self._accounts:
            place = Place(account_id, region, self.clock, self.undocumented, self._default_cas.setdefault(region, {}))
            self._accounts[key] = WarmAccount(self, place)
        return self._accounts[key]
