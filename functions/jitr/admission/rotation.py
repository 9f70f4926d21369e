"""Decides whether a new certificate may take over the thing name of another one.

It may if this is a rotation: it was issued later, under the same CA or its successor, and the old certificate is near
its end. Any other certificate with a known name is a second device that claims to be the first: a clone, a duplicate
number from the factory, a test rig. It is held and announced; the first device is not touched.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jitr.errors import Reason, Rejected
from jitr.iot_models import DeviceRegistration, Status
from jitr.owners import Owner
from jitr.record import Record
from jitr.rules import CaRules, OnReplacement, is_source
from jitr.x509.certificate import Certificate

if TYPE_CHECKING:  # the sweep needs no more of admission than this module
    from jitr.admission.applicant import Admitted

# As many unsuccessful claims in a row can be undone.
_MOST_PREVIOUS_OWNERS = 5


def refuse_wrong_owner(
    admitted: "Admitted", *, owner: Owner | None, twin_id: str | None, now: datetime, may_follow: bool = False
) -> None:
    """Refuse the thing name unless it is free, the certificate's own, or one that it may take over or share.

    If an enrollment entry expects a new certificate (`Identity.may_follow`), the old one need not be near its end.
    `may_follow`: the import that registered the certificate without a CA says the same, of an owner under any CA.

    Raises Rejected (NOT_A_ROTATION, REPLACEMENT_REFUSED).
    """
    if owner is None or owner.certificate_id == admitted.device.certificate_id:
        return
    if owner.certificate_id == twin_id:
        # Any holder of the certificate can make its twin: another certificate id, but the same certificate.
        raise Rejected(
            Reason.NOT_A_ROTATION,
            f"it is certificate {owner.certificate_id[:16]} with its signature written differently",
        )
    rules = admitted.rules
    owned = f"thing name {admitted.identity.thing_name} belongs to certificate {owner.certificate_id[:16]}"
    if shares(rules, owner):
        return
    match rules.on_replacement:
        case OnReplacement.REJECT:
            raise Rejected(Reason.REPLACEMENT_REFUSED, f"{owned}, and the rules allow no other")
        case OnReplacement.ROTATE | OnReplacement.SHARE:
            # A thing is shared only under one CA. Under another CA a new certificate takes over, or is held.
            if why_not := _why_no_rotation(admitted, owner, now, may_follow=may_follow):
                raise Rejected(Reason.NOT_A_ROTATION, f"{owned}, and this one is no rotation: {why_not}")


def shares(rules: CaRules, owner: Owner | None) -> bool:
    """Whether a certificate under these rules shares a thing name with its owner: both are under one CA."""
    return rules.on_replacement is OnReplacement.SHARE and (
        owner is None or owner.ca_certificate_id == rules.certificate_id
    )


def _why_no_rotation(admitted: "Admitted", owner: Owner, now: datetime, *, may_follow: bool) -> str | None:
    device, certificate, rules = admitted.device, admitted.certificate, admitted.rules
    # A factory line may issue both within one second; then the later registration is the later certificate.
    if (certificate.not_before, device.created_at) <= (owner.issued_at, owner.registered_at):
        return "it was not issued later"
    if may_follow:
        return None
    if owner.ca_certificate_id not in (rules.certificate_id, rules.succeeds):
        return _why_not_after_another(admitted, owner)
    if not admitted.identity.may_follow and owner.ends_at - now > timedelta(seconds=rules.rotation_window):
        days = (owner.ends_at - now).days
        return f"the old one is valid for {days} more days, rotation_window is {rules.rotation_window // 86_400} days"
    return None


def _why_not_after_another(admitted: "Admitted", owner: Owner) -> str | None:
    """Why it may not follow a certificate of another CA or source; None if it may, though nothing vouches for it.

    An entry lets a CA's certificate follow one that was registered without a CA, by an import, or adopted, such as one
    that AWS issued. Only the order of an import lets one that is registered without a CA follow others.
    """
    if admitted.rules.is_source:
        return "it is registered without a CA, and may follow a certificate from elsewhere only by `--may-follow`"
    if owner.ca_certificate_id and not is_source(owner.ca_certificate_id):
        return "it is under another CA, which does not succeed the old one's"
    if not admitted.identity.may_follow:
        old = "the old one was registered without a CA" if owner.ca_certificate_id else "no CA of the old one is known"
        return f"{old}, and no enrollment entry says that this one may follow it"
    return None


def refuse_twin(twin: Record, twin_id: str | None) -> None:
    """Refuse a certificate whose twin (signature_twin.py) is known: both are the same certificate.

    It is held, not rejected: a rejection of this one would in turn refuse the twin after an operator released that.

    Raises Rejected (OPERATOR_VERDICT, NOT_A_ROTATION).
    """
    known = f"certificate {(twin_id or '')[:16]}, which is this one with its signature written differently,"
    if twin.was_revoked_or_deactivated or twin.is_denied:
        raise Rejected(Reason.OPERATOR_VERDICT, f"{known} was revoked, deactivated or denied")
    for decision in (twin.decision, twin.intent):
        if decision and decision.status is not Status.PENDING_ACTIVATION:
            raise Rejected(Reason.NOT_A_ROTATION, f"{known} was decided on already: {decision.outcome}")


def owner_of(device: DeviceRegistration, certificate: Certificate, previous_owners: tuple[str, ...] = ()) -> Owner:
    """The certificate as the owner of a thing name; its previous owners, the latest first."""
    return Owner(
        certificate_id=device.certificate_id,
        ca_certificate_id=device.ca_certificate_id or "",
        serial=certificate.serial,
        issued_at=certificate.not_before,
        ends_at=certificate.not_after,
        registered_at=device.created_at,
        previous_owners=previous_owners[:_MOST_PREVIOUS_OWNERS],
    )


def previous_owners_of(certificate_id: str, recorded: Owner | None, followed: Owner | None) -> tuple[str, ...]:
    """The ids of a thing name's owners before the certificate that claims it, the latest first.

    `recorded` is the owner in the registry, `followed` the owner that the claim takes over from: a previous one if the
    recorded one was deleted, or was never ACTIVE.
    """
    if recorded is None:
        return ()
    if followed is None or followed.certificate_id == certificate_id:
        return recorded.previous_owners
    return (followed.certificate_id, *followed.previous_owners)
