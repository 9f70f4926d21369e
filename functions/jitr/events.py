"""Reads and writes AWS IoT's registration event, and unwraps its envelopes.

AWS IoT publishes it on `$aws/events/certificates/registered/<caCertificateId>` when it registers an unknown device
certificate, and again on every CONNECT of that certificate while it is PENDING_ACTIVATION
(developer guide, "Just-in-time registration"). An event is a hint, never evidence: any principal with `iot:Publish` on
`$aws/rules/<rule>/…` can send any payload through a rule. So only the two ids are required, well-formed. The other
fields are only compared with what DescribeCertificate says.
"""

import base64
import binascii
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from jitr.errors import UnreadableEvent
from jitr.frozen import value

CERTIFICATE_ID = re.compile(r"[0-9a-f]{64}")  # in lower case, as everywhere in jitr
# The CA id in the sweep's event about a certificate whose CA is unknown. Earlier versions refuse an event without two
# well-formed ids. It is read as no id.
NO_CA_CERTIFICATE = "0" * 64
# An earlier version, after a rollback, sends a held import with the id of its source, and refuses that itself; with a
# later version it can be redriven from the dead-letter queue.
_SOURCE = "registered."
_LONGEST_TEXT = 64
_MILLISECONDS = re.compile(r"[0-9]{1,15}")
# No device connects again earlier. Later, there is a decision, or the registration's event was lost.
_EARLY_REPEAT = (timedelta(seconds=0.5), timedelta(seconds=15))


@value
class RegistrationEvent:
    """One registration event; ids are in lower case, all other fields may be missing."""

    certificate_id: str
    ca_certificate_id: str | None  # None: unknown to the sweep, which sent it (NO_CA_CERTIFICATE)
    account_id: str | None = None
    certificate_status: str | None = None
    published_at: datetime | None = None
    registered_at: datetime | None = None  # null on the event of the registering CONNECT, set on repeats

    @property
    def is_early_repeat(self) -> bool:
        """Whether the device connected again while the first event of its registration is still in flight.

        False without times, or with equal times: then this may be the first event itself.
        """
        if self.published_at is None or self.registered_at is None:
            return False
        return _EARLY_REPEAT[0] <= self.published_at - self.registered_at <= _EARLY_REPEAT[1]

    @classmethod
    def parse(cls, document: object) -> Self:
        """Read an event from its JSON text, or from the object that text holds.

        A message of a rule's error action is unwrapped: it has the event in `base64OriginalPayload`. Timestamps are
        epoch milliseconds, as numbers or strings; AWS sends both. Unknown keys are ignored.

        Raises UnreadableEvent with the reason: not a JSON object, or an id is missing or not 64 hex digits.
        """
        fields = _object(document)
        if "base64OriginalPayload" in fields:
            fields = _object(_original_payload(fields["base64OriginalPayload"]))
        if str(fields.get("caCertificateId")).startswith(_SOURCE):
            fields = fields | {"caCertificateId": NO_CA_CERTIFICATE}
        certificate_id, ca_certificate_id = _id(fields, "certificateId"), _id(fields, "caCertificateId")
        return cls(
            certificate_id=certificate_id,
            ca_certificate_id=None if ca_certificate_id == NO_CA_CERTIFICATE else ca_certificate_id,
            account_id=_text(fields.get("awsAccountId")),
            certificate_status=_text(fields.get("certificateStatus")),
            published_at=_moment(fields.get("timestamp")),
            registered_at=_moment(fields.get("certificateRegistrationTimestamp")),
        )


def is_certificate_id(text: str | None) -> bool:
    """Whether this is a certificate's id; the name of a source (rules.source_id) is none."""
    return text is not None and CERTIFICATE_ID.fullmatch(text) is not None


def event_document(
    *,
    certificate_id: str,
    ca_certificate_id: str | None,
    account_id: str | None,
    published_at: datetime | None,
    registered_at: datetime | None,
) -> dict[str, Any]:
    """An event in AWS IoT's form: `timestamp` is a number, the registration's timestamp a string or null."""
    return {
        "certificateId": certificate_id,
        "caCertificateId": ca_certificate_id if is_certificate_id(ca_certificate_id) else NO_CA_CERTIFICATE,
        "timestamp": _milliseconds(published_at),
        "certificateStatus": "PENDING_ACTIVATION",
        "awsAccountId": account_id,
        "certificateRegistrationTimestamp": None if registered_at is None else str(_milliseconds(registered_at)),
    }


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _object(document: object) -> dict[str, Any]:
    if isinstance(document, (str, bytes)):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise UnreadableEvent(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableEvent(f"a JSON {type(document).__name__}, not the event's object")
    return document


def _original_payload(encoded: object) -> bytes:
    try:
        return base64.b64decode(str(encoded), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableEvent(f"base64OriginalPayload is not base64: {error}") from error


def _id(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if value is None:
        raise UnreadableEvent(f"{key} is missing")
    if not isinstance(value, str) or not CERTIFICATE_ID.fullmatch(value.lower()):
        raise UnreadableEvent(f"{key} is not 64 hexadecimal digits")
    return value.lower()


def _text(value: object) -> str | None:
    """The value if it is a short ASCII string, else None; it is not trusted, only compared and logged."""
    return value if isinstance(value, str) and value.isascii() and len(value) <= _LONGEST_TEXT else None


def _moment(value: object) -> datetime | None:
    """A time from epoch milliseconds; None for anything else, which is allowed, since no decision rests on it."""
    if not _MILLISECONDS.fullmatch(str(value)):
        return None
    try:
        return datetime.fromtimestamp(int(str(value)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
