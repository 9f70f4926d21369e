"""A certificate on its way through admission: read once, under the rules of its CA, which are resolved once."""

from typing import Self

from jitr.admission import naming
from jitr.admission.checks import fleet_ca, read_certificate
from jitr.admission.identity import Identity
from jitr.errors import Reason, Rejected
from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status
from jitr.rules import CaRules, Rules, is_source
from jitr.x509.certificate import Certificate
from jitr.x509.signature_twin import twin_id


@value
class Applicant:
    """A certificate that applies to become a device, as AWS IoT describes it; made by `of`."""

    device: DeviceRegistration
    resolved: CaRules | Rejected  # the rules of its CA, or why fleet.toml has none for this account
    read: Certificate | Rejected  # what it says, or why it is not read: it cannot be, or there are no rules for it
    # Of a certificate registered without a CA: the CAs of this account that signed it; several have one name and key.
    signers: tuple[CaRules, ...] = ()

    @classmethod
    def of(cls, device: DeviceRegistration, rules: Rules) -> Self:
        """Resolve the rules of the certificate's CA, and read the certificate."""
        ca_rules = rules.ca(device.ca_certificate_id)
        if ca_rules is None:
            refusal = _why_no_rules(device, rules)
            return cls(device=device, resolved=refusal, read=refusal)
        try:
            read = read_certificate(device.pem)
        except Rejected as refusal:
            return cls(device=device, resolved=ca_rules, read=refusal)
        return cls(device=device, resolved=ca_rules, read=read, signers=_signers(device, ca_rules, rules))

    @property
    def rules(self) -> CaRules | None:
        """The rules of its CA; None when its CA is not one of this account's in fleet.toml."""
        return None if isinstance(self.resolved, Rejected) else self.resolved

    @property
    def certificate(self) -> Certificate | None:
        """What the certificate says; None when it cannot be read, or there are no rules for it."""
        return None if isinstance(self.read, Rejected) else self.read

    @property
    def thing_name(self) -> str | None:
        """The thing name that the rules make of the certificate, admitted or not; None when they make no legal one."""
        if isinstance(self.resolved, Rejected) or isinstance(self.read, Rejected):
            return None
        try:
            return naming.thing_name(self.resolved, self.read)
        except Rejected:
            return None

    @property
    def twin_id(self) -> str | None:
        """The certificate id of the certificate's twin (signature_twin.py); None when it has none.

        Raises Misconfigured when the CA's certificate in the rules cannot be read.
        """
        if isinstance(self.resolved, Rejected) or isinstance(self.read, Rejected):
            return None
        if self.signers:
            return twin_id(self.read, fleet_ca(self.signers[0]))  # they have one key
        return None if self.resolved.is_source else twin_id(self.read, fleet_ca(self.resolved))

    @property
    def policy(self) -> str | None:
        """The policy that jitr attaches to the certificates of its CA."""
        return self.rules.policy if self.rules else None


@value
class Admitted:
    """A certificate that passed every enforced check, the rules that it passed, and the device that it becomes."""

    device: DeviceRegistration
    certificate: Certificate
    rules: CaRules
    identity: Identity


def _signers(device: DeviceRegistration, ca_rules: CaRules, rules: Rules) -> tuple[CaRules, ...]:
    """The CAs that signed a source's certificate: for its twin, which a device could have registered by such a CA.

    And for what the CAs and the operators revoked.
    """
    if not ca_rules.is_source:
        return ()
    from jitr.admission.issuers import issuers_of  # noqa: PLC0415 -- not needed for the certificates of CAs

    return issuers_of(device.pem, rules)


def _why_no_rules(device: DeviceRegistration, rules: Rules) -> Rejected:
    if device.possible_cas:
        names = " and ".join(ca.name for ca in rules.cas if ca.certificate_id in device.possible_cas)
        return Rejected(
            Reason.CA_AMBIGUOUS,
            f"AWS IoT names no CA, and CAs {names} have the key that signed it; its authority key identifier does not "
            "give one CA's issuer and serial number",
        )
    if device.ca_certificate_id is None:
        if device.status is not Status.PENDING_ACTIVATION:
            return Rejected(
                Reason.CA_UNKNOWN,
                "it is unclaimed: AWS IoT names no CA, as of certificates registered without one, and no record of an "
                "import names a source",
            )
        why = ""
        try:
            read_certificate(device.pem)
        except Rejected as refusal:
            if refusal.reason is Reason.UNREADABLE:
                return refusal
            why = f": {refusal.detail}"
        return Rejected(
            Reason.CA_UNKNOWN,
            f"AWS IoT names no CA, and none of fleet.toml for this account is known to have signed it{why}",
        )
    if is_source(device.ca_certificate_id):
        source = device.ca_certificate_id
        return Rejected(
            Reason.CA_UNKNOWN,
            f"the account's rules have no [{source}]: add {source} = {{}} to it in fleet.toml, and deploy; the "
            "certificate is evaluated again then",
        )
    return Rejected(
        Reason.CA_UNKNOWN, f"fleet.toml lists no CA with certificate id {device.ca_certificate_id} for this account"
    )
