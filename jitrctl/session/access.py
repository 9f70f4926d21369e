"""Opens one account in one Region, with an AWS profile or a role to assume, and checks that it is that account.

Opening changes nothing, so a command that opens every account first has changed none when one is wrong.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jitr_fleet.model import Account
from jitrctl.errors import AccessError, WrongAccount
from jitrctl.session.aws_errors import explain, wants_another_code
from jitrctl.session.endpoints import is_aws, is_loopback, refuse_stray
from jitrctl.session.profiles import ask_again, find_credentials, session_of
from jitrctl.session.tls_cache import with_trust_read_once

if TYPE_CHECKING:
    from collections.abc import Mapping

    import botocore.session

# Longer timeouts than in the functions, and five attempts against throttling: an operator waits.
_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5})
_SESSION_NAME = "jitrctl"  # in CloudTrail, behind the role's name

_making = threading.Lock()  # of sessions and clients: botocore's sessions are for one thread at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An opened account and Region; made by `open_access`."""

    account: Account
    region: str
    session: botocore.session.Session  # may be shared with other stages
    keys: Mapping[str, Any]  # credentials for `create_client`; empty: the session's own
    caller: str  # the caller's ARN
    elsewhere: str | None  # the endpoint, when it is not AWS

    def client(self, service: str, config: Config | None = None) -> Any:
        """Make a client (20 ms: keep it). `config` is merged over the common configuration."""
        with _making:
            return _client(self.session, service, self.account, self.region, self.keys, config)


def open_access(account: Account, region: str, home: str | None = None) -> Access:
    """Open an account in a Region with the credentials that the fleet file names, and check whose they are.

    `home` is the Region in which a profile's roles are assumed when the profile has none, the same for all accounts of
    the profile; None is the account's first. When AWS refuses an MFA code, another is asked for, until `profiles` gives
    up.

    Raises AccessError when the credentials do not work; WrongAccount when they are another account's; Unusable when
    only the shell sets an endpoint that is not AWS.
    """
    try:
        access, owner = _open(account, region, home or account.regions[0])
    except (BotoCoreError, ClientError) as error:
        raise AccessError(
            f"account {account.name} cannot be opened with {_means(account, region)}: {explain(error)}"
        ) from error
    if owner != account.id:
        raise WrongAccount(
            f"{_means(account, region)} is account {owner}, and the fleet file says that {account.name} is "
            f"{account.id}: correct the profile or the fleet file"
        )
    return access


def unknown_account(name: str, profile: str | None, region: str) -> Account:
    """The account of a profile, which no fleet file has; None: the environment's credentials.

    Raises AccessError when the credentials do not work; Unusable when only the shell sets an endpoint that is not AWS.
    """
    account = Account(
        name=name,
        id="",
        regions=(region,),
        profile=profile,
        role_arn=None,
        endpoint_url=None,
        activations_per_second=10,
        kms_key=None,
        snap_start=None,
        cas=(),
    )
    try:
        _, owner = _open(account, region, region)
    except (BotoCoreError, ClientError) as error:
        raise AccessError(f"{_means(account, region)} cannot be opened: {explain(error)}") from error
    return replace(account, id=owner)


def _open(account: Account, region: str, home: str) -> tuple[Access, str]:
    """The opened account, and its id as AWS says.

    Raises botocore's errors; AccessError when an MFA code is needed and not given; Unusable as `refuse_stray` does.
    """
    with _making:
        session, elsewhere = _session(account, region, home)
    keys: Mapping[str, Any] = {}
    if _is_local(account, region):
        keys = {"aws_access_key_id": account.id, "aws_secret_access_key": "test"}
    else:
        try:
            find_credentials(session)  # `create_client` would do so too, but under the lock
        except (BotoCoreError, ClientError) as error:
            if not wants_another_code(error):
                raise
            with _making:
                ask_again(session)
            return _open(account, region, home)
        if account.role_arn:
            keys = _assume_role(session, account, region)
    with _making:
        sts = _client(session, "sts", account, region, keys)
    identity = sts.get_caller_identity()
    access = Access(
        account=account, region=region, session=session, keys=keys, caller=identity["Arn"], elsewhere=elsewhere
    )
    return access, identity["Account"]


def _session(account: Account, region: str, home: str) -> tuple[botocore.session.Session, str | None]:
    """A session, and its endpoint when it is not AWS."""
    # A local emulator needs no profile, so the profile need not exist.
    session = session_of(None if _is_local(account, region) else account.profile, home)
    in_profile = session.get_scoped_config().get("endpoint_url")
    refuse_stray(account, in_profile)
    endpoint_url = account.endpoint_in(region) or in_profile
    return session, endpoint_url if endpoint_url and not is_aws(endpoint_url) else None


def _client(
    session: botocore.session.Session,
    service: str,
    account: Account,
    region: str,
    keys: Mapping[str, Any],
    config: Config | None = None,
) -> Any:
    merged = _CONFIG.merge(config) if config else _CONFIG
    client = session.create_client(
        service, region_name=region, endpoint_url=account.endpoint_in(region), config=merged, **keys
    )
    return with_trust_read_once(client)


def _assume_role(session: botocore.session.Session, account: Account, region: str) -> Mapping[str, Any]:
    """The credentials of the account's role, valid for an hour."""
    with _making:
        sts = _client(session, "sts", account, region, {})
    given = sts.assume_role(RoleArn=account.role_arn, RoleSessionName=_SESSION_NAME)["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def _is_local(account: Account, region: str) -> bool:
    url = account.endpoint_in(region)
    return url is not None and is_loopback(url)


def _means(account: Account, region: str) -> str:
    """The credentials, in words."""
    if _is_local(account, region):
        return f"the endpoint {account.endpoint_in(region)}"
    profile = account.profile or os.environ.get("AWS_PROFILE")
    means = f"profile {profile}" if profile else "the environment's credentials"
    return f"role {account.role_arn} through {means}" if account.role_arn else means
