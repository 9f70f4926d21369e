"""AWS IoT's operations on CA certificates: register in either mode, describe, update, delete, list."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jitr.x509.certificate import Certificate
from simulation.faults import Answer, Params, ServiceError
from simulation.iot.answers import invalid, missing, page
from simulation.leaf import parse
from simulation.place import Place

_MOST_WITH_SAME_SUBJECT = 10  # aws-facts §3, L-A26060BE


@dataclass(slots=True, kw_only=True)
class RegisteredCa:
    """One registered CA."""

    certificate_id: str
    arn: str
    pem: str
    parsed: Certificate
    mode: str
    status: str
    auto_registration: str
    created_at: datetime
    updated_at: datetime
    template: dict[str, Any] | None = None  # registrationConfig; just_in_time.py carries it out

    def signed(self, leaf: Certificate) -> bool:
        return leaf.is_issued_by(self.parsed)


class Cas:
    """The CAs of one account and Region."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.by_id: dict[str, RegisteredCa] = {}

    @property
    def registration_code(self) -> str:
        """Stable, one per account and Region (aws-facts §3; that it is per Region is assumed)."""
        return hashlib.sha256(f"{self._place.account_id}{self._place.region}".encode()).hexdigest()

    def get_registration_code(self, _params: Params) -> Answer:
        return {"registrationCode": self.registration_code}

    def register_ca_certificate(self, params: Params) -> Answer:
        """Register a CA: DEFAULT needs a verification certificate, SNI_ONLY must have none (aws-facts §3)."""
        parsed = parse(params["caCertificate"])
        now = self._place.clock.now()
        # Well-formed, and within its validity (aws-facts §3).
        if not parsed.not_before <= now <= parsed.not_after:
            raise ServiceError("CertificateValidationException", "The CA certificate is not valid now")
        certificate_id = parsed.fingerprint
        arn = self._place.arn("iot", f"cacert/{certificate_id}")
        mode = params.get("certificateMode", "DEFAULT")
        self._verify(mode, params.get("verificationCertificate"), parsed)
        # That a second account in DEFAULT mode gets this same error is likely, not documented (aws-facts §3).
        if certificate_id in self.by_id or (mode == "DEFAULT" and certificate_id in self._place.default_cas):
            raise ServiceError(
                "ResourceAlreadyExistsException",
                "The CA certificate is already registered",
                resourceId=certificate_id,
                resourceArn=arn,
            )
        if (
            sum(ca.parsed.encoded.subject == parsed.encoded.subject for ca in self.by_id.values())
            >= _MOST_WITH_SAME_SUBJECT
        ):
            raise ServiceError("LimitExceededException", "Too many CA certificates with the same subject")
        self.by_id[certificate_id] = RegisteredCa(
            certificate_id=certificate_id,
            arn=arn,
            pem=params["caCertificate"],
            parsed=parsed,
            mode=mode,
            status="ACTIVE" if params.get("setAsActive") else "INACTIVE",
            auto_registration="ENABLE" if params.get("allowAutoRegistration") else "DISABLE",
            created_at=now,
            updated_at=now,
            template=params.get("registrationConfig"),
        )
        if mode == "DEFAULT":
            self._place.default_cas[certificate_id] = self._place.account_id
        return {"certificateArn": arn, "certificateId": certificate_id}

    def list_tags_for_resource(self, params: Params) -> Answer:
        """The tags of a CA: always none."""
        if not any(ca.arn == params["resourceArn"] for ca in self.by_id.values()):
            raise missing(f"Resource {params['resourceArn']}")
        return {"tags": []}

    def describe_ca_certificate(self, params: Params) -> Answer:
        ca = self._ca(params)
        description = {
            "certificateArn": ca.arn,
            "certificateId": ca.certificate_id,
            "status": ca.status,
            "certificatePem": ca.pem,
            "ownedBy": self._place.account_id,
            "creationDate": ca.created_at,
            "lastModifiedDate": ca.updated_at,
            "autoRegistrationStatus": ca.auto_registration,
            "certificateMode": ca.mode,
            "validity": {"notBefore": ca.parsed.not_before, "notAfter": ca.parsed.not_after},
        }
        return {"certificateDescription": description} | ({"registrationConfig": ca.template} if ca.template else {})

    def update_ca_certificate(self, params: Params) -> Answer:
        """Change status, auto-registration and template; the mode cannot be changed (aws-facts §3)."""
        ca, undocumented = self._ca(params), self._place.undocumented
        status, auto = params.get("newStatus"), params.get("newAutoRegistrationStatus")
        if status not in (None, "ACTIVE", "INACTIVE") or auto not in (None, "ENABLE", "DISABLE"):
            raise invalid("status or autoRegistrationStatus is not one of the allowed values")
        ca.template = params.get("registrationConfig", ca.template)
        if params.get("removeAutoRegistration"):
            ca.template = None if undocumented.removal_takes_template else ca.template
            ca.auto_registration = "DISABLE" if undocumented.removal_ends_registration else ca.auto_registration
        ca.status = status or ca.status
        ca.auto_registration = auto or ca.auto_registration
        ca.updated_at = self._place.clock.now()
        return {}

    def delete_ca_certificate(self, params: Params) -> Answer:
        ca = self._ca(params)
        if ca.status == "ACTIVE":
            raise ServiceError("CertificateStateException", "The CA certificate must be INACTIVE to be deleted")
        del self.by_id[ca.certificate_id]
        if ca.mode == "DEFAULT":
            del self._place.default_cas[ca.certificate_id]
        return {}

    def list_ca_certificates(self, params: Params) -> Answer:
        cas = sorted(self.by_id.values(), key=lambda ca: ca.created_at, reverse=not params.get("ascendingOrder", False))
        shown, marker = page(cas, params, size="pageSize", token="marker")  # noqa: S106 -- no secret
        answer: dict[str, Any] = {
            "certificates": [
                {
                    "certificateArn": ca.arn,
                    "certificateId": ca.certificate_id,
                    "status": ca.status,
                    "creationDate": ca.created_at,
                }
                for ca in shown
            ]
        }
        return answer | ({"nextMarker": marker} if marker else {})

    def _ca(self, params: Params) -> RegisteredCa:
        ca = self.by_id.get(params["certificateId"])
        if ca is None:
            raise missing(f"CA certificate {params['certificateId']}")
        return ca

    def _verify(self, mode: str, verification: str | None, parsed: Certificate) -> None:
        """Check the verification certificate: its common name is the registration code, and the CA's key signed it."""
        if mode not in ("DEFAULT", "SNI_ONLY"):
            raise invalid(f"certificateMode {mode}")
        if (mode == "DEFAULT") is not bool(verification):
            raise invalid(f"verificationCertificate must {'not ' if verification else ''}be there in mode {mode}")
        if verification is None:
            return
        proof = parse(verification)
        if proof.field_values("common_name") != (self.registration_code,):
            raise ServiceError("RegistrationCodeValidationException", "The registration code is not this account's")
        if not proof.is_issued_by(parsed):
            raise ServiceError("CertificateValidationException", "The verification certificate is not signed by the CA")
