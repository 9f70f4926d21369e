"""One certificate in AWS, and all that a Registration can do to it, written down in order."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from unittest.mock import Mock, create_autospec

from jitr.admission.enrollment import Entry, Subject
from jitr.aws.crl_bucket import Crls, PublishedCrl
from jitr.aws.hook import Hook
from jitr.aws.iot import AwsIot
from jitr.aws.things import Things
from jitr.brake import Brake
from jitr.decisions import Decision, Outcome
from jitr.events import RegistrationEvent
from jitr.iot_models import Status
from jitr.pacing.turns import Turns
from jitr.provisioning import CreateThing, IotStep, SetStatus
from jitr.record import Record, Standing
from jitr.registration.procedure import Registration
from jitr.session_end import SessionEnd
from jitr.store.brakes import Brakes
from jitr.store.enrollment_table import EnrollmentTable
from jitr.store.registry import Registry
from jitr.telemetry import Announcer
from tests.support.cases.issuing import ACCOUNT, NOW, Application
from tests.support.examples import SETTINGS


@dataclass
class World:
    """One certificate in AWS, and all that a Registration can do to it, written down in order."""

    application: Application
    now: datetime = NOW
    calls: Mock = field(default_factory=Mock)
    calls_left: int = 1000  # before the deadline

    def __post_init__(self) -> None:
        self.iot = create_autospec(AwsIot, instance=True)
        self.iot.things = create_autospec(Things, instance=True)
        self.registry = create_autospec(Registry, instance=True)
        self.announcer = create_autospec(Announcer, instance=True)
        self.enrollment = create_autospec(EnrollmentTable, instance=True)
        self.enrollment.entries.side_effect = lambda _: self.entries
        # The standing is the same, whichever call reads it.
        self.enrollment.entries_and_standing.side_effect = lambda *_: (
            self.entries,
            self.registry.recall_standing.return_value,
        )
        self.enrollment.find_changed.return_value = set()
        self.crls = create_autospec(Crls, instance=True)
        self.crls.of.side_effect = lambda *_, **__: PublishedCrl(
            version='"1"', revocations=self.application.revocations
        )
        self.crls.changed_since.return_value = set()
        self.hook = create_autospec(Hook, instance=True)
        self.brakes = create_autospec(Brakes, instance=True)
        self.brakes.find_accepted.return_value = set()
        self.brakes.count_refusal.return_value = Brake()
        for name in ("iot", "registry", "crls", "enrollment", "hook", "announcer"):
            self.calls.attach_mock(getattr(self, name), name)
        self.iot.describe.side_effect = lambda _: self.application.device
        self.iot.describe_ca.side_effect = lambda _: self.application.ca
        self.iot.things.create.return_value = ()  # the thing is new, or as it should be
        self.registry.recall_standing.return_value = Standing()
        self.registry.recall.return_value = defaultdict(Record)  # nothing is known of any other certificate
        self.registry.record_found.return_value = True
        self.turns = create_autospec(Turns, instance=True)
        self.sessions = create_autospec(SessionEnd, instance=True)

    @property
    def entries(self) -> dict[Subject, Entry]:
        return {one.subject: one for one in self.application.enrollment.entries}

    @property
    def event(self) -> RegistrationEvent:
        device = self.application.device
        assert device.ca_certificate_id
        return RegistrationEvent(
            certificate_id=device.certificate_id, ca_certificate_id=device.ca_certificate_id, account_id=ACCOUNT
        )

    def registration(self) -> Registration:
        return Registration(
            settings=replace(SETTINGS, account_id=ACCOUNT),
            rules=self.application.rules,
            iot=self.iot,
            registry=self.registry,
            crls=self.crls,
            enrollment=self.enrollment,
            hook=self.hook,
            brakes=self.brakes,
            announcer=self.announcer,
            turns=self.turns,
            sessions=lambda: self.sessions,
            clock=lambda: self.now,
        )

    def decide(self, record: Record | None = None, event: RegistrationEvent | None = None) -> Decision:
        outcome, decision = self.outcome(record, event)
        assert decision
        assert outcome is decision.outcome
        return decision

    def outcome(
        self, record: Record | None = None, event: RegistrationEvent | None = None
    ) -> tuple[Outcome, Decision | None]:
        return self.registration().decide(
            event or self.event, record or Record(), sent_at=self.now, time_is_left=self.time_is_left
        )

    def seconds(self) -> float:
        return self.now.timestamp()

    def time_is_left(self) -> bool:
        self.calls_left -= 1
        return self.calls_left >= 0

    @property
    def names(self) -> list[str]:
        """The calls made, each step by its kind."""
        return [
            f"apply {type(one.args[0]).__name__}" if one[0] == "iot.apply" else one[0] for one in self.calls.mock_calls
        ]

    @property
    def statuses_set(self) -> list[Status]:
        steps = [one.args[0] for one in self.iot.apply.call_args_list]
        return [step.status for step in steps if isinstance(step, SetStatus)]

    def recorded(self, **changes: Any) -> Decision:
        """A decision on this registration, as the registry could hold it."""
        device = self.application.device
        decision = Decision(
            certificate_id=device.certificate_id,
            outcome=Outcome.ACTIVATED,
            status=Status.ACTIVE,
            registered_at=device.created_at,
            decided_at=self.now,
            rules_digest=self.application.rules.digest,
        )
        return replace(decision, **changes)

    def fails_at(self, kind: type[IotStep], error: Exception) -> None:
        """Let the step of this kind fail."""
        if kind is CreateThing:
            self.iot.things.create.side_effect = error

        def apply(step: IotStep) -> None:
            if isinstance(step, kind):
                raise error

        self.iot.apply.side_effect = apply
