"""Same thing name, new certificate: may the new one follow the old one?

A rotation looks the same from every side: the new certificate was issued later, under the same CA or one that succeeds
it, and the old one is near its end. Anything else with a known name is a second device that claims to be the first: a
clone, a factory that counts twice, a test rig. It is held and announced, and the first device is left alone.
"""

from datetime import datetime, timedelta

from jitr.errors import Reason, Rejected
from jitr.iot_models import DeviceRegistration, Status
from jitr.owners import Owner
from jitr.record import Record
from jitr.rules import CaRules, OnReplacement
from jitr.x509.certificate import Certificate

# As many claims in a row that all came to nothing can be undone.
_MOST_FORMERS = 5


def refuse_wrong_owner(
    thing_name: str,
    *,
    owner: Owner | None,
    device: DeviceRegistration,
    certificate: Certificate,
    twin_id: str | None,
    rules: CaRules,
    may_follow: bool = False,
    now: datetime,
) -> None:
    """Let the certificate have the thing name: nobody owns it, it does itself, it may follow or share.

    `may_follow` says that an enrollment entry expects a new certificate, so the old one need not be near its end.

    Raises Rejected (NOT_A_ROTATION, REPLACEMENT_REFUSED).
    """
    if owner is None or owner.certificate_id == device.certificate_id:
        return
    if owner.certificate_id == twin_id:
        # An ECDSA signature has a second encoding, which whoever holds the certificate can make: another certificate
        # id, the same certificate. Nobody gets a second chance that way.
        raise Rejected(
            Reason.NOT_A_ROTATION,
            f"it is certificate {owner.certificate_id[:16]} with its signature written differently",
        )
    owned = f"thing name {thing_name} belongs to certificate {owner.certificate_id[:16]}"
    if shares(rules, owner):
        return
    match rules.on_replacement:
        case OnReplacement.REJECT:
            raise Rejected(Reason.REPLACEMENT_REFUSED, f"{owned}, and the rules allow no other")
        case OnReplacement.ROTATE | OnReplacement.SHARE:
            # Who shares under one CA takes part in no other CA's things: there a newcomer follows, or is held.
            if why_not := _why_no_rotation(owner, device, certificate, rules, now, expected=may_follow):
                raise Rejected(Reason.NOT_A_ROTATION, f"{owned}, and this one is no rotation: {why_not}")


def shares(rules: CaRules, owner: Owner | None) -> bool:
    """Whether a certificate under these rules has a thing name together with its owner: both are under one CA."""
    return rules.on_replacement is OnReplacement.SHARE and (
        owner is None or owner.ca_certificate_id == rules.certificate_id
    )


def _why_no_rotation(
    owner: Owner, device: DeviceRegistration, certificate: Certificate, rules: CaRules, now: datetime, *, expected: bool
) -> str | None:
    # A factory line may issue both within one second; then the later registration is the later certificate.
    if (certificate.not_before, device.created_at) <= (owner.issued_at, owner.registered_at):
        return "it was not issued later"
    if owner.ca_certificate_id not in (rules.certificate_id, rules.succeeds):
        return "it is under another CA, which does not succeed the old one's"
    if not expected and owner.ends_at - now > timedelta(seconds=rules.rotation_window):
        days = (owner.ends_at - now).days
        return f"the old one is good for {days} more days, rotation_window is {rules.rotation_window // 86_400} days"
    return None


def refuse_twin(twin: Record, twin_id: str | None) -> None:
    """Hold what is known of the certificate's twin against it: both are one certificate, and one is enough.

    An ECDSA signature has a second form, which whoever holds the device's key can write (signature_twin.py); nobody
    gets a second chance that way. It is held and not rejected, so that nothing of it is left to be held against the
    twin in its turn, once an operator has released that one.
    Raises Rejected (OPERATOR_VERDICT, NOT_A_ROTATION).
    """
    known = f"certificate {(twin_id or '')[:16]}, which is this one with its signature written differently,"
    if twin.was_taken_away or twin.is_denied:
        raise Rejected(Reason.OPERATOR_VERDICT, f"{known} was revoked, deactivated or denied")
    for decision in (twin.decision, twin.intent):
        if decision and decision.status is not Status.PENDING_ACTIVATION:
            raise Rejected(Reason.NOT_A_ROTATION, f"{known} was decided on already: {decision.outcome}")


def owner_of(device: DeviceRegistration, certificate: Certificate, formers: tuple[str, ...] = ()) -> Owner:
    """The certificate as the owner of a thing name that these had before it, the last first."""
    return Owner(
        certificate_id=device.certificate_id,
        ca_certificate_id=device.ca_certificate_id or "",
        serial=certificate.serial,
        issued_at=certificate.not_before,
        ends_at=certificate.not_after,
        registered_at=device.created_at,
        formers=formers[:_MOST_FORMERS],
    )


def formers_of(certificate_id: str, recorded: Owner | None, judged_by: Owner | None) -> tuple[str, ...]:
    """Who has had a thing name before the certificate that claims it, the last first.

    `recorded` is the owner in the registry, `judged_by` the one that the claim follows: a former one where the recorded
    one exists no more, or never came in.
    """
    if recorded is None:
        return ()
    if judged_by is None or judged_by.certificate_id == certificate_id:
        return recorded.formers
    return (judged_by.certificate_id, *judged_by.formers)
