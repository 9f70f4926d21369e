"""Values of what AWS IoT says about device certificates and CAs, the evidence of a decision."""

from datetime import datetime, timedelta
from enum import StrEnum

from jitr.frozen import value

# What AWS IoT began by a provisioning template, it may complete after the template is taken off. It documents no time;
# each of the few calls that it makes takes a fraction of a second. Not shorter than a CA's description is cached for.
JITP_ENDS_WITHIN = timedelta(minutes=1)


class Status(StrEnum):
    """A certificate's status (IoT API reference, CertificateDescription).

    Only the service sets PENDING_ACTIVATION.
    """

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    REVOKED = "REVOKED"
    PENDING_TRANSFER = "PENDING_TRANSFER"
    REGISTER_INACTIVE = "REGISTER_INACTIVE"
    PENDING_ACTIVATION = "PENDING_ACTIVATION"


@value
class DeviceRegistration:
    """A device certificate as it is registered in this account and Region (DescribeCertificate)."""

    certificate_id: str
    arn: str
    status: Status
    pem: str
    # The issuing CA: named by AWS, or found by name and signature (issuers.py); None: neither.
    ca_certificate_id: str | None
    created_at: datetime  # identifies this registration: a certificate that is registered again gets another
    modified_at: datetime | None = None  # when its status was last set, by any party (lastModifiedDate)
    is_ca_named: bool = True  # by AWS; False: `ca_certificate_id` is from issuers.py, or from the certificate's record
    possible_cas: tuple[str, ...] = ()  # ids of the CAs with the same name and key, if AWS names none of them


@value
class ListedCertificate:
    """A device certificate as a list shows it (ListCertificates, ListCertificatesByCA), without its CA."""

    certificate_id: str
    status: Status
    created_at: datetime


@value
class CaRegistration:
    """A CA as it is registered in this account and Region (DescribeCACertificate)."""

    certificate_id: str
    pem: str
    active: bool
    mode: str  # DEFAULT or SNI_ONLY
    # A provisioning template is on it, by its body or its name: AWS IoT provisions the devices (JITP).
    has_template: bool = False
    modified_at: datetime | None = None  # when anything of it was last changed (lastModifiedDate)

    def may_be_provisioned(self, registered_at: datetime, now: datetime) -> bool:
        """Whether AWS IoT may be provisioning a certificate of this CA, registered at that time, by a template."""
        if self.has_template or self.modified_at is None:
            return self.has_template
        # Up to a second later: the times have different precisions.
        was_before = registered_at <= self.modified_at + timedelta(seconds=1)
        return was_before and now < self.modified_at + JITP_ENDS_WITHIN
