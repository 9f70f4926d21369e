"""The state of the state machine's world: two accounts under one CA, the rules deployed there, and what broke."""

from collections.abc import Callable
from functools import cache
from typing import Any

from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.rules import EnrollmentRule, OnReject, OnReplacement
from jitr.store.registry import Registry
from jitrctl.device.operations import Operator
from simulation import Call, Deployment
from simulation.deployment import ca_rules, rules
from tests.support.survival.invariants import Watch
from tests.support.survival.machine_devices import AUTHORITY, BY_ID
from tests.support.survival.machine_site import Environment, Site
from tests.support.survival.warm import WarmAws

ACCOUNTS = ("111111111111", "222222222222")


OVERLAP = 3600


# What may be deployed: changes of the CA's rules.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attributes": {"attributes": {"model": "two"}},
    "narrow": {"common_name": "sensor-[25].*"},
    "wide": {"common_name": "[a-z]+-[0-9]+"},
    "group": {"thing_groups": ("factory-1",)},
    "approve": {"enrollment": EnrollmentRule.APPROVE},
}


@cache
def _pairs() -> dict[str, Any]:
    return {}


def _rules(key: str, make: Callable[[], Any]) -> Any:
    """Rules are the same for all worlds."""
    if key not in _pairs():
        _pairs()[key] = make()
    return _pairs()[key]


class MachineState:
    """Two accounts with jitr in them, and what was seen to be wrong."""

    def __init__(
        self, *, on_replacement: OnReplacement, on_reject: OnReject, batch_size: int, unnamed: bool = False
    ) -> None:
        """`unnamed`: AWS says of no certificate whose it is (Undocumented.hide_sni_only_cas)."""
        self.batch_size = batch_size
        self.aws = WarmAws(keep_calls=False)
        if unnamed:
            self.aws.undocumented.hide_sni_only_cas()
        self.clock = self.aws.clock
        self.on_replacement = on_replacement
        self.on_reject = on_reject
        self.variant = "plain"
        self.broken: list[str] = []
        self.current: str | None = None
        self.sites = [self._site(account_id) for account_id in ACCOUNTS]
        self._by_account = {site.account.id: site for site in self.sites}
        self.trace: list[str] | None = None

    def _site(self, account_id: str) -> Site:
        account = self.aws.account(account_id)
        account.iot.cas.register_ca_certificate(
            {
                "caCertificate": AUTHORITY.pem,
                "certificateMode": "SNI_ONLY",
                "setAsActive": True,
                "allowAutoRegistration": True,
            }
        )
        deployment = Deployment(account, self.rules())
        deployment.journal.keep = False
        account.iot.things.groups.add("factory-1")
        iot = account.client("iot", caller="operator")
        operator = Operator(
            client=iot,
            iot=AwsIot(
                iot,
                Unpaced(),
                clock=self.clock.now,
                rules=deployment.rules,
            ),
            registry=Registry(account.client("dynamodb", caller="operator"), deployment.settings.registry_table),
            rules=deployment.rules,
            clock=self.clock.now,
            monotonic=self.clock.monotonic,
            sleep=lambda seconds: self.clock.sleep(10 * seconds),  # a patient one: fewer looks to simulate
        )
        environments = [
            Environment(caller=caller, mapping=deployment.mapping(batch_size=self.batch_size, caller=caller))
            for caller in ("register-1", "register-2")
        ]
        watch = Watch(account, deployment, lambda certificate_id: str(BY_ID.get(certificate_id, certificate_id[:8])))
        site = Site(account=account, deployment=deployment, environments=environments, operator=operator, watch=watch)
        watch.running = site.running
        return site

    def rules(self) -> Any:
        settings = {
            "overlap": OVERLAP,
            "on_replacement": self.on_replacement,
            "on_reject": self.on_reject,
            **VARIANTS[self.variant],
        }
        return _rules(repr(sorted(settings.items())), lambda: rules(ca_rules(AUTHORITY, **settings)))

    def deploy(self, variant: str, on_reject: OnReject) -> None:
        """Changed rules: environments that are at work go on under the old ones to the end of their batch."""
        self.variant, self.on_reject = variant, on_reject
        for site in self.sites:
            site.deployment.rules = self.rules()
            for environment in site.environments:
                environment.mapping = site.deployment.mapping(batch_size=self.batch_size, caller=environment.caller)

    def _note(self, what: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.clock.monotonic():9.2f} {what}")

    def _break(self, call: Call | None, what: str) -> None:
        if len(self.broken) < 5:
            by = f" (after {call.caller} {call.name})" if call else ""
            self.broken.append(what + by)
