"""What a person means by one word on the command line: a certificate's id, its PEM file, or a thing."""

from __future__ import annotations

from pathlib import Path

from jitr.certificates import Certificate
from jitr.errors import Rejected
from jitr.events import CERTIFICATE_ID
from jitr.naming import THING_NAME
from jitrctl.errors import Unusable
from jitrctl.sightings import Known


def known_from(word: str) -> Known:
    """What a search for a certificate or a thing begins with.

    Raises Unusable.
    """
    if CERTIFICATE_ID.fullmatch(word.lower()) or Path(word).exists():
        return Known(certificates=frozenset({certificate_id_of(word)}))
    if THING_NAME.fullmatch(word):
        return Known(things=frozenset({word}))
    raise Unusable(f"{word} is no file, no certificate id (64 hex digits) and no thing name: give one of these")


def certificate_id_of(word: str) -> str:
    """The certificate id that a word means: an id, or a PEM file's.

    Raises Unusable.
    """
    if CERTIFICATE_ID.fullmatch(word.lower()):
        return word.lower()
    try:
        pem = Path(word).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise Unusable(f"{word} is neither a certificate id (64 hex digits) nor a readable file") from error
    try:
        return Certificate.from_pem(pem).fingerprint
    except Rejected as error:
        raise Unusable(f"{word} holds no certificate in PEM form: {error.detail}") from error
