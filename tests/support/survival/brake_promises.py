"""What the brakes on CAs' rules promise (docs/how-it-works.md), as checks on what was seen in one account."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from jitr.brake import ACCEPTED_FOR, BrakeLimits
from jitr.rules import CaRules
from jitr.store.brake_items import brake_key
from jitr.store.registry_items import moment
from jitr.telemetry import BRAKE_DETAIL_TYPE
from simulation import Call
from tests.support.survival.seen import Seen, common_name

# The brake counts twelve slots of five minutes, of which the last one is not over.
_HOUR_AT_LEAST = timedelta(minutes=55)


def few_rejected(seen: Seen, _call: Call | None) -> Iterator[str]:
    """Of a CA, no more certificates are rejected for its rules within an hour than the brake's limit."""
    if not any(change.certificate.number in seen.rejected_at for change in seen.changes) or not seen.rejections:
        return
    last = seen.rejections[-1]
    limits = _limits(seen, last.ca)
    if limits is None or _is_accepted(seen, last.ca):
        return
    rejected = {
        one.certificate_id
        for one in seen.rejections
        if (one.ca.certificate_id, one.ca.digest) == (last.ca.certificate_id, last.ca.digest)
        and last.at - one.at < _HOUR_AT_LEAST
    }
    others = len(seen.was_active) + len(seen.rejected_at) - len(seen.rejections)  # at most
    share = 100 * len(rejected) / (len(rejected) + others)
    if len(rejected) > limits.refused and share > limits.share:
        names = ", ".join(sorted(map(seen.name_of, rejected)))
        yield f"{names} are rejected for the rules of CA {last.ca.name}, and its brake allows {limits.refused}"


def ended_by_an_operator(seen: Seen, _call: Call | None) -> Iterator[str]:
    """For a day after an operator accepted the rejections, the brake is not engaged for the same rules."""
    now = seen.account.aws.clock.now()
    for rules in seen.deployed[-1].cas:
        item = seen.item(brake_key(rules.certificate_id))
        if "engaged" not in item or "accepted" not in item:
            continue
        engaged, accepted = item["engaged"]["M"], item["accepted"]["M"]
        if engaged["rules"] == accepted["rules"] and now < moment(int(accepted["at"]["N"])) + ACCEPTED_FOR:
            yield f"the brake of CA {rules.name} is engaged, and {accepted['by']['S']} has accepted the rejections"


def held_come_up(seen: Seen, _call: Call | None) -> Iterator[str]:
    """What a brake holds is decided on once other rules admit it, or an operator has accepted the rejections."""
    for certificate in seen.certificates.values():
        decision = seen.item(f"certificate#{certificate.certificate_id}").get("decision", {}).get("M", {})
        if certificate.status != "PENDING_ACTIVATION" or "brake" not in decision:
            continue
        name, ca_id = seen.name_of(certificate.certificate_id), certificate.ca_certificate_id or ""
        ca = seen.deployed[-1].ca(ca_id)
        if ca and re.fullmatch(ca.common_name or ".*", common_name(certificate.leaf.pem)):
            yield f"{name} is held by the brake, and the rules of now admit it"
        if int(decision["brake"]["N"]) < int(seen.item(brake_key(ca_id)).get("acceptances", {}).get("N", "0")):
            yield f"{name} is held by the brake, and an operator has accepted the rejections"


def announced_once(seen: Seen, _call: Call | None) -> Iterator[str]:
    """Each brake that engaged, and is not over, is announced, under one id, and no other is."""
    told = {(one.detail["ca"], one.detail["id"]) for one in _announcements(seen)}
    if len(told) > len(seen.engagements):
        yield f"{len(told)} brakes are announced, and {len(seen.engagements)} engaged"
    for rules in seen.deployed[-1].cas:
        engaged = seen.item(brake_key(rules.certificate_id)).get("engaged", {}).get("M")
        if not engaged or engaged["rules"]["S"] != rules.digest:
            continue  # one of earlier rules is over, whether or not the sweep has removed it yet
        if not (engaged.get("announced", {}).get("BOOL") and rules.name in {ca for ca, _ in told}):
            yield f"the brake of CA {rules.name} is engaged, and not announced"


def announced_ids(seen: Seen) -> list[str]:
    """Of the brakes that were announced."""
    return sorted({str(one.detail["id"]) for one in _announcements(seen)})


def _announcements(seen: Seen) -> list[Any]:
    return [one for one in seen.account.events.put if one.detail_type == BRAKE_DETAIL_TYPE]


def _limits(seen: Seen, ca: CaRules) -> BrakeLimits | None:
    """The brake's widest limits under any rules that were deployed; None where it was ever off."""
    found = [one.brake for rules in seen.deployed if (one := rules.ca(ca.certificate_id))]
    on = [one for one in found if one is not None]
    if len(on) < len(found):
        return None
    return max(on, key=lambda one: (one.refused, one.share))


def _is_accepted(seen: Seen, ca: CaRules) -> bool:
    accepted = seen.item(brake_key(ca.certificate_id)).get("accepted", {}).get("M", {})
    return bool(accepted.get("rules", {}).get("S") == ca.digest)
