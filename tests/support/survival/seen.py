"""What a test did in one account, and what it saw there: what the promises are checked against (invariants.py)."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.errors import Basis
from jitr.rules import CaRules, EnrollmentRule, OnReplacement, Rules
from jitr.store.dynamodb import deserialize
from jitr.store.registry_items import to_record
from jitr.store.revoked_cas import REVOKED_CAS
from simulation import Call, Deployment, SimulatedAccount
from simulation.iot.certificates import DeviceCertificate
from simulation.iot.things import SimulatedThing

# Between a run's last look and its UpdateCertificate: 5 s (attempt.py), and the pacer's turn. The call itself is
# carried out some time after it was sent; a second attempt is not the same call.
CONSOLE_WINDOW = timedelta(seconds=5.6)
# A status that is set within these seconds after a rejection is taken for the rejection's own (record.py).
REJECTION_WINDOW = timedelta(seconds=6)
# How the names of callers begin; all others are `register`.
CONSOLE, OPERATOR, SWEEP, REVOKE = "console", "operator", "sweep", "revoke"


@dataclass(slots=True)
class Look:
    """What a caller was last told of a certificate."""

    at: datetime
    status: str
    number: int  # of the registration


@dataclass(slots=True)
class TakenAway:
    """A certificate that the test took away: in the console, or by an order that was carried out."""

    by: str
    number: int | None  # of the registration; None: of whatever registration, as jitrctl orders
    at: datetime


@dataclass(slots=True)
class Verdict:
    """A verdict as an operator's call left it."""

    allows: bool
    by: str
    step: int  # the call that wrote it
    over: "Verdict | None" = None  # somebody else's, which it replaced


@dataclass(slots=True, frozen=True)
class Rejection:
    """A certificate that `register` rejected for a reason that rests on its CA's rules."""

    certificate_id: str
    ca: CaRules  # as they were for the run that did it
    at: datetime


@dataclass(slots=True)
class Change:
    """A certificate's status, from one call to the next."""

    certificate: DeviceCertificate
    before: str | None
    call: Call | None


def decision_text(decision: dict[str, Any]) -> str:
    """The outcome, status and reason of a stored decision."""
    return (
        " ".join(str(decision[name]["S"]) for name in ("outcome", "status", "reason") if name in decision) or "nothing"
    )


@cache
def common_name(pem: str) -> str:
    """The common name of a certificate."""
    (found,) = x509.load_pem_x509_certificate(pem.encode()).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found.value)


@dataclass(slots=True, eq=False)
class Seen:
    """One account, and what the test did there."""

    account: SimulatedAccount
    deployment: Deployment
    name_of: Callable[[str], str]  # certificate id → how a person calls it
    deployed: list[Rules] = field(default_factory=list)
    taken_away: dict[str, TakenAway] = field(default_factory=dict)
    by_hand: set[int] = field(
        default_factory=set
    )  # registrations that the console detached something from, or activated
    detached: set[str] = field(default_factory=set)  # certificate ids that people ever took off their things
    overridden: set[int] = field(default_factory=set)  # registrations whose console change fell into the window
    released: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)  # things whose maker died before it attached them
    retired: set[int] = field(default_factory=set)  # registrations that the sweep deactivated
    ever: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # status → registrations
    rejected_at: dict[int, datetime] = field(default_factory=dict)  # by registration, by `register`
    rejections: list[Rejection] = field(default_factory=list)  # for the rules, in their order
    engagements: set[str] = field(default_factory=set)  # of brakes on CAs' rules, as they are stored
    suspended: set[int] = field(default_factory=set)  # registrations that `revoke` deactivated for a hold
    listed_by_crl: set[str] = field(default_factory=set)  # certificate ids in the newest CRL
    # Registrations, rejected or suspended before, on which an order was given that takes that back.
    release_orders: set[int] = field(default_factory=set)
    hook_names: tuple[str, ...] = ()  # all that the hook ever gives; none: it gives new ones, or there is no hook
    hook_refuses: bool = False  # whether the hook that the test made ever refuses a device
    running: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # orders under way, by certificate id
    looks: dict[tuple[str, str], Look] = field(default_factory=dict)  # by caller and certificate id
    statuses: dict[int, str] = field(default_factory=dict)  # by registration, as last seen
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    began: dict[str, int] = field(default_factory=dict)  # an operator's first call
    claims: dict[str, str] = field(default_factory=dict)  # certificate id → the run that last claimed for it
    owned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # thing name → who ever claimed it
    changes: list[Change] = field(default_factory=list)  # by the last call
    new_claims: list[str] = field(default_factory=list)  # certificate ids, by the last call
    lifted: list[tuple[str, Verdict, Verdict]] = field(default_factory=list)  # verdicts that the last call replaced
    made_last: dict[str, str] = field(default_factory=dict)  # caller → the thing, if its last call was CreateThing
    worked: set[str] = field(default_factory=set)  # things that an ACTIVE certificate was on
    died_there: set[str] = field(default_factory=set)  # things whose makers made no other call
    # The ids of a thing's certificates, by caller and thing, as the caller last read them.
    listed: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    revoked_cas: set[str] = field(default_factory=set)  # the CAs that are revoked now, by id
    ever_revoked_cas: set[str] = field(default_factory=set)
    # CAs whose devices are ordered away now; what a promise is about, at the end.
    lost_cas: set[str] = field(default_factory=set)
    imported: dict[int, str] = field(default_factory=dict)  # registrations by an import, and their source
    sessions_seen: int = 0  # of the sessions that DeleteConnection ended, how many were judged
    step: int = 0

    def __post_init__(self) -> None:
        self.deployed.append(self.deployment.rules)

    # What is seen

    @property
    def certificates(self) -> dict[str, DeviceCertificate]:
        return self.account.iot.certificates.by_id

    @property
    def things(self) -> dict[str, SimulatedThing]:
        return self.account.iot.things.by_name

    def item(self, key: str) -> dict[str, Any]:
        return dict(self.deployment.registry.items.get((key,), {}))

    def rules_of(self, certificate: DeviceCertificate) -> list[CaRules]:
        """The rules that any deployment had for a certificate's CA or source."""
        found = (rules.ca(self.origin_of(certificate)) for rules in self.deployed)
        return [one for one in found if one]

    def origin_of(self, certificate: DeviceCertificate) -> str:
        """Its CA's id, or what stands for it: the source of the import that registered it."""
        return self.imported.get(certificate.number) or certificate.ca_certificate_id or ""

    def name_for(self, certificate: DeviceCertificate) -> str | None:
        """The thing name that the rules of now make of a certificate; None where a hook gives the names."""
        rules = self.deployed[-1].ca(self.origin_of(certificate))
        if rules is None or rules.asks_hook:
            return None
        return rules.thing_name.format(common_name=common_name(certificate.leaf.pem))

    def waits_for_approval(self, certificate: DeviceCertificate) -> bool:
        """Whether the rules of now let a certificate wait for an operator, who has not approved it."""
        rules = self.deployed[-1].ca(self.origin_of(certificate))
        verdict = self.verdicts.get(certificate.certificate_id)
        approved = verdict is not None and verdict.allows
        return rules is not None and rules.enrollment is EnrollmentRule.APPROVE and not approved

    def may_be_refused(self, certificate: DeviceCertificate) -> bool:
        """Whether any rules that were deployed let a certificate be refused for good, or wait for an operator now."""
        rules = self.rules_of(certificate)
        name = common_name(certificate.leaf.pem)
        narrow = any(one.common_name and not re.fullmatch(one.common_name, name) for one in rules)
        by_hook = self.hook_refuses and any(one.asks_hook for one in rules)
        rejects = any(one.on_replacement is OnReplacement.REJECT for one in rules)
        return not rules or narrow or by_hook or rejects or self.waits_for_approval(certificate)

    def active_on(self, thing: SimulatedThing) -> list[DeviceCertificate]:
        certificates = (self.certificates.get(arn.rpartition("/")[2]) for arn in thing.principals)
        return [one for one in certificates if one and one.status == "ACTIVE"]

    def why_not_whole(self, certificate: DeviceCertificate) -> str | None:
        """What an ACTIVE certificate lacks; its policy and its thing are attached, if nothing."""
        if not self.account.iot.policies.of_target(certificate.arn):
            return "without a policy"
        if not self.account.iot.things.of_principal(certificate.arn):
            return "without its thing"
        return None

    def is_taken_away(self, certificate_id: str) -> TakenAway | None:
        """Whether the test took this away, and nobody gave it back; what fell into the window is not counted."""
        certificate, away = self.certificates.get(certificate_id), self.taken_away.get(certificate_id)
        if away is None or (certificate and certificate.number in self.overridden):
            return None
        if away.number is not None and certificate and certificate.number != away.number:
            return None
        return away

    # What is noted

    def died(self, last: Call) -> None:
        """Somebody made no call after this one any more."""
        if last.operation == "CreateThing":
            self.left.add(last.parameters["thingName"])

    def order_ends(self, certificate_id: str, caller: str, *, took_away: bool = False, released: bool = False) -> None:
        """An order was carried out to its end."""
        verdict = self.verdicts.get(certificate_id)
        if took_away and verdict and verdict.by == caller:
            self.taken_away[certificate_id] = TakenAway(caller, None, self.account.aws.clock.now())
        if released and verdict and verdict.by == caller:
            self.taken_away.pop(certificate_id, None)
            self.released.add(certificate_id)

    def console_takes_away(self, certificate: DeviceCertificate) -> None:
        """Somebody set INACTIVE or REVOKED by hand."""
        now = self.account.aws.clock.now()
        rejected_at = self.rejected_at.get(certificate.number)
        if rejected_at and certificate.status == "INACTIVE" and now - rejected_at <= REJECTION_WINDOW:
            return
        self.taken_away[certificate.certificate_id] = TakenAway(CONSOLE, certificate.number, now)

    def _note(self, call: Call) -> None:
        made = self.made_last.pop(call.caller, None)
        if made and call.operation == "BatchGetItem":  # with which another attempt begins
            self.died_there.add(made)
        if call.operation == "CreateThing":
            self.made_last[call.caller] = call.parameters["thingName"]
        if call.operation == "ListThingPrincipals" and call.answer is None:
            name = call.parameters["thingName"]
            arns = self.things[name].principals if name in self.things else ()
            self.listed[call.caller, name] = frozenset(arn.rpartition("/")[2] for arn in arns)
        certificate_id = call.parameters.get("certificateId", "")
        certificate = self.certificates.get(certificate_id)
        if certificate is None:
            return
        if call.operation == "DescribeCertificate":
            self.looks[call.caller, certificate_id] = Look(call.at, certificate.status, certificate.number)
        if call.operation == "UpdateCertificate" and call.caller.startswith(CONSOLE):
            if certificate.status == "ACTIVE":
                self.by_hand.add(certificate.number)
            else:
                self.console_takes_away(certificate)

    @property
    def was_active(self) -> set[int]:
        """Registrations that were ever ACTIVE, by number."""
        return self.ever["ACTIVE"]

    def _note_state(self, call: Call | None) -> None:
        self.changes, self.new_claims, self.lifted = [], [], []
        for certificate in self.certificates.values():
            before = self.statuses.get(certificate.number)
            if before != certificate.status:
                self.statuses[certificate.number] = certificate.status
                self.changes.append(Change(certificate, before, call))
                self.ever[certificate.status].add(certificate.number)
                if certificate.status != "ACTIVE" and call:
                    self._note_end(certificate, before, call)
                if before is None and certificate.status == "INACTIVE" and self._is_suspended(certificate):
                    self.suspended.add(certificate.number)  # before anybody watched
            if certificate.status == "ACTIVE":
                self.worked |= self.account.iot.things.of_principal(certificate.arn).keys()
        if call and call.caller.startswith((CONSOLE, OPERATOR)) and call.operation.startswith("Detach"):
            arn = call.parameters.get("principal") or call.parameters.get("target", "")
            if found := self.certificates.get(arn.rpartition("/")[2]):
                self.detached.add(found.certificate_id)
                if call.caller.startswith(CONSOLE):
                    self.by_hand.add(found.number)
        self._note_items(call)

    def _is_suspended(self, certificate: DeviceCertificate) -> bool:
        return to_record(deserialize(self.item(f"certificate#{certificate.certificate_id}"))).is_suspended

    def _note_end(self, certificate: DeviceCertificate, before: str | None, call: Call) -> None:
        """Note who made a certificate something else than ACTIVE."""
        now = self.account.aws.clock.now()
        if before == "ACTIVE" and call.caller.startswith(SWEEP):
            self.retired.add(certificate.number)
        elif call.caller.startswith(REVOKE) and call.parameters.get("certificateId") == certificate.certificate_id:
            self.taken_away[certificate.certificate_id] = TakenAway(REVOKE, certificate.number, now)
            if certificate.status == "INACTIVE":
                self.suspended.add(certificate.number)
                self.rejected_at[certificate.number] = now
        elif certificate.status == "INACTIVE" and not call.caller.startswith((CONSOLE, OPERATOR)):
            self.rejected_at[certificate.number] = now
            self._note_rejection(certificate)

    def _note_rejection(self, certificate: DeviceCertificate) -> None:
        """Note whether it was for the rules, as the intent says until the decision is recorded."""
        intent = self.item(f"certificate#{certificate.certificate_id}").get("intent", {}).get("M", {})
        if intent.get("rests_on", {}).get("S") != Basis.RULES.value:
            return
        digest = intent["rules_digest"]["S"]
        under = (rules.ca(certificate.ca_certificate_id or "") for rules in self.deployed if rules.digest == digest)
        now = self.account.aws.clock.now()
        self.rejections += [Rejection(certificate.certificate_id, ca, now) for ca in under if ca][:1]

    def _note_cas(self) -> None:
        known = {name: fields for name, fields in self.item(REVOKED_CAS).items() if "M" in fields and "#" not in name}
        self.revoked_cas = set(known)
        self.ever_revoked_cas |= self.revoked_cas
        self.lost_cas = {name for name, fields in known.items() if "devices" in fields["M"]}

    def was_ordered_away_late(self, certificate: DeviceCertificate) -> bool:
        """Whether its CA was revoked with its devices, and the sweep wrote the order on it."""
        verdict = self.item(f"certificate#{certificate.certificate_id}").get("verdict", {}).get("M", {})
        denies = bool(verdict) and not verdict["allows"]["BOOL"]
        return denies and certificate.ca_certificate_id in self.ever_revoked_cas

    def _note_items(self, call: Call | None) -> None:
        self._note_cas()
        for (key,), item in self.deployment.registry.items.items():
            kind, _, rest = key.partition("#")
            if kind == "brake" and "engaged" in item:
                engaged = item["engaged"]["M"]
                self.engagements.add(f"{rest} {engaged['rules']['S']} {engaged['at']['N']}")
            if kind == "thing" and "certificate_id" in item:
                self.owned[rest].add(item["certificate_id"]["S"])
            if kind != "certificate":
                continue
            self._note_import(rest, item)
            intent = item.get("intent", {}).get("M", {})
            run = intent.get("run", {}).get("S", "")
            if run and self.claims.get(rest) != run:
                self.claims[rest] = run
                if intent["outcome"]["S"] == "activated":
                    self.new_claims.append(rest)
            self._note_verdict(rest, item.get("verdict", {}).get("M"), call)

    def _note_import(self, certificate_id: str, item: dict[str, Any]) -> None:
        """Note a registration that an import made under its order, and no device by connecting."""
        certificate, order = self.certificates.get(certificate_id), item.get("import_order", {}).get("M")
        if (
            certificate
            and order
            and certificate.ca_certificate_id in (None, order["source"]["S"])
            and certificate.number not in self.was_active | self.ever["PENDING_ACTIVATION"]
        ):
            self.imported[certificate.number] = order["source"]["S"]

    def _note_verdict(self, certificate_id: str, verdict: dict[str, Any] | None, call: Call | None) -> None:
        if verdict is None or call is None or not call.caller.startswith((OPERATOR, REVOKE)):
            return
        parameters = repr(call.parameters)
        if call.operation not in ("UpdateItem", "TransactWriteItems") or certificate_id not in parameters:
            return
        certificate = self.certificates.get(certificate_id)
        is_rejected = certificate and certificate.status == "INACTIVE" and certificate.number not in self.was_active
        if certificate and call.caller.startswith(REVOKE):
            is_rejected = certificate.status == "INACTIVE" and certificate.number in self.suspended
            away = self.taken_away.get(certificate_id)
            if is_rejected and away and away.by == REVOKE:
                del self.taken_away[certificate_id]  # its hold is lifted
        if certificate and is_rejected and "of_rejection" in verdict and certificate_id not in self.taken_away:
            self.release_orders.add(certificate.number)
        before, allows = self.verdicts.get(certificate_id), bool(verdict["allows"]["BOOL"])
        if before and before.by == call.caller and before.allows == allows:
            return
        if call.answer is None and verdict.get("by", {}).get("S", "").endswith(call.caller):
            over = before.over if before and before.by == call.caller else before
            now = Verdict(allows, call.caller, self.step, over)
            self.verdicts[certificate_id] = now
            if before:
                self.lifted.append((certificate_id, before, now))
