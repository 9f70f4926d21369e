"""An operator revokes while a status is about to be changed: REVOKED stays, whoever is at it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from jitr.provisioning import IotStep, SetStatus
from jitr.verdicts import OperatorAction
from jitrctl.device.operations import Operator, OrderContext
from tests.support.cases.issuing import DAY, NOW, SECOND, factory, named, rules_for
from tests.support.cloud import Cloud

ORDER = OrderContext(by="arn:aws:iam::111111111111:user/operator")


def revoke(cloud: Cloud, device: str, *, while_waiting: Callable[[], None] = lambda: None) -> None:
    def sleep(seconds: float) -> None:
        cloud.now += timedelta(seconds=seconds)
        while_waiting()

    Operator(
        client=cloud.iot,
        iot=cloud.aws_iot,
        registry=cloud.registry,
        rules=cloud.rules,
        clock=cloud.clock,
        sleep=sleep,
        monotonic=cloud.seconds,
    ).take_away(device, OperatorAction.REVOKED, ORDER)


def before_intend(cloud: Cloud, act: Callable[[], None]) -> None:
    intend = cloud.registry.intend

    def interrupted(*arguments: Any, **more: Any) -> None:
        cloud.registry.intend = intend  # type: ignore[method-assign]
        act()
        intend(*arguments, **more)

    cloud.registry.intend = interrupted  # type: ignore[method-assign]


def rotated_out(cloud: Cloud) -> str:
    old = cloud.knock(factory().leaf(begins=NOW - DAY, ends=NOW + 30 * DAY))
    cloud.batch(cloud.record(cloud.event(old)))
    cloud.batch(cloud.record(cloud.event(cloud.knock(factory().leaf(begins=NOW - SECOND)))))
    cloud.now += 10 * DAY
    return old


def test_between_the_look_and_a_rejection(cloud: Cloud) -> None:
    device = cloud.knock(factory().leaf(named("toaster-1")))
    cloud.under(rules_for(factory(), common_name="sensor-[0-9]+", thing_groups=()))
    before_intend(cloud, lambda: revoke(cloud, device))
    cloud.batch(cloud.record(cloud.event(device)))
    assert cloud.status(device) == "REVOKED"


def test_between_the_look_and_a_retirement(cloud: Cloud) -> None:
    old = rotated_out(cloud)
    before_intend(cloud, lambda: revoke(cloud, old))
    cloud.swept()
    assert cloud.status(old) == "REVOKED"


def test_while_a_retirement_is_on_its_way(cloud: Cloud) -> None:
    old = rotated_out(cloud)
    apply = cloud.sweeps_iot.apply
    landed: list[IotStep] = []

    def interrupted(step: IotStep) -> None:
        if not isinstance(step, SetStatus):
            apply(step)
            return

        def lands() -> None:
            if not landed:
                landed.append(step)
                apply(step)

        cloud.sweeps_iot.apply = apply  # type: ignore[method-assign]
        revoke(cloud, old, while_waiting=lands)

    cloud.sweeps_iot.apply = interrupted  # type: ignore[method-assign]
    cloud.swept()
    assert landed
    assert cloud.status(old) == "REVOKED"
