"""One device's certificate in one stage: everything that the links look at, each thing read once, when first asked for.

All reading is here and in what this calls; the links only judge. What AWS answers on purpose, such as that there is no
such rule, is a value; everything else is raised as it comes: botocore's errors, Unavailable, AccessError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitr.admission.issuers import issuers_of
from jitr.errors import Rejected
from jitr.iot_models import Status
from jitr.x509.certificate import Certificate
from jitrctl import intake
from jitrctl.audit import log
from jitrctl.ca import registry
from jitrctl.device.search import DeviceView, SearchKeys
from jitrctl.doctor import logs, roles
from jitrctl.doctor.backlog import Backlog, oldest, said_of
from jitrctl.errors import Refused
from jitrctl.queues.dead_letters import LetterQueue, receive
from jitrctl.session.aws_errors import is_missing
from jitrctl.session.cached import kept
from jitrctl.status.health import iot_logging
from jitrctl.verify import verify

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from jitr.admission.procedure import Examination
    from jitr_fleet.model import CaDeployment
    from jitrctl.audit.log import AuditEntry
    from jitrctl.ca.plan import CaState
    from jitrctl.device.search import StageCertificate
    from jitrctl.doctor.logs import LoggedError
    from jitrctl.doctor.roles import Role
    from jitrctl.intake import Mapping
    from jitrctl.queues.dead_letters import Letter
    from jitrctl.session.stage import Stage

_MOST_LETTERS = 100  # looked at in each of the two queues; receiving more takes longer than a person waits


@dataclass(kw_only=True, eq=False)
class DeviceContext:
    """A device's certificate in one stage."""

    stage: Stage
    path: Path
    certificates: tuple[str, ...]  # in the file, each in PEM, in its order, at least one: the device's, and its chain
    client_id: str | None  # as the operator says; else the thing's name
    now: datetime

    @property
    def options(self) -> str:
        """What a command about this stage alone is told."""
        return f"--account {self.stage.account.name} --region {self.stage.region}"

    @kept
    def problem(self) -> str | None:
        """Why the certificate cannot be read; None when it can."""
        try:
            Certificate.from_pem(self.certificates[0])
        except Rejected as error:
            return error.detail
        return None

    @kept
    def certificate(self) -> Certificate:
        """The device's; the file's first.

        Raises Rejected.
        """
        return Certificate.from_pem(self.certificates[0])

    @property
    def certificate_id(self) -> str:
        return self.certificate.fingerprint

    @property
    def signer(self) -> str | None:
        """The name of the CA of the fleet that signed the certificate, whichever accounts have that."""
        return next((ca.name for ca in self.stage.fleet.cas if self._is_issued_by(ca.certificate_pem)), None)

    @property
    def signing_key_of(self) -> str | None:
        """The name of the CA of the fleet whose key signed the certificate, whatever issuer that names."""
        cas = ((ca.name, ca.certificate) for ca in self.stage.fleet.cas)
        return next((name for name, certificate in cas if self.certificate.is_signed_by(certificate)), None)

    @kept
    def possible(self) -> list[CaDeployment]:
        """The CAs of this account in the fleet file that may have issued the certificate.

        Several have one name and one key, as a CA and its renewal do. What AWS IoT, the certificate's record or its
        authority key identifier says decides between them, as in the functions; AWS is asked only where it has to be.
        """
        found = [one for one in self.stage.account.cas if self._is_issued_by(one.ca.certificate_pem)]
        if len(found) < 2:  # noqa: PLR2004 -- nothing to decide
            return found
        ids = {ca.certificate_id for ca in issuers_of(self.certificates[0], self.stage.rules)}
        registered = self.sighting.registered
        if registered is not None:
            ids = {registered.device.ca_certificate_id or "", *registered.device.possible_cas}
        return [one for one in found if one.ca.certificate_id in ids] or found

    @property
    def declared(self) -> CaDeployment | None:
        """The CA that signed the certificate, as the fleet file has it in this account; of several the first."""
        return next(iter(self.possible), None)

    @kept
    def issuing(self) -> CaDeployment:
        """The same, for links behind the one that asks whether there is one."""
        declared = self.declared
        assert declared is not None  # noqa: S101 -- the link `issuer` is broken otherwise
        return declared

    @kept
    def examination(self) -> Examination:
        """What the functions' own checks say offline."""
        answer = verify(self.certificates[0], self.stage.rules, ca=self.issuing.ca.name, now=self.now)
        return answer.examination

    @kept
    def ca(self) -> CaState:
        return registry.inspect_cas(self.stage, [self.issuing])[0]

    @kept
    def last_order(self) -> AuditEntry | None:
        """The last order about the CA; None also where it cannot be read."""
        return log.read_last_if_readable(self.stage, self.issuing.ca.certificate_id)

    @kept
    def iot_logging(self) -> str | None:
        """AWS IoT's default log level; None when it logs nothing."""
        return iot_logging(self.stage)

    @kept
    def rule(self) -> dict[str, Any]:
        """The CA's topic rule (GetTopicRule), for links behind the one that asks whether there is one."""
        name = self.stage.names.rule(self.issuing.ca.name)
        return dict(self.stage.iot.get_topic_rule(ruleName=name)["rule"])

    @property
    def rule_arn(self) -> str:
        return self.arn("iot", f"rule/{self.stage.names.rule(self.issuing.ca.name)}")

    @property
    def queue_arn(self) -> str:
        return self.arn("sqs", self.stage.names.registrations_queue)

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and Region."""
        partition = self.stage.iot.meta.partition
        return f"arn:{partition}:{service}:{self.stage.region}:{self.stage.account.id}:{resource}"

    def role(self, arn: str) -> Role | None:
        """A role with what it may do and who may act in it; None when there is none."""
        return roles.read(self.stage.access.client("iam"), arn.rpartition("/")[2])

    @kept
    def queue(self) -> dict[str, str] | None:
        """The queue `registrations`: its attributes; None when there is none."""
        sqs, name = self.stage.sqs, self.stage.names.registrations_queue
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]).get("Attributes", {}))
        except sqs.exceptions.ClientError as error:
            if is_missing(error):
                return None
            raise

    @kept
    def function(self) -> dict[str, Any] | None:
        """The function `register`: its configuration; None when there is none."""
        return intake.read_configuration(self.stage, self.mapping)

    @kept
    def mapping(self) -> Mapping | None:
        return intake.find_mapping(self.stage)

    @kept
    def backlog(self) -> Backlog:
        """What the queue `registrations` holds; see there why nothing is received from it."""
        return Backlog.of(self.queue or {}, oldest(self.stage, self.stage.names.registrations_queue, self.now))

    @property
    def own_messages(self) -> str:
        """What is known of this certificate's messages in it; empty where nothing is."""
        registered = self.sighting.registered
        return said_of(
            self.backlog, self.sighting.record, registered.device.created_at if registered else None, self.now
        )

    def letters(self, letters: LetterQueue) -> list[Letter]:
        """The messages about this certificate in one of the two queues for what nobody works on; they stay there."""
        try:
            with receive(self.stage, letters, most=_MOST_LETTERS) as found:
                return [one for one in found if one.certificate_id == self.certificate_id]
        except Refused:  # no such queue: the stack is not there, which other links say
            return []

    @kept
    def errors(self) -> list[LoggedError]:
        """What the function logged as errors since the last decision on this certificate, or for a day."""
        decision = self.sighting.record.decision
        group = self.stage.names.log_group(self.stage.names.register_function)
        return logs.errors(
            self.stage.access.client("logs"), group, now=self.now, since=decision.decided_at if decision else None
        )

    @kept
    def sighting(self) -> StageCertificate:
        """The certificate as AWS IoT and the registry have it."""
        view = DeviceView.of(self.stage, SearchKeys(frozenset({self.certificate_id})))
        return view.certificates[self.certificate_id]

    @property
    def is_past_registration(self) -> bool:
        """Whether the device's first connection is behind it, so that what it needs is no matter any more."""
        registered = self.sighting.registered
        return registered is not None and registered.status is not Status.PENDING_ACTIVATION

    @kept
    def thing(self) -> dict[str, Any] | None:
        """The thing that the certificate is attached to (DescribeThing), for links behind the one that asks for it.

        Of several the one of the client id, as AWS IoT takes it, else the first.
        """
        registered = self.sighting.registered
        if registered is None or not registered.things:
            return None
        name = self.connects_as if self.connects_as in registered.things else registered.things[0]
        try:
            return dict(self.stage.iot.describe_thing(thingName=name))
        except self.stage.iot.exceptions.ResourceNotFoundException:
            return None

    def policy_text(self, name: str) -> str:
        """The default version of a policy of AWS IoT, JSON."""
        return str(self.stage.iot.get_policy(policyName=name)["policyDocument"])

    @property
    def connects_as(self) -> str:
        """The MQTT client id: as the operator says, else the name of the thing that it is or asks to be."""
        registered, decision = self.sighting.registered, self.sighting.record.decision
        names = (
            self.client_id,
            *(registered.things if registered else ()),
            registered.asks_for if registered else None,
            decision.thing_name if decision else None,
            self.examination.identity.thing_name if self.examination.identity else None,
        )
        return next((name for name in names if name), self.certificate_id)

    def _is_issued_by(self, ca_pem: str) -> bool:
        return self.certificate.is_issued_by(Certificate.from_pem(ca_pem))
