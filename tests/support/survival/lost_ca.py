"""`jitrctl ca revoke` in one simulated account: jitrctl's own code, without the threads that write orders."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.revoked_cas import RevokedCas
from jitr.verdicts import OperatorAction, OperatorVerdict
from jitr.x509.certificate import Certificate
from jitr_fleet.resources import ResourceNames
from jitrctl.ca import revocation
from jitrctl.device.bulk_take_away import plan_take_away
from jitrctl.device.many_targets import find_by_ca
from simulation import Authority, Deployment


class LostCa:
    """One operator's orders on a CA in one account."""

    def __init__(self, deployment: Deployment, authority: Authority, *, name: str, caller: str) -> None:
        """`name` is the CA's in the rules."""
        account, table = deployment.account, deployment.settings.registry_table
        iot, dynamodb = account.client("iot", caller=caller), account.client("dynamodb", caller=caller)
        self._clock = account.aws.clock
        # What jitrctl's code uses of a CA of the fleet file, and of a stage.
        self.ca: Any = SimpleNamespace(
            name=name, certificate_id=authority.certificate_id, certificate=Certificate.from_pem(authority.pem)
        )
        self.stage: Any = SimpleNamespace(
            caller=f"arn:{caller}",
            iot=iot,
            dynamodb=dynamodb,
            paced_iot=AwsIot(iot, Unpaced(), clock=self._clock.now, rules=deployment.rules),
            registry=Registry(dynamodb, table),
            outcomes=Outcomes(dynamodb, table),
            revoked_cas=RevokedCas(dynamodb, table),
            names=ResourceNames("acme"),
            account=SimpleNamespace(cas=(SimpleNamespace(ca=self.ca),), activations_per_second=10.0),
        )

    def revoke(self, action: OperatorAction | None) -> frozenset[str]:
        """`ca revoke`, with --devices if there is an action; the ids of the devices that have the order.

        Raises Refused, Unavailable, botocore's errors.
        """
        steps = revocation.inspect_revocation(self.stage, self.ca).steps_to_revoke
        revocation.carry_out(self.stage, self.ca, steps, "key leaked")
        if action is None:
            return frozenset()
        revocation.order_devices(self.stage, self.ca, action, "key leaked")
        found = find_by_ca(self.stage, self.ca, with_inactive=action is OperatorAction.REVOKED)
        for certificate_id, record in plan_take_away(self.stage, found.certificates, action).orders.items():
            verdict = OperatorVerdict(action=action, by=self.stage.caller, at=self._clock.now())
            self.stage.registry.order_take_away(certificate_id, verdict, seen=record)
        return found.certificates

    def is_carried_out(self, certificate_ids: Iterable[str]) -> bool:
        """Whether the functions have carried out the orders on these."""
        records = self.stage.registry.recall(certificate_ids)
        return not any(record.is_take_away_ordered for record in records.values())

    def lift(self) -> None:
        """`ca revoke --lift`.

        Raises Refused, Unavailable, botocore's errors.
        """
        steps = revocation.inspect_revocation(self.stage, self.ca).steps_to_lift
        revocation.carry_out(self.stage, self.ca, steps, "false alarm")
