"""Keeps revoked CAs INACTIVE: a deployment or a person may have set one ACTIVE again.

CloudFormation sets a CA that the stack registers ACTIVE whenever anything of that resource changes, a tag for instance.
Until the next sweep AWS IoT registers its devices then, and `register` holds them (procedure.py).
"""

from collections.abc import Mapping

from jitr.aws.ca_status import CaStatus
from jitr.rules import Rules
from jitr.store.revoked_cas import CaRevocation
from jitr.telemetry import DISAGREEMENTS, Announcer


class CaGuard:
    """Guards the revoked CAs of one account and Region."""

    def __init__(self, *, rules: Rules, cas: CaStatus, announcer: Announcer) -> None:
        self._rules = rules
        self._cas = cas
        self._announcer = announcer

    def keep_inactive(self, revoked: Mapping[str, CaRevocation]) -> None:
        """Set each of these CAs, by certificate id, that is in the fleet file INACTIVE, unless it is.

        Raises Unavailable, NotPermitted.
        """
        for ca_certificate_id, revocation in revoked.items():
            ca = self._rules.ca(ca_certificate_id)
            if ca and self._cas.deactivate(ca_certificate_id):
                self._announcer.warn(
                    "a CA was ACTIVE against an operator's order, and was set INACTIVE",
                    DISAGREEMENTS,
                    ca=ca.name,
                    ca_certificate_id=ca_certificate_id,
                    why=revocation.description,
                )
