"""Decides where an account's calls go: to AWS, unless the fleet file or the profile sets another endpoint.

A shell that still exports the local AWS's AWS_ENDPOINT_URL would send a real fleet's orders to the local AWS. A shell
that does not would send a local fleet's orders to the real accounts of the same ids. So:

    fleet.toml says endpoint_url    there, whatever the profile and the environment say
    the profile says endpoint_url   there, unless the environment says another
    the environment says one        only if it is AWS's own, such as a VPC endpoint's; else it is refused
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jitrctl.errors import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr_fleet.model import Account

_VARIABLE = "AWS_ENDPOINT_URL"
# The suffixes of AWS's own endpoints, in botocore's endpoints.json: classic and dual-stack, of each partition.
_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_aws(url: str) -> bool:
    """Whether a URL is one of AWS's own endpoints."""
    parts = urlsplit(url)
    return parts.scheme == "https" and (parts.hostname or "").endswith(_AWS)


def is_loopback(url: str) -> bool:
    """Whether a URL is on this machine."""
    host = urlsplit(url).hostname or ""
    return host in _LOOPBACK or host.endswith(".localhost")


def refuse_stray(account: Account, in_profile: str | None, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse an endpoint that only the shell sets; `in_profile` is the profile's endpoint_url.

    Raises Unusable.
    """
    if account.endpoint_url or environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return
    for variable, url in sorted(environ.items()):
        if not variable.startswith(_VARIABLE) or not url or url == in_profile:
            continue
        if in_profile:
            raise Unusable(
                f"{variable} in this shell is {url}, and the profile of account {account.name} says {in_profile}: "
                f"unset {variable}"
            )
        if not is_aws(url):
            raise Unusable(
                f"{variable} in this shell is {url}, which is not AWS, and neither the fleet file nor the profile of "
                f"account {account.name} says so: unset {variable}, or write endpoint_url into "
                f"[account.{account.name}] if that is where the account is"
            )
