"""AWS IoT's operations on device certificates: register, describe, update, delete, list."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from simulation.faults import Answer, Params, ServiceError
from simulation.iot.answers import invalid, missing, page_size
from simulation.iot.cas import Cas
from simulation.iot.policies import Policies
from simulation.iot.things import Things
from simulation.leaf import Leaf, parse
from simulation.place import Place

# UpdateCertificate: "PENDING_TRANSFER or PENDING_ACTIVATION will result in an exception being thrown" (IoT API
# reference; aws-facts §4), which one is not said. REGISTER_INACTIVE is deprecated.
_SETTABLE = ("ACTIVE", "INACTIVE", "REVOKED")


@dataclass(slots=True, kw_only=True)
class DeviceCertificate:
    """One registration of a device certificate; a certificate that is registered again has another one."""

    number: int  # in order of registration
    arn: str
    leaf: Leaf
    ca_certificate_id: str | None
    mode: str
    status: str
    created_at: datetime
    updated_at: datetime
    deleted: bool = False

    @property
    def certificate_id(self) -> str:
        return self.leaf.certificate_id


class Certificates:
    """The device certificates of one account and Region."""

    def __init__(self, place: Place, cas: Cas, things: Things, policies: Policies) -> None:
        self._place = place
        self._cas = cas
        self._things = things
        self._policies = policies
        self.by_id: dict[str, DeviceCertificate] = {}
        self._registered = 0
        self._all: list[DeviceCertificate] = []
        self._of_ca: dict[str, list[DeviceCertificate]] = {}

    def arn(self, certificate_id: str) -> str:
        return self._place.arn("iot", f"cert/{certificate_id}")

    def exists(self, arn: str) -> bool:
        head, _, certificate_id = arn.partition(":cert/")
        return certificate_id in self.by_id and arn == self.arn(certificate_id) and bool(head)

    def register(
        self, leaf: Leaf, *, status: str, mode: str, ca_certificate_id: str | None = None
    ) -> DeviceCertificate:
        """Register a certificate, as the broker or an operator's import does; nothing is parsed or checked."""
        now = self._place.clock.now()
        # Times in answers and events have milliseconds.
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._registered += 1
        certificate = DeviceCertificate(
            number=self._registered,
            arn=self.arn(leaf.certificate_id),
            leaf=leaf,
            ca_certificate_id=ca_certificate_id,
            mode=mode,
            status=status,
            created_at=now,
            updated_at=now,
        )
        self.by_id[leaf.certificate_id] = certificate
        self._all.append(certificate)
        if ca_certificate_id:
            self._of_ca.setdefault(ca_certificate_id, []).append(certificate)
        return certificate

    def register_certificate_without_ca(self, params: Params) -> Answer:
        """Register a certificate without a CA; publishes no event (aws-facts §1)."""
        parsed, status = parse(params["certificatePem"]), params.get("status", "INACTIVE")
        if status not in _SETTABLE:
            raise invalid(f"status {status} cannot be set")
        if parsed.fingerprint in self.by_id:
            raise ServiceError("ResourceAlreadyExistsException", "The certificate is already registered")
        leaf = Leaf.read(parsed, ca_certificate_id=None)
        certificate = self.register(leaf, status=status, mode="SNI_ONLY")
        return {"certificateArn": certificate.arn, "certificateId": certificate.certificate_id}

    def register_certificate(self, params: Params) -> Answer:
        """Register a certificate under a registered CA, in the CA's mode; publishes no event (aws-facts §1)."""
        parsed, status = parse(params["certificatePem"]), params.get("status", "INACTIVE")
        if status not in _SETTABLE:
            raise invalid(f"status {status} cannot be set")
        if parsed.fingerprint in self.by_id:
            raise ServiceError("ResourceAlreadyExistsException", "The certificate is already registered")
        ca = self._cas.by_id.get(parse(params["caCertificatePem"]).fingerprint)
        if ca is None or not ca.signed(parsed):
            raise ServiceError("CertificateValidationException", "No registered CA has signed the certificate")
        if ca.status != "ACTIVE":
            raise ServiceError("CertificateStateException", "The CA certificate is not ACTIVE")
        leaf = Leaf.read(parsed, ca_certificate_id=ca.certificate_id)
        certificate = self.register(leaf, status=status, mode=ca.mode, ca_certificate_id=ca.certificate_id)
        return {"certificateArn": certificate.arn, "certificateId": certificate.certificate_id}

    def describe_certificate(self, params: Params) -> Answer:
        certificate = self._certificate(params)
        leaf = certificate.leaf
        description = {
            "certificateArn": certificate.arn,
            "certificateId": leaf.certificate_id,
            "status": certificate.status,
            "certificatePem": leaf.pem,
            "ownedBy": self._place.account_id,
            "creationDate": certificate.created_at,
            "lastModifiedDate": certificate.updated_at,
            "certificateMode": certificate.mode,
            "validity": {"notBefore": leaf.not_before, "notAfter": leaf.not_after},
        }
        is_named = certificate.mode == "DEFAULT" or self._place.undocumented.names_sni_only_cas
        if certificate.ca_certificate_id and is_named:
            description["caCertificateId"] = certificate.ca_certificate_id
        return {"certificateDescription": description}

    def update_certificate(self, params: Params) -> Answer:
        """Set a status; idempotent, and without conditions (aws-facts §4)."""
        certificate, status = self._certificate(params), params["newStatus"]
        if status not in _SETTABLE:
            raise invalid(f"status {status} cannot be set")
        revived = certificate.status == "REVOKED" and status != "REVOKED"
        if revived and not self._place.undocumented.revoked_may_become_active:
            raise ServiceError("CertificateStateException", "A revoked certificate stays revoked")
        certificate.status = status
        certificate.updated_at = self._place.clock.now()
        return {}

    def delete_certificate(self, params: Params) -> Answer:
        """Delete a certificate neither ACTIVE nor attached; forced, INACTIVE ones may have policies (aws-facts §4)."""
        certificate = self._certificate(params)
        if certificate.status == "ACTIVE":
            raise ServiceError("CertificateStateException", "An ACTIVE certificate cannot be deleted")
        if self._things.of_principal(certificate.arn):
            raise ServiceError("DeleteConflictException", "Things must be detached before deletion")
        forced = params.get("forceDelete", False) and certificate.status == "INACTIVE"
        if self._policies.of_target(certificate.arn) and not forced:
            raise ServiceError("DeleteConflictException", "Certificate policies must be detached before deletion")
        self._policies.forget(certificate.arn)
        certificate.deleted = True
        del self.by_id[certificate.certificate_id]
        return {}

    def list_certificates(self, params: Params) -> Answer:
        return self._list(self._all, params)

    def list_certificates_by_ca(self, params: Params) -> Answer:
        """A CA's certificates, newest first by default; the CA need not be registered any more."""
        listed = self._of_ca.get(params["caCertificateId"], [])
        if not self._place.undocumented.lists_sni_only_by_ca:
            listed = [certificate for certificate in listed if certificate.mode == "DEFAULT"]
        return self._list(listed, params)

    def _list(self, certificates: list[DeviceCertificate], params: Params) -> Answer:
        """One page, found by bisection, since there can be a million certificates.

        The marker names the last one on the page, so registrations and deletions between two pages shift nothing.
        """
        ascending, marker = params.get("ascendingOrder", False), params.get("marker")
        wanted = page_size(params, "pageSize")

        def number(certificate: DeviceCertificate) -> int:
            return certificate.number

        if ascending:
            start = bisect_right(certificates, int(marker), key=number) if marker else 0
            rest = (certificates[index] for index in range(start, len(certificates)))
        else:
            start = bisect_left(certificates, int(marker), key=number) if marker else len(certificates)
            rest = (certificates[index] for index in range(start - 1, -1, -1))
        shown = list(islice((certificate for certificate in rest if not certificate.deleted), wanted + 1))
        more, shown = len(shown) > wanted, shown[:wanted]
        answer: Answer = {
            "certificates": [
                {
                    "certificateArn": certificate.arn,
                    "certificateId": certificate.certificate_id,
                    "status": certificate.status,
                    "certificateMode": certificate.mode,
                    "creationDate": certificate.created_at,
                }
                for certificate in shown
            ]
        }
        return answer | ({"nextMarker": str(shown[-1].number)} if more else {})

    def _certificate(self, params: Params) -> DeviceCertificate:
        certificate = self.by_id.get(params["certificateId"])
        if certificate is None:
            raise missing(f"Certificate {params['certificateId']}")
        return certificate
