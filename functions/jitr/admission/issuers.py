"""Finds the issuing CA of a certificate by name and signature, when AWS IoT does not report it.

DescribeCertificate may omit `caCertificateId`: AWS documents that a certificate in SNI_ONLY mode "is registered
without an issuer CA". The deployed rules hold every CA of the account, so the issuer is searched among them. The
event's CA id is not used: an event can be forged. The search needs only the parts from encoding.py, so it also works
for version 1 certificates and for those whose fields no reader can read.

A renewed CA has its predecessor's name, and often its key: then the signature fits both. The authority key identifier
decides if it gives its CA's issuer and serial number (RFC 5280 §4.2.1.1); its key identifier does not, since the key
is the same. Otherwise admission holds the certificate (CA_AMBIGUOUS).

The CA of an earlier decision takes precedence over the search: jitr decided under that CA, and stays with it. So does
the source that an import's order names, on the registration that the import made: AWS IoT names no CA of a certificate
that was registered without one, and the CA that happens to have signed it has no say. No import leaves a certificate
PENDING_ACTIVATION, so a pending certificate is its CA's, whatever an earlier import recorded. (Fleet provisioning sets
that status too; docs/how-it-works.md says what follows.) Of a CA in DEFAULT mode AWS IoT names all certificates: one
that such a CA signed and that has no name was registered without it.
"""

from dataclasses import replace

from jitr.admission.checks import fleet_ca
from jitr.errors import Rejected
from jitr.iot_models import DeviceRegistration, Status
from jitr.record import Record
from jitr.rules import CaRules, CertificateMode, Rules, is_source
from jitr.x509 import der
from jitr.x509.certificate import Certificate, are_same_names
from jitr.x509.der import OCTET_STRING, OID, SEQUENCE
from jitr.x509.encoding import Encoded
from jitr.x509.parsing import Damaged
from jitr.x509.pem import decode
from jitr.x509.signatures import is_signed_by, signature_facts

_EXTENSIONS = 0xA3
_AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("551d23")  # 2.5.29.35
_ISSUER, _SERIAL, _DIRECTORY_NAME = 0xA1, 0x82, 0xA4


def find_issuer(device: DeviceRegistration, rules: Rules) -> DeviceRegistration:
    """The certificate with its issuing CA; unchanged if AWS names one.

    If several CAs may have issued it, `possible_cas` has their ids. If no CA did, it stays without one.

    Raises Misconfigured when a CA's certificate in the rules cannot be read.
    """
    if device.ca_certificate_id is not None:
        return device
    is_pending = device.status is Status.PENDING_ACTIVATION
    found = tuple(
        ca.certificate_id
        for ca in issuers_of(device.pem, rules)
        if is_pending or ca.certificate_mode is CertificateMode.SNI_ONLY
    )
    return replace(
        device,
        ca_certificate_id=found[0] if len(found) == 1 else None,
        is_ca_named=False,
        possible_cas=found if len(found) > 1 else (),
    )


def with_recorded_ca(device: DeviceRegistration, record: Record) -> DeviceRegistration:
    """The certificate with the source of its import, or the CA of its last decision; unchanged if AWS names one."""
    order = record.import_order if record.is_registered_by_import(device) else None
    recorded = order.source if order else record.ca_certificate_id
    if device.is_ca_named or recorded is None:
        return device
    if is_source(recorded) and device.status is Status.PENDING_ACTIVATION:
        return device
    return replace(device, ca_certificate_id=recorded, possible_cas=())


def issuers_of(pem: str, rules: Rules) -> tuple[CaRules, ...]:
    """The CAs of the account that may have issued a certificate; several only if they share name and key.

    A certificate that a CA signed counts as that CA's even if it names another issuer, so that its refusal says so.

    Raises Misconfigured.
    """
    try:
        encoded = Encoded.of(decode(pem))
        named = [ca for ca in rules.cas if are_same_names(encoded.issuer, fleet_ca(ca).encoded.subject)]
        signed = [ca for ca in named if _has_signed(fleet_ca(ca), encoded)]
        signed = signed or [ca for ca in rules.cas if _has_signed(fleet_ca(ca), encoded)]
    except (Damaged, Rejected):
        return ()
    if len(signed) > 1:
        identified = [ca for ca in signed if _identifies(encoded, fleet_ca(ca))]
        return tuple(identified if len(identified) == 1 else signed)
    return tuple(signed)


def _has_signed(ca: Certificate, encoded: Encoded) -> bool:
    """Raises Damaged."""
    return is_signed_by(ca.public_key, encoded.signature, encoded.tbs, signature_facts(encoded.algorithm))


def _identifies(encoded: Encoded, ca: Certificate) -> bool:
    """Whether the authority key identifier gives this CA certificate's issuer and serial number."""
    try:
        identified = _identified_authority(encoded)
    except Damaged:
        return False
    if identified is None:
        return False
    issuer, serial = identified
    return serial == ca.encoded.serial and are_same_names(issuer, ca.encoded.issuer)


def _identified_authority(encoded: Encoded) -> tuple[bytes, int] | None:
    """The issuer (a Name in DER) and the serial number of the CA's certificate; None if they are not given.

    Raises Damaged.
    """
    values = [
        value
        for tag, extensions in encoded.rest
        if tag == _EXTENSIONS
        for value in _extension_values(der.content(extensions, _EXTENSIONS))
    ]
    if len(values) != 1:  # none, or a duplicate extension, which does not count
        return None
    parts = {tag: values[0][start:end] for tag, _, start, end in der.children(values[0], SEQUENCE)}
    if not {_ISSUER, _SERIAL} <= parts.keys():
        return None
    names = [
        parts[_ISSUER][start:end]
        for tag, _, start, end in der.elements(parts[_ISSUER], 0, len(parts[_ISSUER]))
        if tag == _DIRECTORY_NAME
    ]
    return (names[0], der.integer(parts[_SERIAL])) if len(names) == 1 else None


def _extension_values(extensions: bytes) -> list[bytes]:
    """The values of all authority key identifiers in the list of extensions.

    Raises Damaged.
    """
    values = []
    for _, begin, _, end in der.children(extensions, SEQUENCE):
        extension = extensions[begin:end]
        first, *rest = der.children(extension, SEQUENCE) or [(0, 0, 0, 0)]
        if rest and (first[0], extension[first[2] : first[3]]) == (OID, _AUTHORITY_KEY_IDENTIFIER):
            values.append(der.content(extension[rest[-1][1] :], OCTET_STRING))
    return values
