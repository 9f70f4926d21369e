"""Makes certificates of the rows of a list, for their registration: a row that has none is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from jitrctl.device.list_rows import RowList, collect_rows, in_words, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jitrctl.device.list_rows import Place
    from jitrctl.manifests.rows import Item, Refusal, Row

MOST_CERTIFICATES = 200_000  # in one import: they are in memory, some 1 KB each
# Columns of jitr's own list that say nothing else than which certificate it is.
_OF_THE_CERTIFICATE = frozenset({"certificate", "certificate_id", "note", "problem"})


@dataclass(slots=True, kw_only=True)
class CertificateList(RowList):
    """The certificates of a list, in its order: by id, DER."""

    certificates: dict[str, bytes] = field(default_factory=dict)


def read_certificates(
    items: Iterable[Item],
    *,
    name: str,
    refuse: Callable[[Refusal], None],
    progress: Callable[[int], None],
    not_imported: Mapping[str, str] = MappingProxyType({}),
) -> CertificateList:
    """The certificates of all rows; the parameters are those of `collect_rows`.

    `not_imported` are those that the accounts refuse: by certificate id, why. Their rows are refused.

    Raises Unusable when there is no row, or more than MOST_CERTIFICATES; what reading the items raises.
    """
    found = CertificateList()
    places: dict[str, Place] = {}

    def add(row: Row) -> bool:
        """Raises ValueError."""
        if row.certificate is None:
            raise ValueError(
                "gives no certificate, and to register one AWS IoT needs it whole: order the full form of the manifest"
            )
        if given := sorted(column for column, cell in row.cells.items() if cell and column not in _OF_THE_CERTIFICATE):
            raise ValueError(
                f"gives {given[0]}, which is for an enrollment entry: import the list with `jitrctl enrollment import` "
                "too, and take the column out here"
            )
        first = places.setdefault(row.certificate_id, place_of(row.origin))
        if row.certificate_id in found.certificates:
            raise ValueError(f"is the certificate of {in_words(first, row.origin)} again; keep one of them")
        found.certificates[row.certificate_id] = row.certificate
        if why := not_imported.get(row.certificate_id):
            raise ValueError(f"is refused in {why}")
        return True

    collect_rows(items, found, add, name=name, refuse=refuse, progress=progress, most=MOST_CERTIFICATES)
    return found
