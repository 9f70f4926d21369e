"""The index of what was decided: by CA and outcome, in the order of time; which item is where, pure.

    listed_as   <caCertificateId>#<outcome>: activated, rejected, replaced, found
    listed_at   when it was decided; epoch milliseconds

Every decision's write sets both in the record itself, so the index can lag, and never contradict the record for long.
It is sparse: what is held is found by the index of what is due, and a decision on a certificate of no known CA is not
listed. Whoever reads the index reads the records as well: those say what stands.

What it costs: one write unit for a device's first decision, and two when the decision changes (DynamoDB deletes the
index's item and puts another one). A look at a held device costs none.

Records of earlier versions are listed by the day's full pass (daily_count.py), which reads all records anyway. Other
kinds of items may be listed too, under partitions of their own: the index's key says nothing of decisions.
"""

from jitr.decisions import Decision, Outcome

OUTCOME_INDEX = "outcomes"
LISTED_AS, LISTED_AT = "listed_as", "listed_at"


def partition(ca_certificate_id: str, outcome: Outcome) -> str:
    """Under what the decisions of this outcome on a CA's certificates are listed."""
    return f"{ca_certificate_id}#{outcome.value}"


def listing(decision: Decision | None) -> tuple[str, int] | None:
    """Where a decision is listed: `listed_as` and `listed_at`; None where it is not."""
    if decision is None or decision.ca_certificate_id is None or decision.outcome is Outcome.HELD:
        return None
    at = round(decision.decided_at.timestamp() * 1000)
    return partition(decision.ca_certificate_id, decision.outcome), at
