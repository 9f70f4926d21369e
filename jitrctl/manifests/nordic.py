"""Reads Nordic's onboarding CSV of nRF Cloud.

Five columns without a heading, one row for each device: device id, sub-type, tags, firmware types (both lists with
`|`), certificate in PEM. `device_credentials_installer` and `create_device_credentials` write it.

Source: github.com/nRFCloud/utils@7acbfb5, src/nrfcloud_utils/cli_helpers.py `save_onboarding_csv`;
https://api.nrfcloud.com/v1/#operation/ProvisionDevices.

Its CSV of attestation tokens has no certificates, and is no list.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from jitrctl.manifests.certificates import first_in, row_of
from jitrctl.manifests.records import CsvLayout
from jitrctl.manifests.rows import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitrctl.manifests.records import Record
    from jitrctl.manifests.rows import Item

COLUMNS = (5, 6)  # the sixth is the problem of an earlier import
_CERTIFICATE = 4


def is_row(cells: Sequence[str]) -> bool:
    return len(cells) in COLUMNS and cells[_CERTIFICATE].lstrip().startswith("-----BEGIN CERTIFICATE")


def read(first: Record, records: Iterator[Record], file: str) -> Iterator[Item]:
    """All rows; a device's name is its device id. A sixth column, an earlier import's problem, is not read."""
    layout = CsvLayout()
    for record in chain((first,), records):
        origin = type(record)(line=record.line, cells=record.cells[: COLUMNS[0]]).origin(file, layout)
        if len(record.cells) not in COLUMNS:
            yield origin.refuse(f"has {len(record.cells)} cells, and an onboarding row of nRF Cloud has {COLUMNS[0]}")
            continue
        try:
            yield row_of(origin, first_in(record.cells[_CERTIFICATE]), name=record.cells[0].strip())
        except BadRow as error:
            yield origin.refuse(str(error))
