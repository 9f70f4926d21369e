"""Gives probes guarded clients, CAs, devices and events; everything is in the journal before it is made.

CAs, policies and the clients that subscribe to events are made when a probe first needs them, and shared.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from jitr_fleet.resources import registered_topic
from jitrctl.prove.certificates import ProbeCa, ProbeIdentity, id_of, issue_self_signed
from jitrctl.prove.finding import Finder
from jitrctl.prove.journal import JournalEntry, ResourceKind
from jitrctl.prove.place import ProbeDevice
from jitrctl.prove.probe import Unanswered
from jitrctl.session.aws_errors import is_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jitrctl.prove.devices import ProbeSession
    from jitrctl.prove.journal import Journal
    from jitrctl.prove.place import ProvePlace, Time

T = TypeVar("T")

DEFAULT, SNI_ONLY = "DEFAULT", "SNI_ONLY"
ROLE_POLICY = "run"  # the one inline policy that a role of a run may have
LOOK_EVERY = 1.0  # seconds; AWS IoT accepts one CONNECT a second per client id
_REGISTERED_WITHIN = 30.0  # seconds after its CONNECT
_EVENT_WITHIN = 20.0
_SUBSCRIBED_WITHIN = 60.0  # after its policy was attached


@dataclass(kw_only=True, eq=False)
class Run:
    """One run of `jitrctl prove`."""

    journal: Journal
    places: tuple[ProvePlace, ...]  # one or two
    time: Time
    other_region: str | None = None  # another Region of the first account
    _cas: dict[str, tuple[ProbeCa, ProvePlace]] = field(default_factory=dict)
    _listeners: dict[ProvePlace, tuple[ProbeDevice, ProbeSession]] = field(default_factory=dict)
    _policies: set[tuple[ProvePlace, str]] = field(default_factory=set)
    _numbers: int = 0

    @property
    def id(self) -> str:
        return self.journal.run

    @property
    def first(self) -> ProvePlace:
        return self.places[0]

    @property
    def last(self) -> ProvePlace:
        """The second account, if there are two."""
        return self.places[-1]

    def name(self, what: str) -> str:
        """A new name that nothing else in the account has."""
        self._numbers += 1
        return f"{self.id}-{what}-{self._numbers}"

    # CAs

    def new_ca(self, what: str) -> ProbeCa:
        """A new CA, not registered in any account."""
        return ProbeCa.new(self.name(f"ca-{what}"), self.time.now())

    def register_ca(self, place: ProvePlace, ca: ProbeCa, mode: str, **more: Any) -> str:
        """Register a CA, ACTIVE and with auto-registration; returns the id that AWS gives it.

        Raises botocore's errors.
        """
        known = (one for one in self._entries(place, ResourceKind.CA) if one.pem == ca.pem)
        entry = next(known, None) or self._certificate_entry(place, ResourceKind.CA, mode, ca.pem)
        if mode == DEFAULT:
            code = place.iot.get_registration_code()["registrationCode"]
            more["verificationCertificate"] = ca.verification(code, self.time.now())
        # The entry stays even if the call fails: it may have been carried out with its answer lost.
        answer = place.iot.register_ca_certificate(
            caCertificate=ca.pem, certificateMode=mode, setAsActive=True, allowAutoRegistration=True, **more
        )
        self.journal.keep_id(entry, str(answer["certificateId"]))
        return str(answer["certificateId"])

    def ca(self, mode: str) -> tuple[ProbeCa, ProvePlace]:
        """The shared CA of a mode, and its account: DEFAULT in the first, SNI_ONLY in the last; registers it once."""
        if mode not in self._cas:
            ca, place = self.new_ca(mode.lower().replace("_", "-")), self.first if mode == DEFAULT else self.last
            self.register_ca(place, ca, mode)
            self._cas[mode] = ca, place
        return self._cas[mode]

    def ca_id(self, ca: ProbeCa, place: ProvePlace) -> str:
        """The id that AWS gave a registered CA."""
        entry = next(one for one in self._entries(place, ResourceKind.CA) if one.pem == ca.pem)
        return str(entry.found_id or entry.expected_id)

    # Devices

    def identity(self, ca: ProbeCa, what: str, **options: Any) -> ProbeIdentity:
        return ca.issue(self.name(what), self.time.now(), **options)

    def expect_registration(self, place: ProvePlace, identity: ProbeIdentity) -> JournalEntry:
        """Write into the journal, before its first CONNECT, that a device's certificate may be registered there."""
        known = (one for one in self._entries(place, ResourceKind.CERTIFICATE) if one.pem == identity.certificate)
        return next(known, None) or self._certificate_entry(
            place, ResourceKind.CERTIFICATE, identity.name, identity.certificate
        )

    def connect_new(
        self,
        place: ProvePlace,
        identity: ProbeIdentity,
        *,
        sni: bool = True,
        alone: bool = False,
        seconds: float | None = None,
    ) -> ProbeDevice | None:
        """Send a device's first CONNECT; returns what AWS registered, or None if it registers nothing in `seconds`.

        Raises Unanswered, botocore's errors.
        """
        entry = self.expect_registration(place, identity)
        answer = place.devices.connect(identity, identity.name, sni=sni, alone=alone)
        if not isinstance(answer, str):
            answer.close()
        within = _REGISTERED_WITHIN if seconds is None else seconds
        certificate_id = self.wait(lambda: self._described(place, entry), seconds=within)
        certificate_id = certificate_id or Finder(place, self.journal).find(entry)
        if certificate_id is None:
            return None
        self.journal.keep_id(entry, certificate_id)
        return ProbeDevice(place=place, identity=identity, certificate_id=certificate_id, client_id=identity.name)

    def register_device(self, mode: str, what: str) -> ProbeDevice:
        """Have a new device under the shared CA of a mode registered; it is pending.

        Raises Unanswered when AWS registers nothing.
        """
        ca, place = self.ca(mode)
        registered = self.connect_new(place, self.identity(ca, what))
        if registered is None:
            raise Unanswered(f"no certificate was registered {_REGISTERED_WITHIN:.0f} s after a device's CONNECT")
        return registered

    def activate_device(self, mode: str, what: str) -> ProbeDevice:
        """Have a new device registered, attach a policy that lets it connect, and set it ACTIVE."""
        device = self.register_device(mode, what)
        self.allow(device)
        device.place.iot.update_certificate(certificateId=device.certificate_id, newStatus="ACTIVE")
        return device

    def register_without_ca(self, place: ProvePlace, identity: ProbeIdentity, status: str) -> ProbeDevice:
        """Register a certificate without a CA, as ACTIVE or INACTIVE.

        Raises botocore's errors.
        """
        entry = self.expect_registration(place, identity)
        answer = place.iot.register_certificate_without_ca(certificatePem=identity.certificate, status=status)
        certificate_id = str(answer["certificateId"])
        self.journal.keep_id(entry, certificate_id)
        return ProbeDevice(place=place, identity=identity, certificate_id=certificate_id, client_id=identity.name)

    def allow(self, device: ProbeDevice) -> None:
        """Attach the run's policy, which allows its clients to connect, and nothing else."""
        statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": device.place.arn(f"client/{self.id}-*")}
        name = self._policy(device.place, "connect", [statement])
        device.place.iot.attach_policy(policyName=name, target=device.arn)

    def open_session(self, device: ProbeDevice, *, seconds: float = 120.0) -> ProbeSession:
        """Connect until accepted.

        Raises Unanswered if that takes longer than `seconds`.
        """
        last = ""
        until = self.time.monotonic() + seconds
        while self.time.monotonic() < until:
            answer = device.connect()
            if not isinstance(answer, str):
                return answer
            last = answer
            self.time.sleep(LOOK_EVERY + 0.1)
        raise Unanswered(f"the device was not accepted in {seconds:.0f} s: {last}")

    # Events

    def listen(self, place: ProvePlace, ca_id: str) -> ProbeSession:
        """Subscribe to a CA's registration events, with one client per account.

        Raises Unanswered when the client is not accepted, or the subscription is refused.
        """
        until = self.time.monotonic() + _SUBSCRIBED_WITHIN
        while True:
            if place not in self._listeners or not self._listeners[place][1].is_open:
                device = self._listeners[place][0] if place in self._listeners else self._listener(place)
                self._listeners[place] = device, self.open_session(device)
            session = self._listeners[place][1]
            answer = session.subscribe(registered_topic(ca_id))
            if answer == "granted":
                return session
            if self.time.monotonic() >= until:
                raise Unanswered(f"the subscription to {registered_topic(ca_id)} is refused ({answer})")
            self.time.sleep(LOOK_EVERY + 0.1)

    def receive_event(self, session: ProbeSession, device_id: str, *, seconds: float = _EVENT_WITHIN) -> bytes | None:
        """The payload of the next event about a certificate; None if none comes in `seconds`."""
        until = self.time.monotonic() + seconds
        while (left := until - self.time.monotonic()) > 0:
            payload = session.receive(left)
            if payload is None:
                return None
            if device_id.encode() in payload:
                return payload
        return None

    # Other things

    def create_thing(self, place: ProvePlace) -> str:
        name = self.journal_name(place, ResourceKind.THING, "thing")
        place.iot.create_thing(thingName=name)
        return name

    def create_role(self, place: ProvePlace, service: str = "iot", *statements: Mapping[str, Any]) -> str:
        """Create a role for an AWS service with these policy statements; returns its ARN."""
        name = self.journal_name(place, ResourceKind.ROLE, "role")
        trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
        answer = place.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))
        if statements:
            place.client("iam").put_role_policy(
                RoleName=name, PolicyName=ROLE_POLICY, PolicyDocument=_document(*statements)
            )
        return str(answer["Role"]["Arn"])

    def journal_name(self, place: ProvePlace, kind: ResourceKind, what: str) -> str:
        """Write a new name into the journal, for a thing that is about to be made; returns the name."""
        name = self.name(what)
        self.journal.add(JournalEntry(account=place.account, region=place.region, kind=kind, name=name))
        return name

    def wait(self, look: Callable[[], T | None], *, seconds: float) -> T | None:
        """Call `look` each second until it returns something; None if it does not in `seconds`."""
        until = self.time.monotonic() + seconds
        while True:
            found = look()
            if found is not None or self.time.monotonic() >= until:
                return found
            self.time.sleep(LOOK_EVERY)

    def close(self) -> None:
        """Close the connections of the subscribed clients."""
        for _, session in self._listeners.values():
            with suppress(OSError):
                session.close()
        self._listeners.clear()

    def _listener(self, place: ProvePlace) -> ProbeDevice:
        """Make a client that may subscribe to registration events, and nothing else."""
        now = self.time.now()
        identity = issue_self_signed(self.name("listener"), now)
        device = self.register_without_ca(place, identity, "ACTIVE")
        topics = "$aws/events/certificates/registered/*"
        statements = [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": place.arn(f"client/{self.id}-*")},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": place.arn(f"topicfilter/{topics}")},
            {"Effect": "Allow", "Action": "iot:Receive", "Resource": place.arn(f"topic/{topics}")},
        ]
        name = self._policy(place, "listen", statements)
        place.iot.attach_policy(policyName=name, target=device.arn)
        return device

    def _policy(self, place: ProvePlace, what: str, statements: list[dict[str, str]]) -> str:
        name = f"{self.id}-{what}"
        if (place, what) not in self._policies:
            self._policies.add((place, what))
            self.journal.add(
                JournalEntry(account=place.account, region=place.region, kind=ResourceKind.POLICY, name=name)
            )
            place.iot.create_policy(policyName=name, policyDocument=_document(*statements))
        return name

    def _certificate_entry(self, place: ProvePlace, kind: ResourceKind, name: str, pem: str) -> JournalEntry:
        return self.journal.add(
            JournalEntry(
                account=place.account, region=place.region, kind=kind, name=name, pem=pem, expected_id=id_of(pem)
            )
        )

    def _entries(self, place: ProvePlace, kind: ResourceKind) -> list[JournalEntry]:
        here = (place.account, place.region, kind)
        return [one for one in self.journal.entries if (one.account, one.region, one.kind) == here]

    def _described(self, place: ProvePlace, entry: JournalEntry) -> str | None:
        """The certificate's expected id; None if AWS does not know that id."""
        try:
            place.iot.describe_certificate(certificateId=entry.expected_id)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return entry.expected_id


def _document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
