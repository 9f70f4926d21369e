"""Getting at the fleet's accounts: ordinary AWS profiles, checked to be the accounts that fleet.toml says they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from fleet.model import Account, Fleet


class AccessError(Exception):
    """An account of the fleet cannot be worked on; the text says what to do."""


def find(fleet: Fleet, account_name: str | None, region: str | None) -> tuple[Account, str]:
    """One account and Region of the fleet; either may be left out where there is only one.

    Raises AccessError.
    """
    names = [account.name for account in fleet.accounts]
    if account_name is None and len(names) > 1:
        raise AccessError(f"the fleet has accounts {', '.join(names)}: say which one with --account")
    account = next((account for account in fleet.accounts if account_name in (None, account.name)), None)
    if account is None:
        raise AccessError(f"the fleet has no account {account_name}: it has {', '.join(names)}")
    if region is None and len(account.regions) > 1:
        raise AccessError(f"account {account.name} has Regions {', '.join(account.regions)}: say which with --region")
    if region is not None and region not in account.regions:
        raise AccessError(f"account {account.name} has no stage in {region}: it has {', '.join(account.regions)}")
    return account, region or account.regions[0]


def session(account: Account, region: str) -> boto3.Session:
    """A session in the account and Region, through the account's profile (or the environment, if it has none).

    Raises AccessError when there are no usable credentials, or they belong to another account.
    """
    try:
        opened = boto3.Session(profile_name=account.profile, region_name=region)
        is_account = opened.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        through = f"profile {account.profile}" if account.profile else "the environment's credentials"
        raise AccessError(f"account {account.name} cannot be reached through {through}: {error}") from error
    if is_account != account.id:
        raise AccessError(
            f"profile {account.profile} is account {is_account}, fleet.toml says that {account.name} is {account.id}: "
            "nothing was done; correct the profile or the fleet file"
        )
    return opened
