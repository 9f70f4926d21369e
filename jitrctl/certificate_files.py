"""Reads the certificate files given to commands, by jitr_fleet.certificate_file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from jitr_fleet import certificate_file
from jitrctl.errors import Unusable
from jitrctl.terminal import warn

if TYPE_CHECKING:
    from pathlib import Path

    from jitr_fleet.certificate_file import CertificateFile


def names_file(word: str) -> bool:
    """Whether there is a file or folder of that name; a word that can name none, such as one too long, names none."""
    return os.path.exists(word)  # noqa: PTH110 -- Path.exists raises OSError for a name that is too long


def read_file(path: Path) -> CertificateFile:
    """Read a file with a certificate, in any usual form.

    Raises Unusable.
    """
    try:
        return certificate_file.read(path)
    except certificate_file.UnusableFile as error:
        raise Unusable(f"{path} {error.problem}: {error.cure}") from error


def read_first(path: Path) -> str:
    """The first certificate (PEM) in a file; reports on standard error when there are others.

    Raises Unusable.
    """
    file = read_file(path)
    if file.note:
        warn(file.note)
    return file.pem


def first_certificate_id(path: Path) -> str:
    """The id of the first certificate in a file; reports on standard error when there are others.

    Raises Unusable.
    """
    try:
        return Certificate.from_pem(read_first(path)).fingerprint
    except Rejected as error:
        raise Unusable(f"{path} holds a certificate that cannot be read: {error.detail}") from error
