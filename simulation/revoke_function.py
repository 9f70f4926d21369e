"""Builds an execution environment of the function `revoke`, as its handler's `build` does."""

from typing import TYPE_CHECKING, Any, cast

from jitr.aws.connections import Connections
from jitr.aws.crl_bucket import Crls
from jitr.aws.iot import AwsIot
from jitr.handlers.revoke import RevokeHandler
from jitr.pacing.schedule import Need
from jitr.pacing.turn_by_turn import TurnByTurn
from jitr.pacing.turns import TURNS_CONFIG
from jitr.registration.threads import Beside, OneByOne
from jitr.revocation.application import CrlApplication
from jitr.revocation.candidates import Candidates
from jitr.revocation.enforcement import Enforcement
from jitr.revocation.walks import Walks
from jitr.session_end import SessionEnd
from jitr.store.crl_state import CrlStates
from jitr.store.outcomes import Outcomes
from jitr.store.registry import Registry
from jitr.store.sweep_state import SweepState
from jitr.telemetry import SCHEDULE_UNAVAILABLE, Announcer, Counts
from simulation.lambda_ import Handler

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from simulation.deployment import Deployment
    from simulation.threads import Tasks


def revoke_environment(deployment: "Deployment", *, caller: str = "revoke") -> Handler:
    """An execution environment of `revoke`, as after a cold start: its handler."""
    client, clock = deployment.clients(caller), deployment.account.aws.clock
    announcer = Announcer(
        client("events"), deployment.settings, cast("Logger", deployment.journal), cast("Counts", deployment.journal)
    )
    dynamodb = client("dynamodb")
    turns = TurnByTurn(
        deployment.account.client("dynamodb", caller=caller, config=TURNS_CONFIG),
        deployment.settings.registry_table,
        per_second=deployment.settings.activations_per_second,
        need=Need.ORDERED,
        when_unavailable=lambda: deployment.journal.add(SCHEDULE_UNAVAILABLE),
        clock=lambda: clock.now().timestamp(),
        sleep=clock.sleep,
    )
    started: list[Tasks] = []

    def beside() -> Beside:
        if not deployment.with_threads:
            return OneByOne()
        started.append(deployment.threads())
        return started[-1]

    iot = AwsIot(client("iot"), turns, clock=clock.now, rules=deployment.rules)
    registry = Registry(dynamodb, deployment.settings.registry_table)
    outcomes = Outcomes(dynamodb, deployment.settings.registry_table)
    states = CrlStates(dynamodb, deployment.settings.registry_table)
    application = CrlApplication(
        rules=deployment.rules,
        crls=Crls(lambda: client("s3"), deployment.settings.crl_bucket, deployment.account.id, clock=clock.now),
        states=states,
        journal=SweepState(dynamodb, deployment.settings.registry_table),
        candidates=Candidates(registry=registry, outcomes=outcomes),
        walks=Walks(
            enforcement=Enforcement(
                rules=deployment.rules,
                iot=iot,
                registry=registry,
                outcomes=outcomes,
                announcer=announcer,
                sessions=SessionEnd(iot, Connections(client("iot-data"))),
                clock=clock.now,
            ),
            turns=turns,
            threads=beside,
            announcer=announcer,
        ),
        announcer=announcer,
        clock=clock.now,
    )
    revoke = RevokeHandler(
        application,
        states,
        client("sqs"),
        deployment.settings.crl_queue_url,
        announcer,
        turns=turns,
        clock=clock.now,
    )

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        """As jitr.handlers.revoke.handler."""
        try:
            return revoke.handle_batch(
                event["Records"],
                who=f"{caller} {clock.now().timestamp()}",
                seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
            )
        except BaseException as death:
            if not isinstance(death, Exception):
                for one in started:
                    one.kill()
            raise
        finally:
            started.clear()

    return handler
