"""Handles a device's MQTT CONNECT: registers the certificate, publishes the event, accepts or refuses the connection.

Sources: aws-facts §1, §2. The event is delivered at once; simulation/queue.py can make it late, double or out of order.
Only CONNECT counts: a TLS handshake alone registers nothing. connections.py has the session after it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from simulation.faults import Answer, Params, ServiceError
from simulation.iot.certificates import DeviceCertificate
from simulation.iot.things import EXCLUSIVE
from simulation.leaf import Leaf, parse
from simulation.place import Place
from simulation.quotas import AUTO_REGISTRATION, CONNECT
from simulation.sqs import Sqs

if TYPE_CHECKING:
    from simulation.iot import Iot

_REGISTERED = "$aws/events/certificates/registered"


@dataclass(slots=True, kw_only=True)
class TopicRule:
    """A topic rule on one CA's registration events, with one SQS action."""

    name: str
    queue_url: str
    enabled: bool = True


class RegistrationMessage:
    """One event's payload; becomes text only when it is read, since a storm's queue holds millions of them."""

    __slots__ = ("_certificate", "_first", "_published_at")

    def __init__(self, certificate: DeviceCertificate, published_at: datetime, *, first: bool) -> None:
        self._certificate = certificate
        self._published_at = published_at
        self._first = first

    @property
    def certificate_id(self) -> str:
        return self._certificate.certificate_id

    def __str__(self) -> str:
        registered_at = round(self._certificate.created_at.timestamp() * 1000)
        return json.dumps(
            {
                "certificateId": self._certificate.certificate_id,
                "caCertificateId": self._certificate.ca_certificate_id,
                "timestamp": round(self._published_at.timestamp() * 1000),
                "certificateStatus": "PENDING_ACTIVATION",
                "awsAccountId": self._certificate.arn.split(":")[4],
                # Null in the event of the CONNECT that registers, afterwards a string (aws-facts §1).
                "certificateRegistrationTimestamp": None if self._first else str(registered_at),
            }
        )


class Broker:
    """The MQTT broker of one account and Region."""

    def __init__(self, place: Place, sqs: Sqs, iot: "Iot") -> None:
        self._place = place
        self._sqs = sqs
        self._iot = iot
        self.rules: dict[str, list[TopicRule]] = {}  # by the CA's certificate id
        # Rules of others, which do nothing here: by name, as GetTopicRule answers it, with its topic filter.
        self.others: dict[str, tuple[Params, str]] = {}
        self.listeners: list[Callable[[str, str], None]] = []  # MQTT clients: the topic, and what is published on it
        self.published = 0

    def add_rule(
        self, ca_certificate_id: str, queue_url: str, *, name: str | None = None, enabled: bool = True
    ) -> None:
        """Add a topic rule; one of this name that is there already stays as it is."""
        rules = self.rules.setdefault(ca_certificate_id, [])
        if name is None or all(rule.name != name for rule in rules):
            name = name or f"rule_{ca_certificate_id[:16]}_{len(rules)}"
            rules.append(TopicRule(name=name, queue_url=queue_url, enabled=enabled))

    def disable_topic_rule(self, params: Params) -> Answer:
        return self._switch_rule(params, on=False)

    def enable_topic_rule(self, params: Params) -> Answer:
        return self._switch_rule(params, on=True)

    def _switch_rule(self, params: Params, *, on: bool) -> Answer:
        for rules in self.rules.values():
            for rule in rules:
                if rule.name == params["ruleName"]:
                    rule.enabled = on
                    return {}
        # AWS IoT does not say of a rule that it does not exist (jitrctl/ca/registry.py).
        raise ServiceError("UnauthorizedException", "Access to topic rule was denied")

    def list_topic_rules(self, _params: Params) -> Answer:
        """The rules, on one page."""
        found = [
            {"ruleName": rule.name, "topicPattern": f"{_REGISTERED}/{ca_id}", "ruleDisabled": not rule.enabled}
            for ca_id, rules in self.rules.items()
            for rule in rules
        ]
        found += [
            {"ruleName": name, "topicPattern": pattern, "ruleDisabled": rule.get("ruleDisabled", False)}
            for name, (rule, pattern) in self.others.items()
        ]
        return {"rules": found}

    def get_topic_rule(self, params: Params) -> Answer:
        """A rule with its actions; as of a rule that may not be read, AWS IoT does not say that there is none."""
        name = params["ruleName"]
        if name in self.others:
            other = {"ruleName": name, **self.others[name][0]}
            return {"ruleArn": self._place.arn("iot", f"rule/{name}"), "rule": other}
        for rules in self.rules.values():
            for rule in rules:
                if rule.name == name:
                    sent = {"sqs": {"queueUrl": rule.queue_url, "roleArn": "arn:aws:iam::1:role/rule"}}
                    found = {"ruleName": name, "ruleDisabled": not rule.enabled, "actions": [sent]}
                    return {"ruleArn": self._place.arn("iot", f"rule/{name}"), "rule": found}
        raise ServiceError("UnauthorizedException", f"Access to topic rule '{name}' was denied", status=401)

    def connect(
        self, given: Leaf | str | bytes, *, client_id: str, sni: bool, clean: bool, admits: Callable[[str], bool]
    ) -> Literal["accepted", "refused"]:
        """Handle one CONNECT; if it is refused, the connection closes without CONNACK, for any cause (aws-facts §2)."""
        if not admits(CONNECT):
            return "refused"
        leaf = given if isinstance(given, Leaf) else self._leaf(given)
        if leaf is None:
            return "refused"
        certificate = self._iot.certificates.by_id.get(leaf.certificate_id)
        if certificate is None:
            self._auto_register(leaf, sni=sni, admits=admits)
            return "refused"
        # Without SNI only certificates and CAs in DEFAULT mode are found (aws-facts §2).
        if not sni and certificate.mode != "DEFAULT":
            return "refused"
        if certificate.status == "PENDING_ACTIVATION":
            # Every attempt publishes again, not just the first (aws-facts §1).
            self._hand_over(certificate, first=False)
        active = certificate.status == "ACTIVE" and leaf.is_valid_at(self._place.clock.now())
        if not active or not self._may_connect(certificate, client_id):
            return "refused"
        self._iot.connections.begin(client_id, certificate.certificate_id, clean=clean)
        return "accepted"

    def _auto_register(self, leaf: Leaf, *, sni: bool, admits: Callable[[str], bool]) -> None:
        """Register an unknown leaf PENDING_ACTIVATION if its CA is registered, ACTIVE and auto-registering."""
        ca = self._iot.cas.by_id.get(leaf.ca_certificate_id or "")
        if ca is None or ca.status != "ACTIVE" or ca.auto_registration != "ENABLE":
            return
        if not sni and ca.mode != "DEFAULT":
            return
        if not self._place.undocumented.registers_outside_validity and not leaf.is_valid_at(self._place.clock.now()):
            return
        if not admits(AUTO_REGISTRATION):
            return
        certificate = self._iot.certificates.register(
            leaf, status="PENDING_ACTIVATION", mode=ca.mode, ca_certificate_id=ca.certificate_id
        )
        self._hand_over(certificate, first=True)

    def _hand_over(self, certificate: DeviceCertificate, *, first: bool) -> None:
        """Publish the event of a pending certificate; a CA with a template provisions the device (aws-facts §1)."""
        undocumented = self._place.undocumented
        template = self._iot.just_in_time.template_of(certificate.ca_certificate_id)
        if template is None or undocumented.publishes_with_template:
            self._publish(certificate, first=first)
        if template is not None and (first or undocumented.jitp_tries_again):
            self._iot.just_in_time.begin(certificate, template)

    def _publish(self, certificate: DeviceCertificate, *, first: bool) -> None:
        self.published += 1
        for listen in self.listeners:
            message = RegistrationMessage(certificate, self._place.clock.now(), first=first)
            listen(f"{_REGISTERED}/{certificate.ca_certificate_id}", str(message))
        for rule in self.rules.get(certificate.ca_certificate_id or "", ()):
            if rule.enabled:
                message = RegistrationMessage(certificate, self._place.clock.now(), first=first)
                self._sqs.at_url(rule.queue_url).send(message)

    def _may_connect(self, certificate: DeviceCertificate, client_id: str) -> bool:
        """Whether an attached policy allows it: every policy does, but one with thing variables needs a thing.

        A connection has a thing if the certificate is attached exclusively, or the client id is the thing's name
        (aws-facts §5).
        """
        things = self._iot.things.of_principal(certificate.arn)
        policies = self._iot.policies.of_target(certificate.arn)
        for thing in things.values():
            for group in thing.groups:
                policies += self._iot.policies.of_target(self._iot.things.group_arn(group))
        has_thing = any(
            thing.principals[certificate.arn].kind == EXCLUSIVE or thing.name == client_id for thing in things.values()
        )
        return any(has_thing or not policy.needs_thing for policy in policies)

    def _leaf(self, encoded: str | bytes) -> Leaf | None:
        """Read a certificate, and find the registered CA that signed it."""
        try:
            parsed = parse(encoded)
        except ServiceError:
            return None
        known = self._iot.certificates.by_id.get(parsed.fingerprint)
        if known:
            return known.leaf
        signer = next((ca.certificate_id for ca in self._iot.cas.by_id.values() if ca.signed(parsed)), None)
        return Leaf.read(parsed, ca_certificate_id=signer)
