"""Finds a certificate that the journal names: by its expected id, else by comparing PEMs.

If AWS knows none of the journal's ids, the account's newest certificates are compared, back to the run's beginning. A
certificate with another PEM is never taken for the run's, whatever its id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitrctl.prove.guard import same_certificate
from jitrctl.prove.journal import ResourceKind
from jitrctl.session.aws_errors import is_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitrctl.prove.journal import Journal, JournalEntry
    from jitrctl.prove.place import ProvePlace

_MARGIN = timedelta(minutes=10)  # clocks differ
_PAGE = 100


@dataclass(kw_only=False, eq=False)
class Finder:
    """Finds certificates in one account and Region; keeps the list that it has read."""

    place: ProvePlace
    journal: Journal
    _seen: dict[ResourceKind, list[tuple[str, str]]] = field(default_factory=dict)

    def find(self, entry: JournalEntry) -> str | None:
        """The id under which AWS has this CA or device certificate; None if it is not registered.

        Raises botocore's errors.
        """
        for certificate_id in sorted(entry.ids):
            pem = self._pem(entry.kind, certificate_id)
            if pem is not None and same_certificate(pem, entry.pem or ""):
                return certificate_id
        if entry.kind not in self._seen:
            self._seen[entry.kind] = list(self._newest(entry.kind))
        return next((one for one, pem in self._seen[entry.kind] if same_certificate(pem, entry.pem or "")), None)

    def _pem(self, kind: ResourceKind, certificate_id: str) -> str | None:
        iot = self.place.iot
        describe = iot.describe_ca_certificate if kind is ResourceKind.CA else iot.describe_certificate
        try:
            return str(describe(certificateId=certificate_id)["certificateDescription"].get("certificatePem"))
        except ClientError as error:
            if is_missing(error):
                return None
            raise

    def _newest(self, kind: ResourceKind) -> Iterator[tuple[str, str]]:
        """The ids and PEMs of certificates registered since the run began, newest first."""
        known = {one for entry in self.journal.entries for one in entry.ids}
        since = self.journal.began - _MARGIN
        for one in self._listed(kind):
            if kind is ResourceKind.CERTIFICATE and _moment(one["creationDate"]) < since:
                return  # CAs are few, and their order is not known
            if one["certificateId"] not in known and (pem := self._pem(kind, one["certificateId"])) is not None:
                yield one["certificateId"], pem

    def _listed(self, kind: ResourceKind) -> Iterator[dict[str, Any]]:
        iot = self.place.iot
        many = iot.list_ca_certificates if kind is ResourceKind.CA else iot.list_certificates
        marker: dict[str, str] = {}
        while True:
            answer = many(pageSize=_PAGE, ascendingOrder=False, **marker)
            yield from answer["certificates"]
            if not answer.get("nextMarker"):
                return
            marker = {"marker": answer["nextMarker"]}


def _moment(found: datetime) -> datetime:
    return found if found.tzinfo else found.replace(tzinfo=UTC)
