"""`jitrctl ca create` and `jitrctl device issue`: make a CA and device certificates. For development only."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from jitrctl.certificate_files import read_first
from jitrctl.errors import Unusable
from jitrctl.localaws.issuing import IssuingCa
from jitrctl.terminal import err, out

FOR_DEVELOPMENT = (
    "For development only: the CA's key lies unencrypted on this disk. The CA of real devices is in its maker's hands, "
    "best in an HSM."
)
_Directory = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIRECTORY", help="Where the files go; created if needed.")
]


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The CA's common name, and its files'.")],
    output: _Directory = Path(),
) -> None:
    """Make a CA's key and certificate, NAME.key and NAME.pem, by openssl. For development only.

    Example: jitrctl ca create try-out -o certs
    """
    _refuse_existing(output / f"{name}.key", output / f"{name}.pem")
    err.print(FOR_DEVELOPMENT, soft_wrap=True)
    ca = IssuingCa.create(output, name)
    out.print(f"{ca.certificate}\n{ca.key}\ncertificate id {ca.certificate_id}", markup=False, soft_wrap=True)


def issue(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The device's common name, and its files'.")],
    ca: Annotated[Path, typer.Option("--ca-file", metavar="FILE", help="The CA's certificate.")],
    ca_key: Annotated[Path, typer.Option("--ca-key", metavar="FILE", help="The CA's private key, PEM, unencrypted.")],
    output: _Directory = Path(),
    days: Annotated[int, typer.Option(metavar="DAYS", help="How long it is valid.", min=1, max=3650)] = 365,
) -> None:
    """Make a device's key and certificate, NAME.key and NAME.pem, under a CA whose key is here. For development only.

    Example: jitrctl device issue sensor-0001 --ca-file certs/try-out.pem --ca-key certs/try-out.key -o devices
    """
    for path in (ca, ca_key):
        if not path.is_file():
            raise Unusable(f"{path} cannot be read: `jitrctl ca create` makes a CA to try things with")
    _refuse_existing(output / f"{name}.key", output / f"{name}.pem")
    err.print(FOR_DEVELOPMENT, soft_wrap=True)
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "ca.pem"
        plain.write_text(read_first(ca), encoding="ascii")
        device = IssuingCa(certificate=plain, key=ca_key).issue(output, name, days=days)
    out.print(
        f"{device.certificate}\n{device.key}\ncertificate id {device.certificate_id}", markup=False, soft_wrap=True
    )


def _refuse_existing(*files: Path) -> None:
    for file in files:
        if file.exists():
            raise Unusable(f"{file} is there already, and a key is never overwritten: give another name or directory")
