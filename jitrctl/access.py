"""Getting at one account in one Region: ordinary AWS profiles, and roles to assume, checked to be that account's.

Nothing here changes anything, so whoever opens every account first has changed none when one is wrong.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader

from jitrctl.endpoints import is_aws, is_loopback, refuse_stray
from jitrctl.errors import AccessError, WrongAccount
from jitrctl.explaining import explain, name_the_action

if TYPE_CHECKING:
    from fleet.model import Account

# A person waits: longer than in the functions before giving up on a call, and five attempts against throttling.
_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5})
_SESSION_NAME = "jitrctl"  # in CloudTrail, behind the role's name

# API models are read once for the process; a session of its own for each stage is what botocore asks of threads.
_loader = Loader()
_making = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An open way into one account and Region; made by `open_access`."""

    account: Account
    session: boto3.Session
    caller: str  # the caller's ARN
    elsewhere: str | None  # where calls go, when that is not AWS

    def client(self, service: str, config: Config | None = None) -> Any:
        """A new client, 20 ms; keep it. `config` goes over what all of them have."""
        with _making:
            return _client(self.session, service, self.account, config)


def open_access(account: Account, region: str) -> Access:
    """Open an account in a Region with the credentials that the fleet file names, and ask AWS whose they are.

    Raises AccessError when there are none that work; WrongAccount when they are another account's; Unusable when only
    the shell says that calls go elsewhere than to AWS.
    """
    try:
        with _making:
            session, elsewhere = _session(account, region)
        if account.role_arn and not _is_local(account):
            session = _assumed(session, account, region)
        with _making:
            sts = _client(session, "sts", account, None)
        identity = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise AccessError(
            f"account {account.name} cannot be opened with {_means(account)}: {explain(error)}"
        ) from error
    if identity["Account"] != account.id:
        raise WrongAccount(
            f"{_means(account)} is account {identity['Account']}, and the fleet file says that {account.name} is "
            f"{account.id}: correct the profile or the fleet file"
        )
    return Access(account=account, session=session, caller=identity["Arn"], elsewhere=elsewhere)


def _session(account: Account, region: str) -> tuple[boto3.Session, str | None]:
    """A session, and its endpoint when that is not AWS."""
    core = _core(account)
    in_profile = core.get_scoped_config().get("endpoint_url")
    refuse_stray(account, in_profile)
    if _is_local(account):
        core.set_credentials(account.id, "test")
    endpoint_url = account.endpoint_url or in_profile
    session = boto3.Session(botocore_session=core, region_name=region)
    return session, endpoint_url if endpoint_url and not is_aws(endpoint_url) else None


def _core(account: Account) -> botocore.session.Session:
    # A local emulator has no use for a profile, and its owner need not have one of that name.
    core = botocore.session.Session(profile=None if _is_local(account) else account.profile)
    core.register_component("data_loader", _loader)
    core.register("after-call", name_the_action)
    return core


def _client(session: boto3.Session, service: str, account: Account, config: Config | None) -> Any:
    merged = _CONFIG.merge(config) if config else _CONFIG
    return session.client(service, endpoint_url=account.endpoint_url, config=merged)  # type: ignore[call-overload]


def _assumed(session: boto3.Session, account: Account, region: str) -> boto3.Session:
    """A session in the account's role, for the hour that such credentials last."""
    with _making:
        sts = _client(session, "sts", account, None)
    given = sts.assume_role(RoleArn=account.role_arn, RoleSessionName=_SESSION_NAME)["Credentials"]
    with _making:
        core = _core(account)
        core.set_credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        return boto3.Session(botocore_session=core, region_name=region)


def _is_local(account: Account) -> bool:
    return account.endpoint_url is not None and is_loopback(account.endpoint_url)


def _means(account: Account) -> str:
    """The credentials, in words."""
    if _is_local(account):
        return f"the endpoint {account.endpoint_url}"
    profile = account.profile or os.environ.get("AWS_PROFILE")
    means = f"profile {profile}" if profile else "the environment's credentials"
    return f"role {account.role_arn} through {means}" if account.role_arn else means
