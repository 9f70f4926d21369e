"""Checks the links that need files alone: the certificate, its issuer, its chain, and the functions' checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitr.errors import Reason, Rejected
from jitr.rules import CertificateMode
from jitr.x509.certificate import Certificate
from jitrctl.doctor.cures import cure_reason
from jitrctl.doctor.finding import LinkFinding, broken, good, note
from jitrctl.status.stage_commands import deploy_command

if TYPE_CHECKING:
    from jitrctl.doctor.context import DeviceContext


def check_certificate(case: DeviceContext) -> LinkFinding:
    """The certificate can be read, and is valid now; AWS IoT and TLS refuse any other."""
    if case.problem:
        return broken(
            f"{case.file or 'what AWS IoT has'} cannot be read as a certificate: {case.problem}",
            "use the device's own copy; if that cannot be read either, report this line: "
            "a later version of jitr may read it",
        )
    found = case.certificate
    if case.now > found.not_after:
        return broken(f"it ended {found.not_after:%F}", "issue the device a new certificate")
    if case.now < found.not_before:
        return broken(
            f"it is not valid before {found.not_before:%F %R}Z",
            "wait until then, or set the clock of the machine that issues certificates",
        )
    others = len(case.certificates) - 1
    rest = f"; the file's first, {others} more behind it" if others else ""
    reader = "; read by jitr's second reader, since the first one refuses it" if found.was_read_again else ""
    return good(f"{found.subject}, until {found.not_after:%F}, id {found.fingerprint}{reader}{rest}")


def check_issuer(case: DeviceContext) -> LinkFinding:
    """A CA that the fleet file has in this account signed the certificate; one that was imported needs none."""
    if case.source:
        return good(f"registered without a CA, by an import: source {case.source.name}")
    if len(case.possible) > 1:
        names = " and ".join(one.ca.name for one in case.possible)
        return note(
            f"CAs {names} have the name and the key of its issuer; the links below are about {case.issuing.ca.name}",
            f"nothing if AWS IoT names the CA; if it does not, the device is held as {Reason.CA_AMBIGUOUS}",
        )
    if case.declared:
        return good(f"signed by CA {case.declared.ca.name}")
    if case.signer:
        return broken(
            f"signed by CA {case.signer}, which account {case.stage.account.name} does not have in the fleet file",
            f"if the device is in the right account, add ca.{case.signer} to [account.{case.stage.account.name}] in "
            f"the fleet file, deploy: `{deploy_command(case.stage)}`, and `jitrctl ca apply --ca {case.signer} "
            f"{case.options}`",
        )
    if case.signing_key_of:
        return broken(
            f"the key of CA {case.signing_key_of} signed it, but it names another issuer: {case.certificate.issuer}",
            "put the CA certificate with that name into the fleet file as a CA of its own, deploy: "
            f"`{deploy_command(case.stage)}`, and register it: `jitrctl ca apply {case.options}`",
        )
    return broken(
        f"none of the fleet's CAs signed it; its issuer is {case.certificate.issuer}",
        "add the CA that signs devices directly (not a root above it) to the fleet file, or issue the device a "
        "certificate of a CA of the fleet",
    )


def check_chain(case: DeviceContext) -> LinkFinding:
    """The file's order is right; says whether the device has to send SNI, or its CA."""
    mode = case.mode
    read = [_read(pem) for pem in case.certificates[1:]]
    if case.certificate.is_ca() and any(one and one.is_issued_by(case.certificate) for one in read):
        return broken(
            f"{case.file} begins with the CA's certificate",
            "put the device's certificate first: TLS takes the first one as the device's",
        )
    if mode is CertificateMode.SNI_ONLY:
        return good("SNI is needed here: the device must send the endpoint's name; it need not send its CA")
    return good("SNI is not needed here: the CA is in mode DEFAULT; without SNI, the device must also send its CA")


def check_admission(case: DeviceContext) -> LinkFinding:
    """The functions' checks admit the certificate, offline: all but the CRL, the enrollment entries and the hook."""
    refusal, identity = case.examination.refusal, case.examination.identity
    if refusal:
        return broken(
            f"it would be refused: {refusal.reason}, {refusal.detail}",
            cure_reason(case, refusal.reason) + _verify(case),
        )
    return good(f"it would be admitted, as thing {identity.thing_name if identity else '?'}")


def _verify(case: DeviceContext) -> str:
    """Where every check is shown, which needs the certificate's file."""
    return (
        f"; `jitrctl verify {case.device} --account {case.stage.account.name}` shows every check" if case.file else ""
    )


def _read(pem: str) -> Certificate | None:
    try:
        return Certificate.from_pem(pem)
    except Rejected:
        return None
