"""`jitrctl ca csr | verification`: makes the verification certificate that mode DEFAULT needs: request, and signing."""

from __future__ import annotations

import functools
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jitrctl.ca import registry
from jitrctl.ca.proof import read_key, request, verification_certificate
from jitrctl.errors import Unusable
from jitrctl.run import completion
from jitrctl.run.scope import Scope, over_stages, over_unproven_stages
from jitrctl.terminal import can_ask, err, out, print_json

if TYPE_CHECKING:
    from jitr_fleet.model import Ca, Fleet

_Ca = Annotated[
    str | None,
    typer.Option("--ca", metavar="CA", help="The CA, if the fleet has several.", autocompletion=completion.cas),
]
_Out = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write; else it is printed.")
]


@over_unproven_stages
def csr(
    scope: Scope,
    ca: _Ca = None,
    output: _Out = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Also write the request's key; it is not needed.")
    ] = None,
) -> None:
    """Write the request for an account's verification certificate, for the holder of the CA's key.

    Its common name is the account's registration code. Only DEFAULT mode needs it.

    Example: jitrctl ca csr --account dev --ca factory -o dev.csr
    """
    named = _only_ca(scope.fleet, ca)
    if len({stage.account.name for stage in scope.stages}) > 1:
        raise Unusable("each account has a registration code of its own: say which one with --account")
    codes = {registry.registration_code(stage) for stage in scope.stages}
    if len(codes) > 1:
        raise Unusable("the account's registration codes differ by Region: say which one with --region")
    (code,) = codes
    pem, private = request(code)
    if key:
        if key.exists():
            raise Unusable(f"{key} is there already, and a key that is overwritten is lost: name another file")
        _write(key, private, mode=0o600)
    if scope.as_json:
        asked = [{"account": stage.account.name, "region": stage.region, "ok": True} for stage in scope.stages]
        print_json({"ca": named.name, "registration_code": code, "request": pem.decode(), "stages": asked})
        return
    _deliver(pem, output)
    err.print(
        f"The holder of the key of CA {named.name} makes the certificate: `jitrctl ca verification`, or\n"
        f"openssl x509 -req -in {output or 'FILE'} -CA {named.certificate_path.name} -CAkey KEY -CAcreateserial "
        "-days 365 -sha256",
        markup=False,
        soft_wrap=True,
    )


@functools.partial(over_stages, proven=False, offline=True)
def verification(
    scope: Scope,
    csr: Annotated[Path, typer.Option("--csr", metavar="FILE", help="What `jitrctl ca csr` wrote.")],
    ca_key: Annotated[Path, typer.Option("--ca-key", metavar="FILE", help="The CA's private key, PEM.")],
    ca: _Ca = None,
    output: _Out = None,
    days: Annotated[int, typer.Option(metavar="DAYS", help="How long it is valid.", min=1, max=3650)] = 365,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Has the key's password; else it is asked for."),
    ] = None,
) -> None:
    """Sign a request with the CA's key, as the holder of the key; it is used once, and not stored.

    Needs no AWS account.

    Example: jitrctl ca verification --csr dev.csr --ca-key factory.key -o certs/dev-verification.pem
    """
    named = _only_ca(scope.fleet, ca)
    opened = read_key(_read(ca_key), lambda: _password(password_file))
    pem = verification_certificate(_read(csr), named, opened, days=days)
    if scope.as_json:
        print_json({"ca": named.name, "verification_certificate": pem.decode()})
        return
    _deliver(pem, output)


def _only_ca(fleet: Fleet, name: str | None) -> Ca:
    names = [ca.name for ca in fleet.cas]
    if name is None and len(names) > 1:
        raise Unusable(f"the fleet has CAs {', '.join(names)}: say which one with --ca")
    found = next((ca for ca in fleet.cas if name in (None, ca.name)), None)
    if found is None:
        raise Unusable(f"the fleet has no CA {name}: it has {', '.join(names)}")
    return found


def _password(file: Path | None) -> str:
    if file:
        return _read(file).decode().rstrip("\r\n")
    if not can_ask():
        raise Unusable("the CA's key is encrypted, and there is nobody to ask: say --password-file")
    try:
        return getpass.getpass("Password of the CA's key: ")
    except EOFError as error:
        raise Unusable("no password was given: run it again, or say --password-file") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unusable(f"{path} cannot be read ({error.strerror}): correct the path") from error


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    try:
        path.touch(mode=mode)
        path.chmod(mode)
        path.write_bytes(content)
    except OSError as error:
        raise Unusable(f"{path} cannot be written ({error.strerror}): name another file") from error


def _deliver(pem: bytes, output: Path | None) -> None:
    if output is None:
        out.print(pem.decode(), end="", markup=False, soft_wrap=True)
        return
    _write(output, pem)
    err.print(f"Written to {output}.", markup=False, soft_wrap=True)
