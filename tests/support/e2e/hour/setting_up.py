"""Starts the user's fleet on the local AWS, as README and `jitrctl local up` say, and asks whether it is OK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.e2e.hour.outcome import Step

if TYPE_CHECKING:
    from tests.support.e2e.hour.operator import Operator

CAS = ("factory", "partner", "meters", "factory-2")


def set_up(operator: Operator) -> str:
    """Three accounts start, two are deployed: the third is added later."""
    certs = operator.checkout.fleet_file.parent / "certs"
    for name in CAS:
        operator.run(f"jitrctl ca create {name} -o {certs}")
    started = operator.run(f"jitrctl local up --fleet {operator.checkout.fleet_file}")
    operator.read(started, "with throw-away CAs in place of")
    operator.run("jitrctl local deploy --account dev --account prod")
    operator.jitrctl("ca apply --account dev --account prod")
    return "dev, prod and lab run; dev and prod are deployed"


def is_it_ok(operator: Operator) -> str:
    """One command says so, in words and by its exit code; then a device comes in."""
    operator.read(operator.jitrctl("fleet status --account dev --account prod"), "OK: 2 of 2 stages need nothing")
    return f"{operator.comes_in('sensor-0001')}; {operator.comes_in('sensor-0001', 'prod')}"


STEPS = (
    Step(name="set up", broken="a fleet file of one's own, three accounts", play=set_up),
    Step(name="is it OK", broken="nothing", play=is_it_ok),
)
