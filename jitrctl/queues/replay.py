"""Replays stored events: sends them to the deployed functions, or previews the decision without changes.

Knows the envelopes of a stored event. The functions decide on its contents as on any event.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.admission.applicant import Applicant
from jitr.admission.issuers import with_recorded_ca
from jitr.admission.rotation import refuse_twin, refuse_wrong_owner
from jitr.aws.hook import HOOK_CONFIG, Hook
from jitr.decisions import Outcome
from jitr.errors import CertificateUnknown, JitrError, Rejected, UnreadableEvent
from jitr.events import RegistrationEvent, event_document
from jitr.iot_models import Status
from jitr.provisioning import plan, plan_rejection
from jitr.registration.evidence import Examined, Examiner
from jitrctl.clock import now as present
from jitrctl.errors import Refused
from jitrctl.session.invoke import invoke

if TYPE_CHECKING:
    from datetime import datetime

    from jitr.admission.applicant import Admitted
    from jitrctl.session.stage import Stage

SCHEDULED = "aws.scheduler"


class ReplayError(Refused):
    """A file or an event cannot be replayed; the message says what to do."""


def documents_in(text: str) -> list[dict[str, Any]]:
    """Read the events of a file: a registration event, an error-action message, an SQS batch, a scheduled event.

    Raises ReplayError when it is no JSON object.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ReplayError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ReplayError("a JSON object is expected: a registration event, an SQS batch, an error-action message")
    if "Records" not in document:
        return [document]
    try:
        return [{"body": record["body"]} for record in document["Records"]]
    except (KeyError, TypeError) as error:
        raise ReplayError("Records is no SQS batch: each record needs a body") from error


class Replay:
    """Replays events in one stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._names = stage.names
        self._rules = stage.rules
        self._iot = stage.aws_iot
        self._registry = stage.registry
        self._crls = stage.crls
        self._enrollment = stage.enrollment
        self._examiner = Examiner(
            account_id=stage.account.id,
            iot=stage.aws_iot,
            crls=stage.crls,
            enrollment=stage.enrollment,
            hook=Hook(lambda _: stage.access.client("lambda", HOOK_CONFIG)),
            clock=present,
        )

    def send(self, document: dict[str, Any]) -> dict[str, Any]:
        """Have the deployed function decide on one event; returns its answer.

        Raises Refused with the error of the function or of Lambda.
        """
        if document.get("source") == SCHEDULED:
            return invoke(self._stage, self._names.sweep_function, document)
        event = _event(document)
        try:
            return invoke(self._stage, self._names.register_function, _as_published(event))
        except Refused as error:
            if f": {event.certificate_id};" not in str(error):
                raise
            # CertificateUnknown, whose message is the id; the error type that Lambda reports varies.
            return {"outcome": Outcome.GONE.value, "detail": "AWS IoT does not know the certificate"}

    def preview(self, document: dict[str, Any]) -> dict[str, Any]:
        """Decide on one event without changing anything; returns the outcome and the plan.

        Raises ReplayError.
        """
        if document.get("source") == SCHEDULED:
            return {"outcome": "a sweep: it looks for pending certificates", "plan": []}
        event = _event(document)
        try:
            return self._preview(event)
        except CertificateUnknown:
            return {"outcome": Outcome.GONE.value, "detail": "AWS IoT does not know the certificate", "plan": []}
        except (JitrError, ClientError, BotoCoreError) as error:
            raise ReplayError(str(error)) from error

    def _preview(self, event: RegistrationEvent) -> dict[str, Any]:
        now = present()
        record = self._registry.recall([event.certificate_id])[event.certificate_id]
        records = {event.certificate_id: record}
        record = replace(
            record,
            crl_changed=bool(self._crls.changed_since(records, self._rules)),
            entries_changed=bool(self._enrollment.find_changed(records)),
            template_gone=bool(self._examiner.find_freed(records, self._rules)),
        )
        if record.settles(event, sent_at=now, now=now, rules_digest=self._rules.digest):
            return {"outcome": Outcome.DUPLICATE.value, "detail": "settled before", "plan": []}
        device = with_recorded_ca(self._iot.describe(event.certificate_id), record)
        if device.status is not Status.PENDING_ACTIVATION:
            return {"outcome": Outcome.FOUND.value, "detail": f"the certificate is {device.status}", "plan": []}
        try:
            applicant = Applicant.of(device, self._rules)
            self._examiner.refuse_under_template(applicant)
            record.refuse_activation()
            examined = self._examiner.examine(applicant, record)
            admitted = examined.examination.admit()
            self._refuse_wrong_owner(admitted, examined, now)
        except Rejected as refusal:
            ca_rules = self._rules.ca(device.ca_certificate_id or "")
            undo = plan_rejection(ca_rules.on_reject, device) if ca_rules and refusal.reason.final else ()
            outcome = Outcome.REJECTED if refusal.reason.final else Outcome.HELD
            return {"outcome": outcome.value, "detail": str(refusal), "plan": [_in_words(step) for step in undo]}
        steps = plan(admitted.identity, device)
        # A hook may record that it was invoked, and a preview must change nothing.
        asks = ", if the hook allows it" if admitted.rules.asks_hook else ""
        return {
            "outcome": Outcome.ACTIVATED.value,
            "detail": f"as thing {admitted.identity.thing_name}{asks}",
            "plan": [_in_words(step) for step in steps],
        }

    def _refuse_wrong_owner(self, admitted: Admitted, examined: Examined, now: datetime) -> None:
        standing = self._registry.recall_standing(admitted.identity.thing_name, examined.twin_id)
        refuse_twin(standing.twin, examined.twin_id)
        refuse_wrong_owner(admitted, owner=standing.owner, twin_id=examined.twin_id, now=now)


def _event(document: dict[str, Any]) -> RegistrationEvent:
    try:
        return RegistrationEvent.parse(document["body"] if set(document) == {"body"} else document)
    except UnreadableEvent as error:
        raise ReplayError(f"no registration event: {error}") from error


def _as_published(event: RegistrationEvent) -> dict[str, Any]:
    return event_document(
        certificate_id=event.certificate_id,
        ca_certificate_id=event.ca_certificate_id,
        account_id=event.account_id,
        published_at=event.published_at,
        registered_at=event.registered_at,
    )


def _in_words(step: Any) -> str:
    details = ", ".join(f"{name}={value}" for name, value in asdict(step).items() if value is not None)
    return f"{type(step).__name__} {details}"
