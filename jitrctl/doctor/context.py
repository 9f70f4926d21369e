"""Reads what the links check of one device's certificate in one stage, each thing once, when it is first needed.

All reading is here and in what this calls; the links only evaluate. That a thing does not exist is a value (None);
every other error is raised unchanged: botocore's errors, Unavailable, AccessError.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.admission.issuers import issuers_of
from jitr.errors import Rejected, Unavailable
from jitr.iot_models import Status
from jitr.rules import CertificateMode
from jitr.x509.certificate import Certificate
from jitrctl import intake
from jitrctl.audit import log
from jitrctl.ca import registry
from jitrctl.device.missing import read_thing
from jitrctl.device.search import DeviceView, SearchKeys
from jitrctl.doctor import roles
from jitrctl.doctor.backlog import Backlog, describe_messages, read_oldest
from jitrctl.errors import Refused
from jitrctl.queues.dead_letters import LetterQueue, receive
from jitrctl.session.aws_errors import is_missing
from jitrctl.session.cached import kept
from jitrctl.status import function_log
from jitrctl.status.iot_logging import iot_logging
from jitrctl.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from jitr.admission.enrollment import Entry, Subject
    from jitr.admission.procedure import Examination
    from jitr.owners import Owner
    from jitr_fleet.model import CaDeployment, Origin, Source
    from jitrctl.audit.log import AuditEntry
    from jitrctl.ca.plan import CaState
    from jitrctl.device.missing import ThingState
    from jitrctl.device.search import StageCertificate
    from jitrctl.doctor.roles import Role
    from jitrctl.intake import Mapping
    from jitrctl.queues.dead_letters import Letter
    from jitrctl.session.stage import Stage
    from jitrctl.status.function_log import LoggedError

_MOST_LETTERS = 100  # received from each of the two queues; more takes longer than a person waits


@dataclass(kw_only=True, eq=False)
class DeviceContext:
    """A device's certificate in one stage."""

    stage: Stage
    file: Path | None  # None: the certificate is AWS IoT's copy
    certificates: tuple[str, ...]  # PEM, at least one, in the file's order: the device's, then its chain
    client_id: str | None  # MQTT's, if the operator gave one
    now: datetime
    _things: dict[str, ThingState] = field(default_factory=dict)  # by name

    @property
    def device(self) -> str:
        """The device as an argument of commands: the file, as it was given, else the certificate's id."""
        return shlex.quote(str(self.file)) if self.file else self.certificate_id

    @property
    def options(self) -> str:
        """The options that limit a command to this stage."""
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
        """The device's certificate, the first of the file.

        Raises Rejected.
        """
        return Certificate.from_pem(self.certificates[0])

    @property
    def certificate_id(self) -> str:
        return self.certificate.fingerprint

    @property
    def signer(self) -> str | None:
        """The name of the fleet's CA that signed the certificate, in whichever accounts it is."""
        return next((ca.name for ca in self.stage.fleet.cas if self._is_issued_by(ca.certificate_pem)), None)

    @property
    def signing_key_of(self) -> str | None:
        """The name of the fleet's CA whose key signed the certificate, whatever issuer the certificate names."""
        cas = ((ca.name, ca.certificate) for ca in self.stage.fleet.cas)
        return next((name for name, certificate in cas if self.certificate.is_signed_by(certificate)), None)

    @kept
    def possible(self) -> list[CaDeployment]:
        """The CAs of this account in the fleet file that may have issued the certificate.

        Several CAs may have one name and one key: a CA and its renewal. AWS IoT, the certificate's record or its
        authority key identifier decides between them, as in the functions. AWS is read only if there are several.
        """
        found = [one for one in self.stage.account.cas if self._is_issued_by(one.ca.certificate_pem)]
        if len(found) < 2:  # noqa: PLR2004 -- nothing to decide
            return found
        ids = {ca.certificate_id for ca in issuers_of(self.certificates[0], self.stage.rules)}
        registered = self.stage_certificate.registered
        if registered is not None:
            ids = {registered.device.ca_certificate_id or "", *registered.device.possible_cas}
        return [one for one in found if one.ca.certificate_id in ids] or found

    @property
    def declared(self) -> CaDeployment | None:
        """The CA that signed the certificate, as the fleet file declares it in this account; the first of several."""
        return next(iter(self.possible), None)

    @kept
    def issuing(self) -> CaDeployment:
        """The same CA, for the links after `issuer`: there is one."""
        declared = self.declared
        assert declared is not None  # noqa: S101 -- the link `issuer` is broken otherwise
        return declared

    @kept
    def source(self) -> Source | None:
        """The source of the import that registered the certificate without a CA; None if AWS knows of none."""
        if not self.stage.account.sources:
            return None
        try:
            registered = self.stage_certificate.registered
        except (BotoCoreError, ClientError, Unavailable):
            return None  # the links that need it say so
        origin_id = registered.device.ca_certificate_id if registered else None
        return next((one for one in self.stage.account.sources if one.certificate_id == origin_id), None)

    @property
    def origin(self) -> Origin:
        """The source, or the CA that signed the certificate, for the links after `issuer`."""
        return self.source or self.issuing.ca

    @property
    def mode(self) -> CertificateMode:
        """The mode of the certificate."""
        return CertificateMode.SNI_ONLY if self.source else self.issuing.mode

    @kept
    def examination(self) -> Examination:
        """The result of the functions' checks, made offline."""
        answer = verify(self.certificates[0], self.stage.rules, ca=self.origin.name, now=self.now)
        return answer.examination

    @kept
    def ca(self) -> CaState:
        return registry.inspect_cas(self.stage, [self.issuing])[0]

    @kept
    def ca_orders(self) -> tuple[AuditEntry, ...]:
        """The orders about the CA, the last one last; empty if there are none, or they cannot be read."""
        return log.read_all_if_readable(self.stage, self.issuing.ca.certificate_id)

    @kept
    def last_switch(self) -> AuditEntry | None:
        """The last order that paused or resumed the stage; None if there is none, or it cannot be read."""
        return log.read_last_if_readable(self.stage, log.BRAKE)

    @kept
    def iot_logging(self) -> str | None:
        """AWS IoT's default log level; None when it logs nothing."""
        return iot_logging(self.stage)

    @kept
    def rule(self) -> dict[str, Any]:
        """The CA's topic rule (GetTopicRule), for the links after `rule present`: there is one."""
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

    def read_role(self, arn: str) -> Role | None:
        """A role with its permissions and its trust policy; None if it does not exist."""
        return roles.read(self.stage.access.client("iam"), arn.rpartition("/")[2])

    @kept
    def queue(self) -> dict[str, str] | None:
        """The attributes of the queue `registrations`; None if it does not exist."""
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
        """The configuration of the function `register`; None if it does not exist."""
        return intake.read_configuration(self.stage, self.mapping)

    @kept
    def mapping(self) -> Mapping | None:
        return intake.find_mapping(self.stage)

    @kept
    def backlog(self) -> Backlog:
        """What the queue `registrations` holds; backlog.py says why nothing is received from it."""
        return Backlog.of(self.queue or {}, read_oldest(self.stage, self.stage.names.registrations_queue, self.now))

    @property
    def own_messages(self) -> str:
        """What is known of this certificate's messages in the queue; empty if nothing is."""
        registered = self.stage_certificate.registered
        return describe_messages(
            self.backlog, self.stage_certificate.record, registered.device.created_at if registered else None, self.now
        )

    def receive_letters(self, letters: LetterQueue) -> list[Letter]:
        """The messages about this certificate in the dead-letter queue or in `undelivered`; they stay there."""
        try:
            with receive(self.stage, letters, most=_MOST_LETTERS) as found:
                return [one for one in found if one.certificate_id == self.certificate_id]
        except Refused:  # no such queue: the stack is not deployed, which other links report
            return []

    @kept
    def errors(self) -> list[LoggedError]:
        """The errors that the function logged since the last decision on this certificate, at most a day ago."""
        decision = self.stage_certificate.record.decision
        group = self.stage.names.log_group(self.stage.names.register_function)
        return function_log.read_errors(
            self.stage.access.client("logs"), group, now=self.now, since=decision.decided_at if decision else None
        )

    @kept
    def stage_certificate(self) -> StageCertificate:
        """The certificate in AWS IoT and in the registry."""
        view = DeviceView.of(self.stage, SearchKeys(frozenset({self.certificate_id})))
        return view.certificates[self.certificate_id]

    def owner_of(self, thing_name: str) -> Owner | None:
        """Whose the thing name is by the registry; None if it is free, or there is no table."""
        try:
            return self.stage.registry.owner(thing_name)
        except self.stage.dynamodb.exceptions.ResourceNotFoundException:
            return None

    def was_followed(self, certificate_id: str) -> bool:
        """Whether another certificate followed this one, by the registry; False if there is no table."""
        try:
            return self.stage.registry.recall([certificate_id])[certificate_id].replaced_by is not None
        except self.stage.dynamodb.exceptions.ResourceNotFoundException:
            return False

    def read_entries(self, subjects: Iterable[Subject]) -> dict[Subject, Entry]:
        """The enrollment entries of these subjects, those that there are; empty if there is no table."""
        try:
            return self.stage.enrollment.entries(subjects)
        except self.stage.dynamodb.exceptions.ResourceNotFoundException:
            return {}

    @property
    def is_past_registration(self) -> bool:
        """Whether the certificate is registered and no longer pending: what a first connection needs is over."""
        registered = self.stage_certificate.registered
        return registered is not None and registered.status is not Status.PENDING_ACTIVATION

    @kept
    def thing(self) -> dict[str, Any] | None:
        """The thing that the certificate is attached to (DescribeThing); None if there is none.

        Of several the one with the client id as its name, as AWS IoT takes it, else the first.
        """
        registered = self.stage_certificate.registered
        if registered is None or not registered.things:
            return None
        name = self.connects_as if self.connects_as in registered.things else registered.things[0]
        try:
            return dict(self.stage.iot.describe_thing(thingName=name))
        except self.stage.iot.exceptions.ResourceNotFoundException:
            return None

    def read_thing(self, name: str) -> ThingState:
        """A thing with its groups and its certificates, read once."""
        if name not in self._things:
            self._things[name] = read_thing(self.stage, name)
        return self._things[name]

    def has_policy(self, name: str) -> bool:
        """Whether the account has an AWS IoT policy of that name."""
        try:
            self.read_policy_text(name)
        except self.stage.iot.exceptions.ResourceNotFoundException:
            return False
        return True

    def read_policy_text(self, name: str) -> str:
        """The default version of an AWS IoT policy, JSON."""
        return str(self.stage.iot.get_policy(policyName=name)["policyDocument"])

    @property
    def connects_as(self) -> str:
        """The MQTT client id: the operator's, else the name of the device's thing, or of the thing it would become."""
        registered, decision = self.stage_certificate.registered, self.stage_certificate.record.decision
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
