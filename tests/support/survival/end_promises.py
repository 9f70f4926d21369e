"""Promises about what is left in the end: things, messages, old certificates, and devices of a lost CA."""

from collections.abc import Iterator

from jitr.provisioning import OWNER_ATTRIBUTE
from jitr.rules import OnReplacement
from simulation import Call
from tests.support.survival.seen import Seen


def no_orphans(watch: Seen, _call: Call | None) -> Iterator[str]:
    for name, thing in watch.things.items():
        if not thing.principals and OWNER_ATTRIBUTE in thing.attributes and name not in watch.left:
            owner = watch.certificates.get(thing.attributes[OWNER_ATTRIBUTE])
            if owner is None or owner.number in watch.by_hand or owner.certificate_id in watch.detached:
                continue
            if name in watch.worked and owner.certificate_id in watch.released:
                continue  # it was a device's, which an operator had evaluated again: its name may be another one
            died_there = name in watch.died_there or name in watch.made_last.values()
            if died_there and not any(one.hook for one in watch.rules_of(owner)):
                continue  # and the name is another one by now
            # What waits and will have this very thing, or be asked about only then, has not left it.
            has_left = owner.status == "ACTIVE" or name != watch.name_for(owner)
            has_left &= not watch.waits_for_approval(owner)
            if has_left and owner.status in ("ACTIVE", "PENDING_ACTIVATION"):
                yield f"thing {name} was made for {watch.name_of(owner.certificate_id)}, and is nobody's"


def nothing_dead(watch: Seen, _call: Call | None) -> Iterator[str]:
    for message in watch.deployment.dead_letters.messages:
        yield f"dead-lettered: {message.body}"


def one_after_the_overlap(watch: Seen, _call: Call | None) -> Iterator[str]:
    for thing in watch.things.values():
        active = watch.active_on(thing)
        shared = any(one.on_replacement is OnReplacement.SHARE for each in active for one in watch.rules_of(each))
        if len(active) > 1 and not shared and not any(one.number in watch.by_hand for one in active):
            names = ", ".join(watch.name_of(one.certificate_id) for one in active)
            yield f"{names} are ACTIVE on {thing.name} long after the overlap"


def lost_ca(watch: Seen, _call: Call | None) -> Iterator[str]:
    for certificate in watch.certificates.values():
        is_lost = certificate.ca_certificate_id in watch.lost_cas and certificate.number not in watch.by_hand
        if is_lost and certificate.status == "ACTIVE":
            yield f"{watch.name_of(certificate.certificate_id)} is ACTIVE, and its CA's devices were ordered away"
