"""What orders that end sessions promise (docs/how-it-works.md), as a check on what was seen in one account."""

from collections.abc import Iterator

from simulation import Call
from tests.support.survival.seen import Seen


def own_session(watch: Seen, call: Call | None) -> Iterator[str]:
    """No session is ended whose certificate is ACTIVE and was on the thing when its principals were last read."""
    if call is None or call.operation != "DeleteConnection" or call.answer is not None:
        return
    deleted = watch.account.iot.connections.deleted
    for client_id, certificate_id, status in deleted[watch.sessions_seen :]:
        certificate = watch.certificates.get(certificate_id)
        by_hand = certificate is not None and certificate.number in watch.by_hand
        listed = watch.listed.get((call.caller, client_id))
        came_since = listed is not None and certificate_id not in listed
        if status == "ACTIVE" and not by_hand and not came_since:
            yield f"{call.caller} ends the session of {watch.name_of(certificate_id)}, which is ACTIVE, as {client_id}"
    watch.sessions_seen = len(deleted)
