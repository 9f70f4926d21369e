"""Gives a thing name back to its previous owner when the certificate that claimed it did not become ACTIVE.

The claim is written right before the certificate is set ACTIVE. If the attempt ends between the two (a crash, an
operator's order, a changed rule), the name must not stay with a certificate that never works: it would prevent the
device's next rotation.

Several claims in a row can fail. Therefore an owner is stored with the owners before it. The name goes back past all
that were never ACTIVE, to the newest one that was. If that one is no longer ACTIVE, the name becomes free: the owners
before it were replaced for good.
"""

from jitr.admission.rotation import owner_of
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision
from jitr.errors import CertificateUnknown, Rejected
from jitr.iot_models import Status
from jitr.owners import NameRollback, Owner
from jitr.store.registry import Registry
from jitr.x509.certificate import Certificate


class NameRollbacks:
    """Gives thing names back in one account and Region."""

    def __init__(self, *, iot: AwsIot, registry: Registry) -> None:
        self._iot = iot
        self._registry = registry

    def find(self, intent: Decision | None) -> NameRollback | None:
        """The rollback of an intent's claim; None if it claims no name, or the name has another owner by now.

        Raises Unavailable.
        """
        if intent is None or intent.thing_name is None or not intent.claims_name:
            return None
        owner = self._registry.owners([intent.thing_name]).get(intent.thing_name)
        if owner is None or owner.certificate_id != intent.certificate_id:
            return None
        previous = (intent.replaces, *owner.previous_owners) if intent.replaces else owner.previous_owners
        rightful = self.find_rightful_owner(tuple(dict.fromkeys(previous)))
        return NameRollback(thing_name=intent.thing_name, by=intent.certificate_id, to=rightful)

    def give_back(self, intent: Decision | None) -> None:
        """Undo an intent's claim.

        Call it only when no other attempt can activate the certificate: under the lock, or once the certificate has
        left PENDING_ACTIVATION.

        Raises Unavailable.
        """
        if back := self.find(intent):
            self._registry.give_back(back)

    def find_rightful_owner(self, previous_owners: tuple[str, ...]) -> Owner | None:
        """The newest of a name's previous owners that is ACTIVE; None if the name is free.

        `previous_owners` are certificate ids, the latest first.

        Raises Unavailable.
        """
        records = self._registry.recall(previous_owners) if previous_owners else {}
        for index, certificate_id in enumerate(previous_owners, start=1):
            if owner := self._find_active(certificate_id, previous_owners[index:]):
                return owner
            if records[certificate_id].was_active:
                break
        return None

    def _find_active(self, certificate_id: str, previous_owners: tuple[str, ...]) -> Owner | None:
        try:
            device = self._iot.describe(certificate_id)
            if device.status is Status.ACTIVE:
                return owner_of(device, Certificate.from_pem(device.pem), previous_owners)
        except (CertificateUnknown, Rejected):
            pass
        return None
