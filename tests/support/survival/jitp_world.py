"""The world of explored schedules around a provisioning template (JITP), and what is promised there.

never both    jitr acts on no certificate that AWS IoT is provisioning, or has provisioned, by the template
nobody lost   in the end every device is in, by JITP or by jitr; while a template is on the CA, those that JITP began
              with and could provision, and the others are pending
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.errors import JitrError
from jitr.store.revoked_cas import RevokedCas
from jitr.x509.certificate import Certificate
from jitr_fleet.resources import ResourceNames
from jitrctl.errors import Refused
from jitrctl.jitp import take_over, take_over_plan
from jitrctl.jitp.half_done import HalfDone
from jitrctl.jitp.take_over_plan import plan_take_over, plan_undo
from simulation import Call, Leaf, Moment
from simulation.clock import START
from simulation.iot.certificates import DeviceCertificate
from tests.support.jitp.fleet import put_template
from tests.support.survival.explored_world import HOME, ExploredWorld, authority
from tests.support.survival.invariants import Watch
from tests.support.survival.one_thread import Act

RULE = ResourceNames("acme").rule(HOME)
_COUNTRY = (x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),)
_CONNECTS = 3
_COUNTS_AS_KILLED = 241  # seconds
# A rule of nothing: a call on it marks a CONNECT, as a write that every other act may meet.
_MARK = "mark"


@cache
def _issued(common_name: str, number: int, *, whole: bool) -> Leaf:  # noqa: ARG001 -- of several
    return authority(HOME).issue(common_name, not_before=START - timedelta(days=1), subject=_COUNTRY if whole else ())


@dataclass(eq=False)
class JitpWatch(Watch):
    """A watch that also keeps the promises about JITP."""

    devices: Callable[[], dict[str, Leaf]] = dict

    def __call__(self, call: Call, moment: Moment) -> None:
        self._note_jitp()
        if moment == "after" and call.caller.startswith("register") and call.service == "iot":
            self._watch_both(call)
        super().__call__(call, moment)

    def settled(self) -> None:
        self._note_jitp()
        super().settled()
        for label, leaf in self.devices().items():
            if why := self._why_lost(leaf):
                self.broken.append(("nobody lost", f"{label} {why}"))

    def may_be_refused(self, certificate: DeviceCertificate) -> bool:
        return self._is_left_to_jitp(certificate) or super().may_be_refused(certificate)

    def _is_left_to_jitp(self, certificate: DeviceCertificate) -> bool:
        """Whether the template is there, and JITP could not provision it, or never began to: it stays pending.

        It never begins with a device that registered while the template was off, unless it tries again.
        """
        ca, jitp = self.account.iot.cas.by_id[certificate.ca_certificate_id or ""], self.account.iot.just_in_time
        certificate_id = certificate.certificate_id
        was_begun = certificate_id in {*jitp.under_way, *jitp.provisioned}
        is_left = certificate_id in jitp.failed or not was_begun
        return ca.template is not None and certificate.status == "PENDING_ACTIVATION" and is_left

    def _note_jitp(self) -> None:
        """What JITP did is another party's, to the promises of jitr."""
        done = self.account.iot.just_in_time.provisioned
        self.by_hand |= {self.certificates[one].number for one in done if one in self.certificates}

    def _watch_both(self, call: Call) -> None:
        jitp, parameters = self.account.iot.just_in_time, repr(call.parameters)
        if call.operation.startswith(("Describe", "List", "Get")):
            return
        for certificate_id in {*jitp.under_way, *jitp.provisioned}:
            if certificate_id in parameters:
                self.broken.append(("never both", f"{self.name_of(certificate_id)}: jitr makes {call.operation}"))

    def _why_lost(self, leaf: Leaf) -> str | None:
        certificate = self.certificates.get(leaf.certificate_id)
        if certificate is None:
            return "is not registered"
        if self._is_left_to_jitp(certificate):
            return None
        if certificate.status != "ACTIVE" or (lacks := self.why_not_whole(certificate)):
            return f"is {certificate.status}" + (f" {lacks}" if certificate.status == "ACTIVE" else "")
        return None


class JitpWorld(ExploredWorld):
    """One account whose CA has a template, with the key `jitp` deployed."""

    def __init__(self, **switches: Any) -> None:
        super().__init__(**{HOME: {"jitp": True}})
        for name, value in switches.items():
            setattr(self.aws.undocumented, name, value)
        self.ca_id = authority(HOME).certificate_id
        self.ca: Any = SimpleNamespace(
            name=HOME, certificate_id=self.ca_id, certificate=Certificate.from_pem(authority(HOME).pem)
        )
        put_template(self.account, self.ca_id)
        self.account.add_rule("none", self.deployment.crl_arrivals.url, name=_MARK)
        self.watch = JitpWatch(self.account, self.deployment, self.label, devices=lambda: self.devices)
        self.aws.fault = self.watch

    def new_device(self, label: str, *, whole: bool = True) -> Leaf:
        """A device; JITP leaves one that is not `whole` pending."""
        number = len(self.devices)
        self.devices[label] = _issued(f"sensor-{number + 1}", number, whole=whole)
        return self.devices[label]

    def connect(self, leaf: Leaf) -> None:
        names = {one.certificate_id: f"sensor-{number + 1}" for number, one in enumerate(self.devices.values())}
        self.account.connect(leaf, client_id=names[leaf.certificate_id])

    def leave_pending(self, label: str) -> Leaf:
        """A device that JITP could not provision, some time ago."""
        leaf = self.new_device(label, whole=False)
        self.connect(leaf)
        self.clock.advance(700)
        return leaf

    def take_over(self, name: str, *, undoes: bool = False, again: bool = False) -> Act:
        """`jitrctl ca adopt --take-over`, or `--undo`: jitrctl's own code; who is cut off gives the order again."""
        stage = self._stage(name)

        def run() -> None:
            done = False
            if again:
                self.clock.advance(_COUNTS_AS_KILLED)
            try:
                with self._in_this_world():
                    if undoes:
                        take_over.undo(stage, plan_undo(stage, self.ca), sleep=self.clock.sleep)
                    else:
                        take_over.take_over(stage, plan_take_over(stage, self.ca), sleep=self.clock.sleep)
                done = True
            except HalfDone:
                pass
            except Refused:
                done = True  # an answer: it said what is in the way
            except (JitrError, ClientError):
                pass
            finally:
                if not done:
                    self.unfinished.append(self.take_over(name, undoes=undoes, again=True))

        return run

    def _stage(self, name: str) -> Any:
        """What jitrctl's code uses of a stage."""
        client = self.account.client("iot", caller=name)
        declared, names = SimpleNamespace(ca=self.ca, jitp=True), ResourceNames("acme")
        return SimpleNamespace(
            caller=f"arn:{name}",
            region="eu-central-1",
            revoked_cas=RevokedCas(self.account.client("dynamodb", caller=name), names.registry_table),
            iot=client,
            dynamodb=self.account.client("dynamodb", caller=name),
            names=names,
            account=SimpleNamespace(name="dev", cas=(declared,)),
            rules=self.deployment.rules,
        )

    @contextmanager
    def _in_this_world(self) -> Iterator[None]:
        """Let jitrctl's code have this world's clock, deployed rules and sweep."""

        def start_sweep(_: object) -> bool:
            self.sweep()()
            return True

        def rules(_: object) -> Any:
            return self.deployment.rules

        with (
            patch.object(take_over, "now", self.clock.now),
            patch.object(take_over, "start_sweep", start_sweep),
            patch.object(take_over_plan, "now", self.clock.now),
            patch.object(take_over_plan, "read_deployed_rules", rules),
        ):
            yield

    def come(self, leaf: Leaf) -> Act:
        """A device connects some times; a call marks each, so that a schedule can pause there."""
        client = self.account.client("iot", caller="device")

        def run() -> None:
            for _ in range(_CONNECTS):
                client.enable_topic_rule(ruleName=_MARK)
                self.connect(leaf)
                self.clock.sleep(3)

        return run

    def deliver(self, caller: str) -> Act:
        """An environment of `register` takes what is in the queue, now and somewhat later."""
        mapping = self.deployment.mapping(caller=caller)

        def run() -> None:
            for _ in range(6):
                if mapping.poll() is None:
                    self.clock.sleep(5)

        return run

    def remove_key(self) -> Act:
        """The key is taken out, and that deployed; with the template on the CA nobody does that."""

        def run() -> None:
            if self.account.iot.cas.by_id[self.ca_id].template is None:
                self.deploy(jitp=False)

        return run

    def state(self) -> object:
        ca, jitp = self.account.iot.cas.by_id[self.ca_id], self.account.iot.just_in_time
        enabled = [rule.enabled for rule in self.account.iot.broker.rules[self.ca_id]]
        return repr(
            (
                super().state(),
                bool(ca.template),
                ca.auto_registration,
                ca.updated_at,
                enabled,
                sorted(jitp.under_way),
                sorted(jitp.provisioned),
                sorted(jitp.failed),
            )
        )
