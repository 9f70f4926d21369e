"""The items of tests/edge/versions as the functions of today read them: records, verdicts, owners and brakes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from jitr.brake import Acceptance, Brake, Counters, Engagement, Tally, day_of, slot_of
from jitr.crl_progress import (
    WAITS,
    AppliedCrl,
    ApprovedCrl,
    CrlState,
    CrlWalk,
    CrlWork,
    GrowingRegistry,
    Refusal,
    RefusedCrl,
    SeenCrl,
    WaitingCrl,
)
from jitr.decisions import Decision, Outcome
from jitr.errors import Reason
from jitr.iot_models import Status
from jitr.owners import Owner
from jitr.record import Record
from jitr.store.registry_writes import Due
from jitr.store.sweep_state import Pass
from jitr.verdicts import OperatorAction, OperatorVerdict
from tests.support.examples import ANN

ID, OTHER_ID, CA_ID = "ab" * 32, "cd" * 32, "ef" * 32
THEN = datetime(2026, 11, 1, 12, 0, 0, 285_000, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ACTIVATED = Decision(
    certificate_id=ID,
    outcome=Outcome.ACTIVATED,
    status=Status.ACTIVE,
    registered_at=THEN - SECOND,
    decided_at=THEN,
    rules_digest="0123456789abcdef",
    ca_certificate_id=CA_ID,
    ca="factory",
    thing_name="sensor-0001",
    would_reject=(Reason.EXPIRES_TOO_SOON,),
    serial="0a1b",
    issuer="CN=Acme factory CA,O=Acme",
    subject="CN=sensor-0001,OU=Mark-2,O=Acme",
    replaces=OTHER_ID,
)
REJECTED = replace(
    ACTIVATED,
    outcome=Outcome.REJECTED,
    status=Status.INACTIVE,
    thing_name=None,
    would_reject=(),
    replaces=None,
    reason=Reason.EXPIRED,
    detail="not valid after 2026-10-31T12:00:00Z, now 2026-11-01T12:00:00Z",
)
HELD = replace(
    REJECTED,
    outcome=Outcome.HELD,
    status=Status.PENDING_ACTIVATION,
    reason=Reason.CA_INACTIVE,
    detail="CA factory is INACTIVE in this account; activate it",
    attempts=3,
)
REPLACED = replace(
    ACTIVATED,
    outcome=Outcome.REPLACED,
    status=Status.INACTIVE,
    decided_at=THEN + 7 * DAY,
    would_reject=(),
    replaces=None,
    replaced_by=OTHER_ID,
)
FOUND = Decision(
    certificate_id=ID,
    outcome=Outcome.FOUND,
    status=Status.REVOKED,
    registered_at=THEN - SECOND,
    decided_at=THEN,
    rules_digest="0123456789abcdef",
)
ADOPTED = replace(FOUND, status=Status.ACTIVE, thing_name="sensor-0001")
VERDICT = OperatorVerdict(action=OperatorAction.DEACTIVATED, by=ANN, at=THEN + DAY, note="stolen")
OWNER = Owner(
    certificate_id=ID,
    ca_certificate_id=CA_ID,
    serial="0a1b",
    issued_at=datetime(2026, 10, 31, 12, tzinfo=UTC),
    ends_at=datetime(2027, 11, 1, 12, tzinfo=UTC),
    registered_at=THEN - SECOND,
)
FULL_PASS = Pass(began_at=THEN, finished_at=THEN + 60 * SECOND, counts={"ACTIVE": 100_000, "PENDING_ACTIVATION": 12})
RECORDS_OF_1: dict[str, Record] = {
    "decision-activated": Record(decision=ACTIVATED),
    "decision-rejected": Record(decision=REJECTED),
    "decision-held": Record(decision=HELD),
    "decision-replaced": Record(decision=REPLACED),
    "decision-found": Record(decision=FOUND),
    "intent": Record(intent=replace(ACTIVATED, replaces=None), swept_at=THEN - SECOND),
    "verdict": Record(decision=HELD, verdict=VERDICT),
    "handed-over": Record(decision=replace(ACTIVATED, replaces=None), replaced_by=OTHER_ID),
}
# A certificate's end is due in an item of its own, and a decision names the one before it.
HELD_AGAIN = replace(HELD, after=THEN - DAY)
RECORDS: dict[int, dict[str, Record]] = {
    1: RECORDS_OF_1,
    2: RECORDS_OF_1
    | {
        "decision-held": Record(decision=HELD_AGAIN),
        "verdict": Record(decision=HELD_AGAIN, verdict=replace(VERDICT, version=1)),
        "handed-over": replace(RECORDS_OF_1["handed-over"], former_thing_name="sensor-0001"),
    },
}
# The brake holds what its CA's rules would reject.
BRAKED = replace(HELD_AGAIN, reason=Reason.COMMON_NAME_REFUSED, detail="no sensor", brake=1)
# An operator takes a rejection back, and the certificate waits INACTIVE for a curable reason.
ORDER = OperatorVerdict(
    action=OperatorAction.RELEASED,
    by=ANN,
    at=THEN + DAY,
    note="wrong pattern",
    version=1,
    of_registration=REJECTED.registered_at,
    of_status=Status.INACTIVE,
    of_rejection=REJECTED.decided_at,
)
RELEASED = replace(HELD_AGAIN, status=Status.INACTIVE, verdict_seen=1, release=1, after=REJECTED.decided_at)
RECORDS[3] = RECORDS[2] | {
    "decision-braked": Record(decision=BRAKED),
    "decision-released": Record(decision=RELEASED),
    "release-order": Record(decision=REJECTED, verdict=ORDER),
}
# A hold in a CRL suspends an ACTIVE certificate, and a later CRL lifts the hold.
SUSPENDED = replace(
    ACTIVATED,
    outcome=Outcome.FOUND,
    status=Status.INACTIVE,
    decided_at=THEN + DAY,
    would_reject=(),
    replaces=None,
    reason=Reason.SUSPENDED_BY_CA,
    detail="the CRL of CA factory, number 7, issued 2026-11-02T12:00:00Z, lists the certificate: certificateHold",
    crl='"0123"',
    verdict_seen=0,
    after=THEN,
)
LIFT = OperatorVerdict(
    action=OperatorAction.RELEASED,
    by="the CRL of CA factory",
    at=THEN + 2 * DAY,
    note="number 8, issued 2026-11-03T12:00:00Z",
    version=1,
    of_registration=SUSPENDED.registered_at,
    of_status=Status.INACTIVE,
    of_rejection=SUSPENDED.decided_at,
)
RECORDS[4] = RECORDS[3] | {
    "adopted": Record(decision=ADOPTED, origin="JITP"),
    "decision-suspended": Record(decision=SUSPENDED),
    "hold-lifted": Record(decision=SUSPENDED, verdict=LIFT),
}
CRL = CrlState(
    seen=SeenCrl(version='"0124"', this_update=THEN + DAY, next_update=THEN + 8 * DAY, at=THEN + DAY),
    applied=AppliedCrl(
        version='"0123"',
        version_id="v1",
        number=2**159,
        this_update=THEN,
        mode="enforce",
        at=THEN,
        found_at=THEN - SECOND,
        is_complete=True,
        ended=3,
        lifted=1,
    ),
    work=CrlWork(
        version='"0124"',
        mode="enforce",
        began_at=THEN + DAY,
        at=THEN + DAY,
        has_passed=True,
        ended=2,
        number=2**159 + 1,
        this_update=THEN + DAY,
    ),
    walk=CrlWalk(
        version='"0124"',
        mode="enforce",
        aim="carry out",
        by_serial=False,
        began_at=THEN + DAY,
        at=THEN + DAY,
        place={"outcome": "activated", "after": {"id": f"certificate#{ID}"}},
        later=1,
    ),
    refused=RefusedCrl(version='"0122"', why="it is older", at=THEN, cause=Refusal.OLDER.value, until=THEN + DAY),
    waits=WaitingCrl(version='"0124"', ended=21, devices=30, at=THEN + DAY),
    grows=GrowingRegistry(until=THEN + DAY),
    approved=ApprovedCrl(version='"0124"', by=ANN, at=THEN + DAY, note="a stolen batch", of=WAITS),
)
BRAKE = Brake(
    counters={
        "0123456789abcdef": Counters(
            slots={slot_of(THEN): Tally(refused=21, others=2)}, days={day_of(THEN): Tally(refused=21, others=2)}
        )
    },
    engaged=Engagement(
        rules="0123456789abcdef",
        at=THEN,
        refused=21,
        decisions=23,
        usual_share=1.5,
        reason="COMMON_NAME_REFUSED",
        example="no sensor",
        announced=True,
    ),
    accepted=Acceptance(rules="fedcba9876543210", by=ANN, at=THEN - DAY, note="not ours"),
    acceptances=1,
)
DUE = {
    1: {"decision-held": Due.LOOK, "handed-over": Due.RETIRE, "verdict": Due.DENIED},
    2: {"decision-held": Due.LOOK, "retirement": Due.RETIRE, "verdict": Due.DENIED},
    3: {
        "decision-held": Due.LOOK,
        "decision-braked": Due.LOOK,
        "decision-released": Due.LOOK,
        "release-order": Due.RELEASE,
        "retirement": Due.RETIRE,
        "verdict": Due.DENIED,
    },
}
DUE[4] = DUE[3] | {"hold-lifted": Due.RELEASE}
