"""Says under which serial number a certificate is listed in the index `serials`; pure.

    issued_as   <caCertificateId>#<serial number, lower-case hex>

A CRL names a certificate by its issuer and serial number, AWS IoT by the SHA-256 of its DER. The index leads from one
to the other. The claim of an activation sets the attribute, and so does every decision that is not a hold, in the
certificate's own item. So a CRL finds a certificate from the moment on in which it may become ACTIVE. A held
certificate is not in it: `register` asks the CRL when it evaluates the device.

Cost: one write unit for each device, at its first decision; later decisions leave the attribute as it is. Records of
earlier versions are listed by the daily full pass (full_pass.py), as in the index `outcomes`.
"""

from jitr.decisions import Decision, Outcome

SERIAL_INDEX = "serials"
ISSUED_AS = "issued_as"


def issued_as(ca_certificate_id: str, serial: str) -> str:
    """The index key of the certificates of a CA with this serial number, as Certificate.serial writes it."""
    return f"{ca_certificate_id}#{serial}"


def issued_as_of(decision: Decision | None) -> str | None:
    """The index key of the certificate that was decided on; None if it is not listed."""
    if decision is None or decision.outcome is Outcome.HELD or not decision.ca_certificate_id or not decision.serial:
        return None
    return issued_as(decision.ca_certificate_id, decision.serial)
