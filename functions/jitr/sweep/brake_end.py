"""The sweep's part in the brakes on CAs' rules.

    ended        the CA's rules are others than those it was engaged under, or its brake was switched off
    announced    the function that engaged it ended before it could
    reported     RulesRefuseMany, 1 or 0 for each CA, so that the alarm lasts as long as the brake

What a brake held is judged again when it ends: other rules are a reason to look at every held device anyway
(runner.py), and so is an acceptance.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from jitr.brake import Brake
from jitr.rules import CaRules, Rules
from jitr.store.brakes import Brakes
from jitr.telemetry import RULES_REFUSE_MANY, Announcer

# Longer than a function lives that is about to announce it.
_ANNOUNCED_WITHIN = timedelta(minutes=2)


def read_brakes(brakes: Brakes, rules: Rules) -> dict[str, Brake]:
    """The brake of each of the stage's CAs, by CA certificate id.

    Raises Unavailable.
    """
    return brakes.read(ca.certificate_id for ca in rules.cas)


def rules_version(rules: Rules, known: Mapping[str, Brake]) -> str:
    """Names what held devices are judged under: the rules, and which rejections operators have accepted."""
    acceptances = sum(brake.acceptances for brake in known.values())
    return f"{rules.digest}+{acceptances}" if acceptances else rules.digest


def maintain_brake(brakes: Brakes, announcer: Announcer, ca: CaRules, brake: Brake, now: datetime) -> None:
    """End, announce and report one CA's brake.

    Raises Unavailable.
    """
    engaged = brake.engaged
    if engaged is not None and (ca.brake is None or engaged.rules != ca.digest):
        brakes.disengage(ca.certificate_id, engaged)
        engaged = None
    if engaged is not None and not engaged.announced and engaged.at + _ANNOUNCED_WITHIN < now:
        announcer.announce_brake(ca, engaged)
        brakes.note_announced(ca.certificate_id, engaged)
    announcer.count(RULES_REFUSE_MANY, 0 if engaged is None else 1, ca=ca.name)
