"""The promises of docs/how-it-works.md, each as a check on the model's state, with the window that it allows.

One list for the schedules that are explored, the failure matrix and the state machine. Two kinds: what holds at every
moment (after every single call), and what holds at the end, when nothing goes wrong any more and days have passed.

A `Watch` looks at one account. It decides by what the test itself did (the console's calls, the operators' orders, the
rules that were deployed), by the state of the model, and by what the certificates say; a registry item is read only
where the promise is about the registry: who has claimed a name, and which verdict stands.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from jitr.provisioning import OWNER_ATTRIBUTE
from jitr.rules import OnReject, OnReplacement
from simulation import Call, Moment
from simulation.iot.certificates import DeviceCertificate
from simulation.iot.things import EXCLUSIVE, SimulatedThing
from tests.support.survival.brake_promises import announced_once, ended_by_an_operator, few_rejected, held_come_up
from tests.support.survival.end_promises import lost_ca, no_orphans, nothing_dead, one_after_the_overlap
from tests.support.survival.seen import CONSOLE, CONSOLE_WINDOW, OPERATOR, SWEEP, Seen, common_name, decision_text
from tests.support.survival.session_promises import own_session


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise."""

    name: str
    sentence: str  # of docs/how-it-works.md
    check: "Callable[[Watch, Call | None], Iterator[str]]"
    window: str = "none"


@dataclass(slots=True, eq=False)
class Watch(Seen):
    """One account, what the test did there, and what was broken."""

    broken: list[tuple[str, str]] = field(default_factory=list)  # the promise's name, and what was seen
    _told: set[tuple[str, str]] = field(default_factory=set)

    def __call__(self, call: Call, moment: Moment) -> None:
        """Look, before and after a call."""
        if moment == "before":
            self.began.setdefault(call.caller, self.step)
            return
        self.step += 1
        self._note(call)
        self.look(call)

    def look(self, call: Call | None = None) -> None:
        """Check what holds at every moment."""
        if self.deployed[-1] is not self.deployment.rules:
            self.deployed.append(self.deployment.rules)
        self._note_state(call)
        self._check(AT_EVERY_MOMENT, call)

    def settled(self) -> None:
        """Check what holds at the end."""
        self._check(AT_THE_END, None)

    def _check(self, promises: Iterable[Promise], call: Call | None) -> None:
        by = f" (after {call.caller} {call.operation})" if call else ""
        for promise in promises:
            for text in promise.check(self, call):
                if (promise.name, text) not in self._told:  # once, not after every call that follows
                    self._told.add((promise.name, text))
                    self.broken.append((promise.name, text + by))


# At every moment


def _whole(watch: Watch, _call: Call | None) -> Iterator[str]:
    for certificate in watch.certificates.values():
        lacks = watch.why_not_whole(certificate)
        if lacks and certificate.status == "ACTIVE" and certificate.number not in watch.by_hand:
            yield f"{watch.name_of(certificate.certificate_id)} is ACTIVE {lacks}"


def _pending_alone(watch: Watch, _call: Call | None) -> Iterator[str]:
    for change in watch.changes:
        call, certificate = change.call, change.certificate
        if call is None or call.operation != "UpdateCertificate" or call.caller.startswith((CONSOLE, OPERATOR)):
            continue
        certificate_id = certificate.certificate_id
        lifts = change.before == "REVOKED" or (change.before == "INACTIVE" and certificate.status == "ACTIVE")
        if not lifts or watch.running[certificate_id]:
            continue  # while an order runs, it sets the status again
        look = watch.looks.get((call.caller, certificate_id))
        away = watch.taken_away.get(certificate_id)
        is_ordered = certificate.number in watch.release_orders or certificate.number in watch.imported
        if change.before == "INACTIVE" and is_ordered and away is None:
            continue
        in_time = look is not None and call.at - look.at <= CONSOLE_WINDOW and call.attempt == 1
        if in_time and look and away and away.by == CONSOLE and away.at >= look.at:
            watch.overridden.add(certificate.number)
            continue
        yield f"{watch.name_of(certificate_id)} was {change.before}, and is {certificate.status}"


def _verdict_before_claim(watch: Watch, _call: Call | None) -> Iterator[str]:
    for certificate_id in watch.new_claims:
        verdict = watch.verdicts.get(certificate_id)
        if verdict and not verdict.allows:
            yield f"{watch.name_of(certificate_id)} is claimed, and {verdict.by}'s verdict stands against it"


def _verdict_unseen(watch: Watch, _call: Call | None) -> Iterator[str]:
    for certificate_id, _, now in watch.lifted:
        over = now.over
        if now.allows and over and not over.allows and over.step > watch.began.get(now.by, 0):
            yield f"{now.by} lifts {over.by}'s verdict on {watch.name_of(certificate_id)}, which came after it began"


def _taken_away(watch: Watch, _call: Call | None) -> Iterator[str]:
    for certificate_id, certificate in watch.certificates.items():
        if certificate.status != "ACTIVE" or certificate.number in watch.by_hand or watch.running[certificate_id]:
            continue
        if away := watch.is_taken_away(certificate_id):
            yield f"{watch.name_of(certificate_id)} is ACTIVE, and {away.by} took it away"


def _one_name(watch: Watch, _call: Call | None) -> Iterator[str]:
    for thing in watch.things.values():
        active = watch.active_on(thing)
        for index, first in enumerate(active):
            for second in active[index + 1 :]:
                if why := _why_not_beside(watch, first, second):
                    names = f"{watch.name_of(first.certificate_id)} and {watch.name_of(second.certificate_id)}"
                    yield f"{names} are ACTIVE on {thing.name}: {why}"


def _why_not_beside(watch: Watch, first: DeviceCertificate, second: DeviceCertificate) -> str | None:
    """Why two certificates may not be ACTIVE on one thing: neither shares nor follows."""
    if any(one.number in watch.by_hand for one in (first, second)):
        return None
    same_ca = watch.origin_of(first) == watch.origin_of(second)
    shares = [
        any(one.on_replacement is OnReplacement.SHARE for one in watch.rules_of(each)) for each in (first, second)
    ]
    if same_ca and all(shares):
        return None
    return _why_not_after(watch, *sorted((first, second), key=lambda one: (one.leaf.not_before, one.created_at)))


def _why_not_after(watch: Watch, old: DeviceCertificate, new: DeviceCertificate) -> str | None:
    """Why the one may not follow the other."""
    if (new.leaf.not_before, new.created_at) <= (old.leaf.not_before, old.created_at):
        return "it was not issued later"
    same_ca = watch.origin_of(old) == watch.origin_of(new)
    succeeds = {one.succeeds for one in watch.rules_of(new)}
    expected = any("allow" in repr(item) for item in watch.deployment.enrollment.items.values())
    follows_import = old.number in watch.imported and expected
    if not same_ca and watch.origin_of(old) not in succeeds and not follows_import:
        return "they are under different CAs"
    windows = [one.rotation_window for one in watch.rules_of(new)]
    left = old.leaf.not_after - watch.account.aws.clock.now()
    if windows and not expected and left > timedelta(seconds=max(windows)) + timedelta(minutes=2):
        return "the older one is not near its end"
    return None


def _thing_kept(watch: Watch, call: Call | None) -> Iterator[str]:
    if call is not None and call.service != "iot":
        return
    for name, thing in watch.things.items():
        active = [one for one in watch.active_on(thing) if one.number not in watch.by_hand]
        if not active:
            continue
        written_by = thing.attributes.get(OWNER_ATTRIBUTE)
        if written_by and written_by not in watch.owned[name] and not _shares(watch, written_by, active):
            writer = watch.name_of(written_by)
            yield f"{name} is an ACTIVE certificate's, and bears what {writer} wrote, which never claimed it"
        if stranger := _strange_groups(watch, thing, active):
            groups = ", ".join(sorted(stranger))
            yield f"{name} is an ACTIVE certificate's, and is in {groups}, which its owners' rules do not give"


def _shares(watch: Watch, certificate_id: str, active: list[DeviceCertificate]) -> bool:
    """With `share` nobody but the first claims, and all of one CA may write; of a deleted one the CA is not known."""
    certificate = watch.certificates.get(certificate_id)
    return any(
        (certificate is None or certificate.ca_certificate_id == one.ca_certificate_id)
        and any(rules.on_replacement is OnReplacement.SHARE for rules in watch.rules_of(one))
        for one in active
    )


def _strange_groups(watch: Watch, thing: SimulatedThing, active: list[DeviceCertificate]) -> set[str]:
    owners = [watch.certificates[one] for one in watch.owned[thing.name] if one in watch.certificates]
    rules = [one for certificate in [*active, *owners] for one in watch.rules_of(certificate)]
    return set(thing.groups) - {group for one in rules for group in (*one.thing_groups, *one.extra_groups)}


def _retired_in_time(watch: Watch, _call: Call | None) -> Iterator[str]:
    for change in watch.changes:
        call, old = change.call, change.certificate
        if call is None or not call.caller.startswith(SWEEP) or change.before != "ACTIVE":
            continue
        if call.operation != "UpdateCertificate":
            continue  # somebody's who acted meanwhile
        followers = [
            one
            for thing in watch.account.iot.things.of_principal(old.arn).values()
            for one in watch.active_on(thing)
            if one is not old and not watch.why_not_whole(one)
        ]
        seen = [
            look
            for (caller, certificate_id), look in watch.looks.items()
            if caller == call.caller and certificate_id != old.certificate_id and look.status == "ACTIVE"
        ]
        if not followers and not any(call.at - look.at <= CONSOLE_WINDOW for look in seen):
            yield f"{watch.name_of(old.certificate_id)} is retired, and nobody ACTIVE and whole follows it"
        if not followers and any(_was_never_whole(watch, one) for one in watch.certificates.values()):
            yield f"{watch.name_of(old.certificate_id)} is retired for one that is not whole"


def _was_never_whole(watch: Watch, certificate: DeviceCertificate) -> bool:
    return certificate.status == "ACTIVE" and watch.why_not_whole(certificate) is not None


AT_EVERY_MOMENT = (
    Promise("whole", "A certificate is never ACTIVE before its thing and policy are attached.", _whole),
    Promise(
        "pending alone",
        "`register` acts on PENDING_ACTIVATION, on rejections and holds of jitr's own that are taken back, on imports.",
        _pending_alone,
        "console: five seconds and one call, between a run's last look and UpdateCertificate",
    ),
    Promise("verdict before claim", "No verdict stands against what is claimed.", _verdict_before_claim),
    Promise("verdict unseen", "No order lifts a verdict that was given after it looked.", _verdict_unseen),
    Promise(
        "taken away",
        "What was taken away is never made ACTIVE by jitr.",
        _taken_away,
        "as `pending alone`; and while the order runs, which waits for a claim and sets the status again",
    ),
    Promise(
        "one name", "Two certificates are ACTIVE on one thing in a rotation or a share alone, under one CA.", _one_name
    ),
    Promise(
        "thing kept", "A thing of an ACTIVE certificate is changed by a certificate that claimed its name.", _thing_kept
    ),
    Promise(
        "retired in time",
        "The old certificate is retired only while the new one is ACTIVE and whole.",
        _retired_in_time,
        "as `pending alone`, between the sweep's look and UpdateCertificate",
    ),
    Promise("own session", "An order ends no other device's session.", own_session, "between two of its calls"),
    Promise("few rejected", "A mistake in the rules rejects few devices.", few_rejected),
    Promise("ended brake", "An operator who accepts the rejections ends the brake for a day.", ended_by_an_operator),
)


# At the end


def _decided(watch: Watch, _call: Call | None) -> Iterator[str]:
    waiting = " ".join(str(message.body) for message in watch.deployment.registrations.messages)
    for certificate_id, certificate in watch.certificates.items():
        item = watch.item(f"certificate#{certificate_id}")
        decision = item.get("decision", {}).get("M", {})
        recorded = decision.get("status", {}).get("S")
        name = watch.name_of(certificate_id)
        if certificate.status == "PENDING_ACTIVATION":
            if not decision and certificate_id not in waiting and "due" not in item:
                yield f"{name} waits, and is neither decided, nor due, nor queued"
            left = any(rules.on_reject is OnReject.LEAVE for rules in watch.rules_of(certificate))
            if decision and "due" not in item and certificate_id not in waiting and not left:
                yield f"{name} waits, and nothing is due: {decision_text(decision)}"
        elif certificate.status == "ACTIVE" and certificate.number not in watch.by_hand and recorded != "ACTIVE":
            yield f"{name} is ACTIVE, and recorded as {decision_text(decision)}"


def _somebody_has_it(watch: Watch, _call: Call | None) -> Iterator[str]:
    """The rightful device is ACTIVE and whole: of those that may have a name, one has it."""
    wanted: dict[str, list[DeviceCertificate]] = defaultdict(list)
    for certificate in watch.certificates.values():
        name = watch.name_for(certificate)
        possible = [name] if name else watch.hook_names
        blocked = bool(possible) and all(_is_in_the_way(watch, one, certificate) for one in possible)
        if not _is_kept_out(watch, certificate) and not blocked:
            wanted[name or f"a thing of {common_name(certificate.leaf.pem)}"].append(certificate)
    for name, certificates in wanted.items():
        thing = watch.things.get(name)
        late = any(one.number in watch.overridden for one in (watch.active_on(thing) if thing else ()))
        if not late and not any(one.status == "ACTIVE" and not watch.why_not_whole(one) for one in certificates):
            names = ", ".join(watch.name_of(one.certificate_id) for one in certificates)
            yield f"nobody has {name}: {names}"


def _is_kept_out(watch: Watch, certificate: DeviceCertificate) -> bool:
    """Whether the test kept a certificate out: by its rules, a verdict, the console, a CRL; or it had its time."""
    verdict = watch.verdicts.get(certificate.certificate_id)
    denied = verdict is not None and not verdict.allows
    by_console = certificate.certificate_id in watch.taken_away or certificate.number in watch.by_hand
    had_its_time = certificate.number in watch.retired
    by_its_ca = certificate.ca_certificate_id in watch.revoked_cas or watch.was_ordered_away_late(certificate)
    by_its_ca |= certificate.certificate_id in watch.listed_by_crl
    return denied or by_console or had_its_time or by_its_ca or watch.may_be_refused(certificate)


def _is_in_the_way(watch: Watch, name: str, certificate: DeviceCertificate) -> bool:
    """Whether a certificate that had the name, and is there still, lets this one not follow."""
    owners = (watch.certificates.get(one) for one in watch.owned[name] if one != certificate.certificate_id)
    return any(
        one.number in watch.was_active and bool(_why_not_after(watch, one, certificate)) for one in owners if one
    )


def _things_in_order(watch: Watch, _call: Call | None) -> Iterator[str]:
    for certificate in watch.certificates.values():
        things = watch.account.iot.things.of_principal(certificate.arn)
        name = watch.name_of(certificate.certificate_id)
        if len(things) > 1:
            yield f"{name} is attached to {', '.join(sorted(things))}"
        if certificate.status != "ACTIVE" or certificate.number in watch.by_hand:
            continue
        for thing in things.values():
            if thing.principals[certificate.arn].kind != EXCLUSIVE:
                yield f"{name} is not exclusively {thing.name}'s"
        yield from _attributes(watch, certificate)


def _attributes(watch: Watch, certificate: DeviceCertificate) -> Iterator[str]:
    """A thing is in order for the certificate that owns its name.

    What another one wrote that had claimed the name stays when the name goes back: nobody looks at the thing then.
    """
    for thing in watch.account.iot.things.of_principal(certificate.arn).values():
        owner = watch.item(f"thing#{thing.name}").get("certificate_id", {}).get("S")
        written_by = thing.attributes.get(OWNER_ATTRIBUTE, "")
        if owner != certificate.certificate_id:
            continue
        if written_by not in watch.owned[thing.name] and not _shares(watch, written_by, [certificate]):
            yield f"{thing.name} is {watch.name_of(owner)}'s, and bears what {watch.name_of(written_by)} wrote"
        given = [dict(rules.attributes) for rules in watch.rules_of(certificate)]
        fits = any(_has_templates(one) or one.items() <= thing.attributes.items() for one in given)
        if written_by == owner and not fits:
            yield f"{thing.name} has {thing.attributes}, which no rules of its owner's CA give"


def _has_templates(attributes: dict[str, str]) -> bool:
    return any("{" in one for one in attributes.values())


AT_THE_END = (
    Promise("decided", "Every certificate is decided, due or queued, and recorded as what it is.", _decided),
    Promise("somebody has it", "The rightful device is ACTIVE and whole.", _somebody_has_it),
    Promise(
        "things in order",
        "A certificate is on one thing, exclusively, which bears its owner's attributes.",
        _things_in_order,
    ),
    Promise(
        "no orphans",
        "No thing stays that was made for a certificate which is on another.",
        no_orphans,
        "death between CreateThing and AttachThingPrincipal, and a deployment that changes `thing_name`",
    ),
    Promise("nothing dead", "No message is dead-lettered without a reason.", nothing_dead),
    Promise("one after the overlap", "The old certificate is retired after the overlap.", one_after_the_overlap),
    Promise("held come up", "What a brake held is evaluated again once it has ended.", held_come_up),
    Promise("lost CA", "No device of a lost CA stays, however late it became ACTIVE.", lost_ca),
    Promise("announced once", "A brake that engages is announced, with one event.", announced_once),
)
