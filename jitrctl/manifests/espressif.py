"""Reads Espressif's CSV with PEM.

Two headings are known, each with one row for each device; other columns are not read:

    MAC,cn,cert             modules with pre-provisioned certificates (ESP32, AWS IoT ExpressLink)
    node_id,certs,qrcode    `node_certs.csv` of the ESP RainMaker Admin CLI

Sources: github.com/aws-iot-builder-tools/thingpress@3b5a50f, docs/vendors/espressif.md and
test/artifacts/manifest-espressif.csv; github.com/espressif/esp-rainmaker-admin-cli@b3f30f9, README.md ("common/") and
rmaker_admin_lib/certs.py (the heading).

The CSV of esp_secure_cert_mgr configures one device's flash, private key included; it is no list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.manifests.certificates import first_in, row_of
from jitrctl.manifests.own_list import without_problem
from jitrctl.manifests.records import PROBLEM, CsvLayout
from jitrctl.manifests.rows import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jitrctl.manifests.records import Record
    from jitrctl.manifests.rows import Item

# The column with the certificate → the columns with the device's name, the first that the file has.
_FORMS = {"cert": ("cn", "MAC"), "certs": ("node_id",)}


def is_heading(cells: Sequence[str]) -> bool:
    return bool(_columns(cells))


def read(heading: Record, records: Iterator[Record], file: str) -> Iterator[Item]:
    """The rows below a heading that `is_heading`; a device's name is its `cn` or `node_id`, else its MAC."""
    columns = heading.cells
    of_certificate, of_name = (columns.index(column) for column in _columns(columns))
    layout = CsvLayout(heading=tuple(column for column in columns if column != PROBLEM))
    for record in records:
        origin = without_problem(record, columns).origin(file, layout)
        if len(record.cells) != len(columns):
            yield origin.refuse("has more or fewer cells than the heading")
            continue
        try:
            yield row_of(origin, first_in(record.cells[of_certificate]), name=record.cells[of_name].strip())
        except BadRow as error:
            yield origin.refuse(str(error))


def _columns(cells: Sequence[str]) -> tuple[str, ...]:
    """The columns with the certificate and the name; none for another heading."""
    for certificate, names in _FORMS.items():
        name = next((one for one in names if one in cells), None)
        if certificate in cells and name:
            return certificate, name
    return ()
