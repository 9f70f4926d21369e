"""Ends, announces and reports the brakes of CAs, once per sweep.

    end         the CA's rules are others than those it was engaged under, or its brake was switched off
    announce    the function that engaged it ended before it could announce it
    report      RulesRefuseMany, 1 or 0 for each CA, so that the alarm lasts as long as the brake

The devices that a brake held are evaluated again when it ends: changed rules and acceptances both start a walk over all
held devices (held_walks.py).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from jitr.brake import Brake
from jitr.rules import CaRules, Rules
from jitr.store.brakes import Brakes
from jitr.telemetry import RULES_REFUSE_MANY, Announcer

# Longer than the function that engaged a brake can take until it announces it.
_ANNOUNCED_WITHIN = timedelta(minutes=2)


def read_brakes(brakes: Brakes, rules: Rules) -> dict[str, Brake]:
    """The brake of each of the stage's CAs, by CA certificate id.

    Raises Unavailable.
    """
    return brakes.read(ca.certificate_id for ca in rules.cas)


def rules_version(rules: Rules, known: Mapping[str, Brake]) -> str:
    """Names what held devices are evaluated under: the rules, and the number of acceptances by operators."""
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
