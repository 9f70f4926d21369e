"""A revoked CA in the state machine's world: operators revoke it in an account and lift that again, at any moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.errors import JitrError
from jitr.store.revoked_cas import REVOKED_CAS
from jitrctl.errors import JitrctlError
from simulation import Call
from tests.support.survival.lost_ca import LostCa
from tests.support.survival.machine_devices import AUTHORITY, BY_ID
from tests.support.survival.machine_site import Site
from tests.support.survival.world import World

# A batch that was read before may activate devices until it ends; after that nothing may.
_BATCH = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class LoseCa:
    """`jitrctl ca revoke`."""

    site: int


@dataclass(frozen=True, slots=True)
class LiftCa:
    """`jitrctl ca revoke --lift`."""

    site: int


class LostCaWorld(World):
    """Two accounts, in each of which the CA may be revoked, and everything that goes on in them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.revoked_at: dict[int, datetime] = {}  # by the site's number, as first seen after a call

    def _act(self, actor: Any) -> None:
        match actor:
            case LoseCa(site=number):
                self._order_ca(number, lift=False)
            case LiftCa(site=number):
                self._order_ca(number, lift=True)
            case _:
                super()._act(actor)

    def _order_ca(self, number: int, *, lift: bool) -> None:
        deployment = self.sites[number].deployment
        lost = LostCa(deployment, AUTHORITY, name=deployment.rules.cas[0].name, caller="operator")
        try:
            if lift:
                lost.lift()
            else:
                lost.revoke(None)
        except (JitrError, JitrctlError, BotoCoreError, ClientError):
            pass  # the operator is told, and may give the order again

    def activate_ca(self, number: int) -> None:
        """What a deployment does that changes the CA's resource; batches that were read before have ended."""
        iot = self.sites[number].account.iot
        ca = iot.cas.by_id[AUTHORITY.certificate_id]
        ca.status, ca.auto_registration = "ACTIVE", "ENABLE"
        iot.broker.rules[AUTHORITY.certificate_id][0].enabled = True
        self.clock.advance(_BATCH.total_seconds() + 10)

    def is_revoked(self, site: Site) -> bool:
        return AUTHORITY.certificate_id in site.deployment.registry.items.get((REVOKED_CAS,), {})

    def _watch_after(self, site: Site, call: Call) -> None:
        number = self.sites.index(site)
        if not self.is_revoked(site):
            self.revoked_at.pop(number, None)
        since = self.revoked_at.setdefault(number, self.clock.now()) if self.is_revoked(site) else None
        if call.operation == "UpdateCertificate" and call.parameters["newStatus"] == "ACTIVE":
            environment = next((one for one in site.environments if one.caller == call.caller), None)
            is_late = since is not None and self.clock.now() - since > _BATCH
            if is_late and not (environment and environment.stalled):
                self.broken.append(f"{call.caller} activates {BY_ID[call.parameters['certificateId']]} under a lost CA")
        super()._watch_after(site, call)

    def settle(self) -> None:
        """Lift what is revoked first: the devices are the rightful ones, and come in then."""
        self._plan = []
        self.together([LiftCa(number) for number, site in enumerate(self.sites) if self.is_revoked(site)], [])  # type: ignore[misc]
        for site in self.sites:
            if self.is_revoked(site):
                self.broken.append("a revocation cannot be lifted")
        super().settle()
