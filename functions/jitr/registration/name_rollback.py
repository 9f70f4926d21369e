"""A thing name that was claimed, and whose certificate did not become ACTIVE, goes back to whom it belonged.

The claim is right before ACTIVE. What comes between the two (a crash, an operator, a rule that changed) must not leave
the name with a certificate that never works: the device's next rotation would be refused for its sake.

Several claims in a row can come to nothing. So a name's owner is written down with those that had it before, and the
name goes back over all that were never ACTIVE to the first one that was. If that one is ACTIVE no more, the name is
free: what it followed in its time was replaced for good.
"""

from jitr.admission.rotation import owner_of
from jitr.aws.iot import AwsIot
from jitr.decisions import Decision
from jitr.errors import CertificateUnknown, Rejected
from jitr.iot_models import Status
from jitr.owners import NameRollback, Owner
from jitr.store.registry import Registry
from jitr.x509.certificate import Certificate


class Restitution:
    """Gives thing names back in one account and Region."""

    def __init__(self, *, iot: AwsIot, registry: Registry) -> None:
        self._iot = iot
        self._registry = registry

    def of(self, intent: Decision | None) -> NameRollback | None:
        """How the claim that an intent speaks of is undone; None if there is none, or the name is another's by now.

        Raises Unavailable.
        """
        if intent is None or not intent.claims_name:
            return None
        assert intent.thing_name is not None  # noqa: S101 -- it claims one
        owner = self._registry.owners([intent.thing_name]).get(intent.thing_name)
        if owner is None or owner.certificate_id != intent.certificate_id:
            return None
        former = tuple(
            dict.fromkeys((intent.replaces, *owner.previous_owners) if intent.replaces else owner.previous_owners)
        )
        return NameRollback(thing_name=intent.thing_name, by=intent.certificate_id, to=self.rightful(former))

    def give_back(self, intent: Decision | None) -> None:
        """Undo the claim that an intent speaks of.

        Only where no other attempt can be on its way to ACTIVE: under the lock, or once the certificate has left
        PENDING_ACTIVATION.

        Raises Unavailable.
        """
        if back := self.of(intent):
            self._registry.give_back(back)

    def rightful(self, previous_owners: tuple[str, ...]) -> Owner | None:
        """Whose a name is that its owner does not have any more: its newest former owner's that is ACTIVE.

        Raises Unavailable.
        """
        records = self._registry.recall(previous_owners) if previous_owners else {}
        for index, certificate_id in enumerate(previous_owners, start=1):
            if owner := self._working(certificate_id, previous_owners[index:]):
                return owner
            if records[certificate_id].was_active:
                break
        return None

    def _working(self, certificate_id: str, previous_owners: tuple[str, ...]) -> Owner | None:
        try:
            device = self._iot.describe(certificate_id)
            if device.status is Status.ACTIVE:
                return owner_of(device, Certificate.from_pem(device.pem), previous_owners)
        except (CertificateUnknown, Rejected):
            pass
        return None
