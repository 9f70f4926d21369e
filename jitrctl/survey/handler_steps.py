"""Surveys what registers and provisions devices in one stage: CAs, topic rules, provisioning templates."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitr.aws.calls import is_denied
from jitr.errors import NotPermitted, Rejected
from jitr.x509.certificate import Certificate
from jitr_fleet.problems import escape_controls
from jitrctl.survey.survey_calls import in_iso

if TYPE_CHECKING:
    from jitrctl.survey.survey_calls import SurveyCalls

_REGISTERED = ("$aws", "events", "certificates", "registered", "+")  # levels; the last is a CA's id
A_BODY = "(a body)"  # the name of a CA's template that has none
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?")
UNREADABLE = ("(may not be read)",)


def list_cas(survey: SurveyCalls, _: str | None) -> None:
    """Keep each registered CA, with its template and the policies that the template attaches."""
    for answer, _next in survey.pages("ListCACertificates", survey.iot.list_ca_certificates, None):
        rows = []
        for one in answer["certificates"]:
            found = survey.make(
                "DescribeCACertificate", survey.iot.describe_ca_certificate, certificateId=one["certificateId"]
            )
            if found is None:
                continue  # deleted meanwhile
            ca, template = found["certificateDescription"], found.get("registrationConfig", {})
            body = template.get("templateBody")
            rows.append(
                (
                    survey.name,
                    ca["certificateId"],
                    ca["status"],
                    ca.get("certificateMode"),
                    ca.get("autoRegistrationStatus") == "ENABLE",
                    template.get("templateName") or (A_BODY if body else None),
                    json.dumps(policies_in(body)) if body else None,
                    _end_of(ca),
                )
            )
        survey.file.write(("INSERT OR REPLACE INTO ca VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows))


def list_registration_rules(survey: SurveyCalls, _: str | None) -> None:
    """Keep each topic rule that gets registration events, with what it does with them."""
    for answer, _next in survey.pages("ListTopicRules", survey.iot.list_topic_rules, None, old=False):
        rows = []
        for rule in answer["rules"]:
            pattern = rule.get("topicPattern", "").strip("'")
            if reaches_registrations(pattern):
                actions = json.dumps(_actions_of(survey, rule["ruleName"]))
                rows.append(
                    (survey.name, rule["ruleName"], escape_controls(pattern), bool(rule.get("ruleDisabled")), actions)
                )
        survey.file.write(("INSERT OR REPLACE INTO rule VALUES (?, ?, ?, ?, ?)", rows))


def list_templates(survey: SurveyCalls, _: str | None) -> None:
    """Keep each provisioning template, with the policies that it attaches and its hook."""
    pages = survey.pages("ListProvisioningTemplates", survey.iot.list_provisioning_templates, None, old=False)
    for answer, _next in pages:
        rows = []
        for one in answer["templates"]:
            found = survey.make(
                "DescribeProvisioningTemplate",
                survey.iot.describe_provisioning_template,
                templateName=one["templateName"],
            )
            if found is None:
                continue  # deleted meanwhile
            kind = one.get("type", "FLEET_PROVISIONING")
            policies, hook = json.dumps(policies_in(found["templateBody"])), found.get("preProvisioningHook") or {}
            is_enabled = bool(one.get("enabled"))
            rows.append((survey.name, one["templateName"], kind, is_enabled, policies, hook.get("targetArn")))
        survey.file.write(("INSERT OR REPLACE INTO template VALUES (?, ?, ?, ?, ?, ?)", rows))


def reaches_registrations(pattern: str) -> bool:
    """Whether a rule's topic filter fits the registration events of any CA.

    A wildcard as the first level fits no topic that begins with $ (MQTT 5, 4.7.2).
    """
    levels = pattern.split("/")
    for level, wanted in zip(levels, _REGISTERED, strict=False):
        if level == "#":
            return levels[0] == _REGISTERED[0]
        if wanted not in (level, "+") and (level != "+" or wanted == _REGISTERED[0]):
            return False
    return len(levels) == len(_REGISTERED) or levels[len(_REGISTERED) :] == ["#"]


def policies_in(body: str) -> list[str]:
    """The names of the policies that a template attaches.

    Not among them are those whose name a parameter gives, and those without a name, which AWS names after a hash of
    their document (AWS IoT guide, "Provisioning templates"); none if the body cannot be read.
    """
    try:
        resources = json.loads(body).get("Resources", {})
        properties = [one.get("Properties", {}) for one in resources.values() if one.get("Type") == "AWS::IoT::Policy"]
        return [one["PolicyName"] for one in properties if isinstance(one.get("PolicyName"), str)]
    except (ValueError, RecursionError, AttributeError, TypeError):
        return []


def _actions_of(survey: SurveyCalls, rule: str) -> tuple[str, ...]:
    """What a rule does, as `lambda arn:…`; that it may not be read, also of a rule that was deleted meanwhile."""
    try:
        found = survey.make("GetTopicRule", survey.iot.get_topic_rule, ruleName=rule)
    except NotPermitted:
        return UNREADABLE
    except ClientError as error:
        if not is_denied(error.response["Error"]["Code"]):
            raise
        return UNREADABLE
    if found is None:
        return UNREADABLE
    return tuple(
        f"{kind} {_target(action)}".strip() for one in found["rule"]["actions"] for kind, action in one.items()
    )


def _target(action: dict[str, Any]) -> str:
    """Where an action sends to: a function, a queue, a topic; of a URL, which may hold a secret, scheme and host."""
    keys = ("functionArn", "queueUrl", "targetArn", "topic", "streamName", "stateMachineName", "bucketName", "url")
    key = next((key for key in keys if key in action), None)
    if key in ("queueUrl", "url"):
        return describe_url(str(action[key]), with_path=key == "queueUrl")
    return str(action[key]) if key else ""


def describe_url(url: str, *, with_path: bool) -> str:
    """Scheme and host of a URL, and with its path if that names a queue: user, password and query may be secrets."""
    scheme, separator, rest = url.partition("://")
    place, _, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    host = place.rpartition("@")[2]
    if not separator or not _HOST.fullmatch(host):  # it may have substitution templates
        return "a URL"
    return f"{scheme}://{host}/{path}" if with_path else f"{scheme}://{host}"


def _end_of(ca: dict[str, Any]) -> str | None:
    if "validity" in ca:
        return in_iso(ca["validity"].get("notAfter"))
    try:
        return in_iso(Certificate.from_pem(ca["certificatePem"]).not_after)
    except Rejected:
        return None
