"""What a person means by one word on the command line: a certificate's id, its file, or a thing."""

from __future__ import annotations

from pathlib import Path

from jitr.admission.naming import THING_NAME
from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.certificate_files import read_first
from jitrctl.device.search import Known
from jitrctl.errors import Unusable


def known_from(word: str) -> Known:
    """What a search for a certificate or a thing begins with.

    Raises Unusable.
    """
    if certificate_id_in(word) or Path(word).exists():
        return Known(certificates=frozenset({certificate_id_of(word)}))
    if THING_NAME.fullmatch(word):
        return Known(things=frozenset({word}))
    raise Unusable(f"{word} is no file, no certificate id (64 hex digits) and no thing name: give one of these")


def certificate_id_of(word: str) -> str:
    """The certificate id that a word means: an id, a fingerprint with colons, or the id of a file's first certificate.

    Raises Unusable.
    """
    return certificate_id_in(word) or id_in_file(Path(word))


def id_in_file(path: Path) -> str:
    """The id of a file's first certificate; says on standard error where there are others.

    Raises Unusable.
    """
    try:
        return Certificate.from_pem(read_first(path)).fingerprint
    except Rejected as error:
        raise Unusable(f"{path} holds a certificate that cannot be read: {error.detail}") from error
