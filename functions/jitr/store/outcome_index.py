"""Says where a decision is listed in the index `outcomes`: by CA and outcome, in the order of time; pure.

    listed_as   <caCertificateId>#<outcome>: activated, rejected, replaced, found
    listed_at   when it was decided; epoch milliseconds

The write of a decision sets both attributes in the record itself, so the index can lag behind the record, but not
contradict it for long. It is sparse: held certificates are not in it (the index `due` has them), nor decisions on
certificates of an unknown CA. A reader of the index reads the records too: they are what counts.

Cost: one write unit for a device's first decision, two when the decision changes (DynamoDB deletes the index's item and
puts another one), none when a held device is evaluated and stays held.

Records of earlier versions are listed by the daily full pass (full_pass.py), which reads all records anyway. Other
kinds of items may be listed too, under other partition keys.
"""

from jitr.decisions import Decision, Outcome

OUTCOME_INDEX = "outcomes"
LISTED_AS, LISTED_AT = "listed_as", "listed_at"


def partition(ca_certificate_id: str, outcome: Outcome) -> str:
    """The partition of the decisions with this outcome on a CA's certificates."""
    return f"{ca_certificate_id}#{outcome.value}"


def listing(decision: Decision | None) -> tuple[str, int] | None:
    """Where a decision is listed: `listed_as` and `listed_at`; None if it is not listed."""
    if decision is None or decision.ca_certificate_id is None or decision.outcome is Outcome.HELD:
        return None
    at = round(decision.decided_at.timestamp() * 1000)
    return partition(decision.ca_certificate_id, decision.outcome), at
