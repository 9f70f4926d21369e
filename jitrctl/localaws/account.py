"""One account of the local AWS: its address, and how a program is sent there and nowhere else.

The user's AWS environment and files never apply: child processes get `environ_over`, jitrctl itself uses `session`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import Loader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOOPBACK = "127.0.0.1"
# The user's variables that could send a command elsewhere: AWS_PROFILE, AWS_SESSION_TOKEN, AWS_CA_BUNDLE,
# AWS_ENDPOINT_URL_IOT, … All are removed before the account's are set.
FOREIGN_PREFIXES = ("AWS_", "CDK_")

_loader = Loader()  # API models are read once for the process
_making = threading.Lock()  # botocore's sessions are for one thread at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSpec:
    """What to run: jitrctl's name of the account, its id, its Region, and its AWS profile."""

    name: str
    id: str
    region: str
    profile: str

    @property
    def stage(self) -> str:
        """Account and Region, as the CDK calls the stack."""
        return f"{self.name}/{self.region}"

    @property
    def label(self) -> str:
        """The same, to be part of a file's name."""
        return f"{self.name}-{self.region}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAccount(AccountSpec):
    """An account that runs, or ran when its state was written; made by `jitrctl.localaws.accounts`."""

    gateway_port: int
    mqtt_port: int
    pid: int
    log: Path

    @property
    def directory(self) -> Path:
        """The directory with the state of this account and the others that were started with it."""
        return self.log.parent

    @property
    def endpoint_url(self) -> str:
        """The one address of every AWS service."""
        return f"http://{LOOPBACK}:{self.gateway_port}"

    def environ(self) -> dict[str, str]:
        """The variables that send the AWS CLI, an SDK or the CDK to this account.

        They do not suffice on top of a user's environment: a variable that is left there may win; see `environ_over`.
        """
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            # The access key is the account's id: ministack takes it for that account's root. Two accounts must not
            # share a key, since the CDK CLI remembers which account a key belongs to.
            "AWS_ACCESS_KEY_ID": self.id,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.directory / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "aws-credentials"),
            "CDK_DEFAULT_ACCOUNT": self.id,
            "CDK_DEFAULT_REGION": self.region,
            "CDK_HOME": str(self.directory / "cdk"),
            "NO_PROXY": LOOPBACK,
            "no_proxy": LOOPBACK,
        }

    def environ_over(self, surroundings: Mapping[str, str]) -> dict[str, str]:
        """A child process's environment: the surroundings without AWS_* and CDK_*, and `environ()`."""
        kept = {key: value for key, value in surroundings.items() if not key.startswith(FOREIGN_PREFIXES)}
        return {**kept, **self.environ()}

    def session(self) -> boto3.Session:
        """A session whose clients all go to this account, in its Region unless another is given."""
        files = {
            "profile": self.profile,
            "config_file": str(self.directory / "aws-config"),
            "credentials_file": str(self.directory / "aws-credentials"),
        }
        # Every setting of botocore without its environment variable: AWS_PROFILE, AWS_USE_FIPS_ENDPOINT, …
        settings = {
            name: (in_file, None, files.get(name, default), convert)
            for name, (in_file, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
        }
        core = botocore.session.Session(session_vars=settings)
        core.register_component("data_loader", _loader)
        core.set_credentials(self.id, "test")
        return _LocalSession(botocore_session=core, region_name=self.region, endpoint_url=self.endpoint_url)

    def client(self, service: str) -> Any:
        """The client of one service; made once per process, which takes 0.1 s, and kept."""
        with _making:
            return _client(self, service)


@cache
def _client(account: LocalAccount, service: str) -> Any:
    return account.session().client(service)  # type: ignore[call-overload]


class _LocalSession(boto3.Session):
    """A session that sets the endpoint of every client; a user's AWS_ENDPOINT_URL* and proxies have no effect."""

    def __init__(self, *, endpoint_url: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._endpoint_url = endpoint_url

    def client(self, *args: Any, **kwargs: Any) -> Any:
        direct = Config(proxies={})
        kwargs["config"] = direct.merge(kwargs["config"]) if kwargs.get("config") else direct
        kwargs.setdefault("endpoint_url", self._endpoint_url)
        return super().client(*args, **kwargs)
