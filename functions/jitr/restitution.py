"""A thing name that was claimed, and whose certificate did not become ACTIVE, goes back to whom it belonged.

The claim is right before ACTIVE. What comes between the two (a crash, an operator, a rule that changed) must not leave
the name with a certificate that never works: the device's next rotation would be refused for its sake.
"""

from jitr.certificates import Certificate
from jitr.decisions import Decision, Owner
from jitr.errors import CertificateUnknown, Rejected
from jitr.iot import AwsIot
from jitr.registrations import Status
from jitr.registry import Registry
from jitr.replacement import owner_of


class Restitution:
    """Gives thing names back in one account and Region."""

    def __init__(self, *, iot: AwsIot, registry: Registry) -> None:
        self._iot = iot
        self._registry = registry

    def give_back(self, intent: Decision | None) -> None:
        """Undo the claim that an intent speaks of, if it does and the name is still this certificate's.

        Raises Unavailable.
        """
        if intent is None or not intent.claims_name:
            return
        assert intent.thing_name is not None  # noqa: S101 -- it claims one
        former = self._working(intent.replaces) if intent.replaces else None
        if former:
            self._registry.give_name_back(intent.thing_name, former, by=intent.certificate_id)
        else:
            self._registry.disown(intent.thing_name, intent.certificate_id)

    def _working(self, certificate_id: str) -> Owner | None:
        """The certificate that had the name, as its owner, if it still works."""
        try:
            device = self._iot.describe(certificate_id)
            if device.status is Status.ACTIVE:
                return owner_of(device, Certificate.from_pem(device.pem))
        except (CertificateUnknown, Rejected):
            pass
        return None
