"""Reads `endpoint_url` of an account: one URL for all of its Regions, or a table with one for each.

A real emulator is one address. The local AWS of `jitrctl local` is one process for each account and Region, so an
account with two Regions has two.
"""

from jitr_fleet.names import region
from jitr_fleet.problems import KeyPosition
from jitr_fleet.values import url


def endpoint_urls(value: object, place: KeyPosition) -> str | dict[str, str] | None:
    """Read a URL, or a table of Regions and URLs; that the Regions are the account's, checks.py sees to."""
    if not isinstance(value, dict):
        return url(value, place)
    urls = {}
    for name, written in value.items():
        here = place.at(name)
        where, read = region(name, here), url(written, here)
        if where and read:
            urls[where] = read
    return urls if len(urls) == len(value) else None
