"""Surveys one stage, step by step: lists first, then what only a call for each thing or certificate tells.

Which principals a thing has is asked of each thing (ListThingPrincipals); policies are asked for their targets, since a
shared policy answers for 250 certificates at once. DescribeCertificate is asked only about certificates that no CA's
list and no record of jitr explains. Everything only reads.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from jitr.admission.issuers import find_issuer
from jitr.iot_models import DeviceRegistration, Status
from jitr.rules import CertificateMode
from jitr.x509.certificate import Certificate
from jitr_fleet.permissions import find_flaws
from jitrctl.survey.calls import seconds_for
from jitrctl.survey.file import put_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jitrctl.session.stage import Stage
    from jitrctl.survey.calls import PatientCalls
    from jitrctl.survey.file import SurveyFile

_PAGE, _BATCH, _AT_ONCE = 250, 100, 50
_CLAIMS = "$aws/provisioning-templates/"
MOST_DOCUMENTS = 1_000  # policies whose documents are read; of more, those of the most certificates
LISTS = ("cas", "rules", "templates", "certificates", "by CA", "things", "policies")
EACH = ("principals", "targets", "documents", "records", "owners", "descriptions")


class StageSurvey:
    """The survey of one stage, into the survey file."""

    def __init__(self, stage: Stage, file: SurveyFile, calls: PatientCalls, told: Callable[[str], None]) -> None:
        """`told` is called with the step that begins, for the progress."""
        self._stage, self._name = stage, str(stage)
        self._iot: Any = stage.iot
        self._file, self._calls, self._told = file, calls, told

    def list_all(self) -> None:
        """Make the lists; what is done already is not done again.

        Raises Refused after two hours of throttles, NotPermitted, botocore's errors.
        """
        for step in LISTS:
            self._run(step)

    def ask_each(self) -> None:
        """Ask about each thing and policy, and about certificates the lists do not explain; raises as `list_all`."""
        for step in EACH:
            self._run(step)
        if not self._file.place(self._name, "all")[1]:
            self._file.write(put_place(self._name, "all", None, done=True))

    def count_calls(self) -> dict[str, int]:
        """How many calls `ask_each` will still make, at least; of DescribeCertificate at most."""
        count, name = self._file.one, self._name
        return {
            "ListThingPrincipals": count("SELECT count(*) FROM thing WHERE stage = ? AND NOT asked", name),
            "ListTargetsForPolicy": count("SELECT count(*) FROM policy WHERE stage = ? AND claims IS NULL", name),
            "GetPolicy": min(
                count("SELECT count(*) FROM policy WHERE stage = ? AND flaws IS NULL", name), MOST_DOCUMENTS
            ),
            "DescribeCertificate": count(
                "SELECT count(*) FROM certificate WHERE stage = ? AND ca IS NULL AND NOT described", name
            ),
        }

    def seconds(self, calls: dict[str, int]) -> float:
        """What these calls take at their paces, one after the other."""
        rate = self._stage.account.activations_per_second
        return sum(
            number / rate if operation == "DescribeCertificate" else seconds_for(operation, number)
            for operation, number in calls.items()
        )

    def _run(self, step: str) -> None:
        marker, done = self._file.place(self._name, step)
        if done:
            return
        self._told(step)
        make = {
            "cas": self._list_cas,
            "rules": self._list_rules,
            "templates": self._list_templates,
            "certificates": self._list_certificates,
            "by CA": self._list_by_ca,
            "things": self._list_things,
            "policies": self._list_policies,
            "principals": self._ask_principals,
            "targets": self._ask_targets,
            "documents": self._read_documents,
            "records": self._read_records,
            "owners": self._read_owners,
            "descriptions": self._describe,
        }[step]
        make(marker)
        self._file.write(put_place(self._name, step, None, done=True))

    def _pages(
        self, operation: str, call: Callable[..., Any], marker: str | None, *, old: bool = True, **parameters: Any
    ) -> Iterator[tuple[Any, str | None]]:
        """Each page of a list from a marker on, with the next page's marker; anew when AWS refuses the marker."""
        size, sent, got = ("pageSize", "marker", "nextMarker") if old else ("maxResults", "nextToken", "nextToken")
        if operation != "ListTopicRules":
            parameters[size] = _PAGE
        while True:
            try:
                answer = self._calls.make(operation, call, **parameters, **({sent: marker} if marker else {}))
            except ClientError as error:
                if marker is None or error.response["Error"]["Code"] != "InvalidRequestException":
                    raise
                marker = None  # it has expired: what is listed again changes nothing
                continue
            marker = answer.get(got)
            yield answer, marker
            if not marker:
                return

    def _keep(self, step: str, marker: str | None, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Keep a page, and where the step goes on, in one transaction."""
        self._file.write((statement, rows), put_place(self._name, step, marker, done=False))

    def _list_cas(self, _: str | None) -> None:
        for answer, _next in self._pages("ListCACertificates", self._iot.list_ca_certificates, None):
            rows = []
            for one in answer["certificates"]:
                found = self._calls.make(
                    "DescribeCACertificate", self._iot.describe_ca_certificate, certificateId=one["certificateId"]
                )
                ca, template = found["certificateDescription"], found.get("registrationConfig", {})
                rows.append(
                    (
                        self._name,
                        ca["certificateId"],
                        ca["status"],
                        ca.get("certificateMode"),
                        ca.get("autoRegistrationStatus") == "ENABLE",
                        template.get("templateName") or ("(a body)" if template.get("templateBody") else None),
                        _date(ca.get("validity", {}).get("notAfter")),
                    )
                )
            self._file.write(("INSERT OR REPLACE INTO ca VALUES (?, ?, ?, ?, ?, ?, ?)", rows))

    def _list_rules(self, _: str | None) -> None:
        for answer, _next in self._pages("ListTopicRules", self._iot.list_topic_rules, None, old=False):
            rows = [
                (self._name, rule["ruleName"], pattern, bool(rule.get("ruleDisabled")))
                for rule in answer["rules"]
                if "certificates/registered" in (pattern := rule.get("topicPattern", "").strip("'"))
            ]
            self._file.write(("INSERT OR REPLACE INTO rule VALUES (?, ?, ?, ?)", rows))

    def _list_templates(self, _: str | None) -> None:
        listing = self._pages("ListProvisioningTemplates", self._iot.list_provisioning_templates, None, old=False)
        for answer, _next in listing:
            rows = []
            for one in answer["templates"]:
                body = self._calls.make(
                    "DescribeProvisioningTemplate",
                    self._iot.describe_provisioning_template,
                    templateName=one["templateName"],
                )["templateBody"]
                kind = one.get("type", "FLEET_PROVISIONING")
                policies = json.dumps(_policies_in(body))
                rows.append((self._name, one["templateName"], kind, bool(one.get("enabled")), policies))
            self._file.write(("INSERT OR REPLACE INTO template VALUES (?, ?, ?, ?, ?)", rows))

    def _list_certificates(self, marker: str | None) -> None:
        pages = self._pages("ListCertificates", self._iot.list_certificates, marker, ascendingOrder=True)
        for answer, after in pages:
            rows = [
                (self._name, one["certificateId"], one["status"], one.get("certificateMode"))
                for one in answer["certificates"]
            ]
            self._keep(
                "certificates",
                after,
                "INSERT OR IGNORE INTO certificate (stage, id, status, mode) VALUES (?, ?, ?, ?)",
                rows,
            )

    def _list_by_ca(self, place: str | None) -> None:
        begun, _, marker = (place or "").partition("|")
        cas = [row[0] for row in self._file.rows("SELECT id FROM ca WHERE stage = ? ORDER BY id", self._name)]
        for ca in cas:
            if ca < begun:
                continue
            pages = self._pages(
                "ListCertificatesByCA",
                self._iot.list_certificates_by_ca,
                (marker or None) if ca == begun else None,
                ascendingOrder=True,
                caCertificateId=ca,
            )
            for answer, after in pages:
                rows = [(ca, self._name, one["certificateId"]) for one in answer["certificates"]]
                self._keep(
                    "by CA", f"{ca}|{after or ''}", "UPDATE certificate SET ca = ? WHERE stage = ? AND id = ?", rows
                )

    def _list_things(self, marker: str | None) -> None:
        for answer, after in self._pages("ListThings", self._iot.list_things, marker, old=False):
            rows = [(self._name, one["thingName"]) for one in answer["things"]]
            self._keep("things", after, "INSERT OR IGNORE INTO thing (stage, name) VALUES (?, ?)", rows)

    def _list_policies(self, marker: str | None) -> None:
        for answer, after in self._pages("ListPolicies", self._iot.list_policies, marker):
            rows = [(self._name, one["policyName"]) for one in answer["policies"]]
            self._keep("policies", after, "INSERT OR IGNORE INTO policy (stage, name) VALUES (?, ?)", rows)

    def _unasked(self, query: str) -> Iterator[tuple[str, ...]]:
        """The names that a query gives, some at once, until it gives none: what is answered is no longer among them."""
        while names := tuple(row[0] for row in self._file.rows(f"{query} LIMIT {_AT_ONCE}", self._name)):
            yield names

    def _ask_principals(self, _: str | None) -> None:
        for names in self._unasked("SELECT name FROM thing WHERE stage = ? AND NOT asked ORDER BY name"):
            found, gone = [], []
            for name in names:
                try:
                    for answer, _next in self._pages(
                        "ListThingPrincipals", self._iot.list_thing_principals, None, old=False, thingName=name
                    ):
                        found += [(self._name, name, _principal(arn)) for arn in answer["principals"]]
                except self._iot.exceptions.ResourceNotFoundException:
                    gone.append((self._name, name))
            self._file.write(
                ("INSERT OR IGNORE INTO attachment VALUES (?, ?, ?)", found),
                ("UPDATE thing SET asked = 1 WHERE stage = ? AND name = ?", [(self._name, name) for name in names]),
                ("DELETE FROM thing WHERE stage = ? AND name = ?", gone),
            )

    def _ask_targets(self, _: str | None) -> None:
        for names in self._unasked("SELECT name FROM policy WHERE stage = ? AND claims IS NULL ORDER BY name"):
            for name in names:
                rows: list[Sequence[Any]] = []
                try:
                    for answer, _next in self._pages(
                        "ListTargetsForPolicy", self._iot.list_targets_for_policy, None, policyName=name
                    ):
                        rows = [(self._name, name, _principal(arn)) for arn in answer["targets"]]
                        self._file.write(("INSERT OR IGNORE INTO attached VALUES (?, ?, ?)", rows))
                except self._iot.exceptions.ResourceNotFoundException:
                    pass  # deleted meanwhile: it has no targets
                self._file.write(("UPDATE policy SET claims = 0 WHERE stage = ? AND name = ?", [(self._name, name)]))

    def _read_documents(self, _: str | None) -> None:
        most_attached = (
            "SELECT policy.name FROM policy LEFT JOIN attached ON attached.stage = policy.stage AND "  # noqa: S608 -- numbers of ours
            "attached.policy = policy.name WHERE policy.stage = ? AND flaws IS NULL GROUP BY policy.name "
            f"ORDER BY count(attached.target) DESC, policy.name LIMIT {MOST_DOCUMENTS}"
        )
        wanted = [row[0] for row in self._file.rows(most_attached, self._name)]
        for names in (wanted[first : first + _AT_ONCE] for first in range(0, len(wanted), _AT_ONCE)):
            rows = []
            for name in names:
                try:
                    document = self._calls.make("GetPolicy", self._iot.get_policy, policyName=name)["policyDocument"]
                except self._iot.exceptions.ResourceNotFoundException:
                    document = "{}"
                rows.append((json.dumps(_flaws(document)), int(_CLAIMS in document), self._name, name))
            self._file.write(("UPDATE policy SET flaws = ?, claims = ? WHERE stage = ? AND name = ?", rows))

    def _read_records(self, after: str | None) -> None:
        query = "SELECT id FROM certificate WHERE stage = ? AND id > ? ORDER BY id LIMIT ?"
        after = after or ""
        while ids := [row[0] for row in self._file.rows(query, self._name, after, _BATCH)]:
            after, rows = ids[-1], []
            for certificate_id, record in self._calls.repeat("BatchGetItem", lambda: self._recall(ids)).items():
                decision = record.decision
                if decision is not None:
                    ca = record.ca_certificate_id
                    rows.append((decision.outcome.value, ca, ca, self._name, certificate_id))
            self._keep(
                "records",
                after,
                "UPDATE certificate SET record = ?, record_ca = ?, ca = coalesce(ca, ?) WHERE stage = ? AND id = ?",
                rows,
            )

    def _read_owners(self, after: str | None) -> None:
        query = "SELECT name FROM thing WHERE stage = ? AND name > ? ORDER BY name LIMIT ?"
        after = after or ""
        while names := [row[0] for row in self._file.rows(query, self._name, after, _BATCH)]:
            after = names[-1]
            found = self._calls.repeat("BatchGetItem", lambda: self._owners(names))
            rows = [(owner.certificate_id, self._name, name) for name, owner in found.items()]
            self._keep("owners", after, "UPDATE thing SET owner = ? WHERE stage = ? AND name = ?", rows)

    def _recall(self, ids: list[str]) -> dict[str, Any]:
        try:
            return self._stage.registry.recall(ids)
        except ClientError as error:
            return _without_table(error)

    def _owners(self, names: list[str]) -> dict[str, Any]:
        try:
            return self._stage.registry.owners(names)
        except ClientError as error:
            return _without_table(error)

    def _describe(self, _: str | None) -> None:
        query = "SELECT id FROM certificate WHERE stage = ? AND ca IS NULL AND NOT described ORDER BY id"
        for ids in self._unasked(query):
            rows: list[Sequence[Any]] = []
            for certificate_id in ids:
                try:
                    answer = self._calls.make(
                        "DescribeCertificate", self._iot.describe_certificate, certificateId=certificate_id
                    )
                except self._iot.exceptions.ResourceNotFoundException:
                    rows.append((None, None, None, None, self._name, certificate_id))
                    continue
                rows.append((*self._read(answer["certificateDescription"]), self._name, certificate_id))
            self._file.write(
                (
                    (
                        "UPDATE certificate SET described = 1, ca = ?, issuer = ?, facts = ?, ends_at = ? "
                        "WHERE stage = ? AND id = ?"
                    ),
                    rows,
                )
            )

    def _read(self, description: dict[str, Any]) -> tuple[str | None, str, str, str | None]:
        """The CA, the issuer, the facts that tell of a certificate's origin, and its end."""
        device = find_issuer(
            DeviceRegistration(
                certificate_id=description["certificateId"],
                arn=description["certificateArn"],
                status=Status(description["status"]),
                pem=description["certificatePem"],
                ca_certificate_id=description.get("caCertificateId"),
                created_at=description["creationDate"],
            ),
            self._stage.rules,
        )
        try:
            certificate = Certificate.from_pem(device.pem)
            issuer, ends_at = f"{certificate.issuer} / {certificate.subject}", _date(certificate.not_after)
        except Exception:  # noqa: BLE001 -- any reader's error: a certificate that cannot be read is counted, too
            issuer, ends_at = "(cannot be read)", None
        facts = {
            "mode": description.get("certificateMode", CertificateMode.DEFAULT.value),
            "signed_by_fleet": not device.is_ca_named and device.ca_certificate_id is not None,
            "transferred": bool(description.get("previousOwnedBy") or description.get("transferData")),
        }
        return device.ca_certificate_id, issuer, json.dumps(facts), ends_at


def _without_table(error: ClientError) -> dict[str, Any]:
    """Nothing, if the account has no stack yet; raises the error otherwise."""
    if error.response["Error"]["Code"] != "ResourceNotFoundException":
        raise error
    return {}


def _principal(arn: str) -> str:
    """A certificate's id, or another principal's ARN."""
    return arn.rpartition(":cert/")[2] if ":cert/" in arn else arn


def _date(moment: Any) -> str | None:
    return moment.isoformat() if moment else None


def _policies_in(body: str) -> list[str]:
    """The names of the policies that a template attaches; none if it cannot be read."""
    try:
        resources = json.loads(body).get("Resources", {})
        properties = [one.get("Properties", {}) for one in resources.values() if one.get("Type") == "AWS::IoT::Policy"]
        return [one["PolicyName"] for one in properties if isinstance(one.get("PolicyName"), str)]
    except (ValueError, AttributeError, TypeError):
        return []


def _flaws(document: str) -> list[str]:
    """What a policy allows that a device should not have, as `jitrctl fleet check` says it of a policy file."""
    try:
        statements = json.loads(unquote(document) if document.startswith("%") else document).get("Statement", [])
    except ValueError:
        return ["is no JSON"]
    listed = statements if isinstance(statements, list) else [statements]
    return [flaw.text for one in listed if isinstance(one, dict) for flaw in find_flaws(one)]
