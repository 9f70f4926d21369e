"""What "survived" means, as one list of what is lost: empty when every certificate will come to its end by itself.

Every certificate is decided, due, queued, listed for the sweep, or dead-lettered with its reason; and nothing reaches
the queue's own receive limit. It looks at the model's state alone, and may be asked at any moment.
"""

from collections.abc import Iterator

from jitr.aws.queues import REASON_ATTRIBUTE
from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.record import Record
from jitr.store.dynamodb import deserialize
from jitr.store.registry_items import certificate_key, to_record
from jitr.store.registry_writes import Due
from jitr.sweep.resend import is_undecided, is_unfinished
from simulation import Deployment, SimulatedAccount
from simulation.iot.certificates import DeviceCertificate


def lost(account: SimulatedAccount, deployment: Deployment) -> list[str]:
    """Each certificate that nobody will take up any more, and each message that SQS gave up, in a sentence."""
    return [*_given_up_by_sqs(deployment), *_forgotten(account, deployment)]


def _given_up_by_sqs(deployment: Deployment) -> Iterator[str]:
    limit = deployment.registrations.max_receives
    for message in deployment.dead_letters.messages:
        if REASON_ATTRIBUTE not in message.attributes:
            yield f"dead-lettered without a reason: {message.body}"
    for message in deployment.registrations.messages:
        if limit is not None and message.receives >= limit:
            yield f"received {message.receives} times, and dead-lettered next: {message.body}"


def _forgotten(account: SimulatedAccount, deployment: Deployment) -> Iterator[str]:
    queued = "\n".join(
        str(message.body) for queue in (deployment.registrations, deployment.dead_letters) for message in queue.messages
    )
    listed = {ca.certificate_id for ca in deployment.rules.cas} & account.iot.cas.by_id.keys()
    for certificate in account.iot.certificates.by_id.values():
        if certificate.certificate_id in queued:
            continue
        item = deserialize(deployment.registry.items.get((certificate_key(certificate.certificate_id),), {}))
        record = to_record(item) if item else Record()
        if why := _why_lost(certificate, record, item.get("due"), is_listed=certificate.ca_certificate_id in listed):
            yield f"{certificate.certificate_id[:8]}, {certificate.status}: {why}"


def _why_lost(certificate: DeviceCertificate, record: Record, due: str | None, *, is_listed: bool) -> str | None:
    decision = record.decision
    is_due = due == Due.LOOK.value
    if certificate.status != "PENDING_ACTIVATION":
        if is_unfinished(record, certificate.created_at) and not (is_listed or is_due):
            return "an attempt is unfinished, and no sweep finds it"
        return None  # decided, or somebody else's doing
    if decision is None or is_undecided(record, certificate.created_at):
        return None if is_listed or is_due else "it has no decision, and no sweep finds it"
    match decision.outcome:
        case Outcome.HELD:
            is_denied = record.is_denied or decision.reason is Reason.OPERATOR_VERDICT
            return None if is_due or is_denied else f"it is held, and {due or 'nothing'} is due"
        case Outcome.REJECTED:
            return None  # left pending, as its CA's rules say
    return f"it is recorded as {decision.outcome}"
