"""Deletes what a journal names, and nothing else; what AWS refuses to delete stays in the journal, with the reason.

Certificates go first, detached from what the journal names; then things and CAs; then event source mappings, functions,
queues and roles; then policies. Registration codes are never deleted: they are the account's, and DEFAULT mode needs
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitrctl.errors import JitrctlError
from jitrctl.prove.finding import Finder
from jitrctl.prove.journal import ResourceKind
from jitrctl.prove.run import ROLE_POLICY
from jitrctl.session.aws_errors import explain, is_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jitrctl.prove.journal import Journal, JournalEntry
    from jitrctl.prove.place import ProvePlace

# Certificates before what is attached to them, and before their CAs; CAs before the role that one may name; policies
# last, since AWS may refuse to delete them for minutes.
_ORDER = (
    *(ResourceKind.CERTIFICATE, ResourceKind.THING, ResourceKind.CA),
    *(ResourceKind.MAPPING, ResourceKind.FUNCTION, ResourceKind.QUEUE, ResourceKind.ROLE, ResourceKind.POLICY),
)
# Seconds: detaching is asynchronous (aws-facts §5), and a policy may be refused for five minutes after it was detached
# (IoT model, DeletePolicy).
_DETACHED_WITHIN, _POLICY_FREE_WITHIN = 60.0, 330.0
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 15.0
_NOT_YET = frozenset({"DeleteConflictException", "InvalidRequestException", "DeleteConflict", "ResourceInUseException"})


@dataclass(kw_only=True)
class Cleaner:
    """Deletes what one journal names in one account and Region."""

    place: ProvePlace
    journal: Journal
    sleep: Callable[[float], None]
    refused: list[JournalEntry] = field(default_factory=list)

    def clean(self) -> None:
        """Delete every entry; one that AWS refuses to delete does not stop the others."""
        finder = Finder(self.place, self.journal)
        for kind in _ORDER:
            for entry in self._entries(kind):
                try:
                    self._delete(entry, finder)
                except (ClientError, BotoCoreError, JitrctlError) as error:
                    why = str(error) if isinstance(error, JitrctlError) else explain(error)
                    self.journal.keep_refusal(entry, why)
                    self.refused.append(entry)
                else:
                    self.journal.drop(entry)

    def _entries(self, kind: ResourceKind) -> list[JournalEntry]:
        here = (self.place.account, self.place.region, kind)
        return [one for one in self.journal.entries if (one.account, one.region, one.kind) == here]

    def _delete(self, entry: JournalEntry, finder: Finder) -> None:
        """Delete what one entry names; success if it does not exist.

        Raises botocore's errors.
        """
        iot = self.place.iot
        match entry.kind:
            case ResourceKind.THING:
                self._retry(lambda: iot.delete_thing(thingName=entry.name))
            case ResourceKind.POLICY:
                self._retry(lambda: iot.delete_policy(policyName=entry.name), within=_POLICY_FREE_WITHIN)
            case ResourceKind.ROLE:
                iam = self.place.client("iam")
                self._retry(lambda: iam.delete_role_policy(RoleName=entry.name, PolicyName=ROLE_POLICY))
                self._retry(lambda: iam.delete_role(RoleName=entry.name))
            case ResourceKind.MAPPING:
                self._delete_mappings(entry)
            case ResourceKind.FUNCTION:
                self._retry(lambda: self.place.client("lambda").delete_function(FunctionName=entry.name))
            case ResourceKind.QUEUE:
                sqs = self.place.client("sqs")
                self._retry(lambda: sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=entry.name)["QueueUrl"]))
            case _:
                certificate_id = finder.find(entry)
                if certificate_id is None:
                    return
                self.journal.keep_id(entry, certificate_id)
                if entry.kind is ResourceKind.CA:
                    self._delete_ca(certificate_id)
                else:
                    self._delete_certificate(certificate_id)

    def _delete_mappings(self, entry: JournalEntry) -> None:
        """Delete the event source mappings of the function of that name; only AWS knows their ids."""
        function = self.place.client("lambda")
        try:
            found = function.list_event_source_mappings(FunctionName=entry.name)["EventSourceMappings"]
        except ClientError as error:
            if is_missing(error):
                return
            raise
        for one in found:
            self.journal.keep_id(entry, one["UUID"])
            self._retry(lambda uuid=one["UUID"]: function.delete_event_source_mapping(UUID=uuid))  # type: ignore[misc]

    def _delete_ca(self, certificate_id: str) -> None:
        iot = self.place.iot
        iot.update_ca_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        self._retry(lambda: iot.delete_ca_certificate(certificateId=certificate_id))

    def _delete_certificate(self, certificate_id: str) -> None:
        iot, arn = self.place.iot, self.place.certificate_arn(certificate_id)
        status = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"]
        if status == "ACTIVE":
            iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        for thing in _names(iot.list_principal_things(principal=arn)["things"], self._ours(ResourceKind.THING)):
            iot.detach_thing_principal(thingName=thing, principal=arn)
        attached = [one["policyName"] for one in iot.list_attached_policies(target=arn)["policies"]]
        for policy in _names(attached, self._ours(ResourceKind.POLICY)):
            iot.detach_policy(policyName=policy, target=arn)
        self._retry(lambda: iot.delete_certificate(certificateId=certificate_id))

    def _ours(self, kind: ResourceKind) -> set[str]:
        return {entry.name for entry in self._entries(kind)}

    def _retry(self, delete: Callable[[], Any], *, within: float = _DETACHED_WITHIN) -> None:
        """Delete, with retries while something is still attached; success if it does not exist.

        Raises botocore's errors.
        """
        waited, pause = 0.0, _FIRST_PAUSE
        while True:
            try:
                delete()
            except ClientError as error:
                if is_missing(error):
                    return
                if error.response["Error"].get("Code") not in _NOT_YET or waited >= within:
                    raise
            else:
                return
            self.sleep(pause)
            waited += pause
            pause = min(2 * pause, _LONGEST_PAUSE)


def _names(found: Sequence[str], ours: set[str]) -> list[str]:
    """The attached names that the journal has; another's stays attached, and AWS refuses to delete the certificate."""
    return [name for name in found if name in ours]
