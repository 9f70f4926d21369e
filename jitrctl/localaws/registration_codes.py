"""Has all Regions of an account of the local AWS answer the same registration code, also in the next run.

Loaded by loopback.py into ministack's process, never by jitrctl itself. ministack (1.5.33) makes up a code for each
account and Region, and each Region is a process of its own here. A fleet file names one verification certificate for
all Regions of an account. So the first code follows from the account's id; one that is asked for after
DeleteRegistrationCode is ministack's own.
"""

from __future__ import annotations

import hashlib

from ministack.core.responses import get_account_id, get_region
from ministack.services import iot

_make_up = iot._registration_code  # noqa: SLF001 -- ministack offers no other way in
_given: set[tuple[str, str]] = set()  # the accounts and Regions that have had their first code


def install() -> None:
    """Replace ministack's `_registration_code`."""
    iot._registration_code = _code  # noqa: SLF001 -- as above


def _code() -> str:
    account, region = get_account_id(), get_region()
    if (account, region) not in _given:
        _given.add((account, region))
        iot._registration_codes["code"] = first_code(account)  # noqa: SLF001 -- as above
    return str(_make_up())


def first_code(account_id: str) -> str:
    """64 hex digits, as AWS's codes are."""
    return hashlib.sha256(f"registration code of {account_id} on the local AWS".encode()).hexdigest()
