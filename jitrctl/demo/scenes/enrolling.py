"""Shows a CA that admits listed devices only: one is held until it is listed, one is denied, one is approved."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from jitr.decisions import Outcome
from jitr.errors import Reason
from jitr.rules import EnrollmentRule
from jitrctl.demo.scenes.cast import PATIENCE, Cast, Detail, connect_accepted, connect_refused, expect
from jitrctl.localaws.errors import LocalAwsError

if TYPE_CHECKING:
    from jitr.decisions import Decision
    from jitrctl.localaws.issuing import DeviceFiles, IssuingCa

_EXPECTED, _DENIED, _APPROVED = "gateway-0001", "gateway-0002", "gateway-0003"


def listed(cast: Cast) -> Detail:
    stage, ca = cast.first, _listed_ca(cast)
    files = {name: ca.issue(cast.devices, name) for name in (_EXPECTED, _DENIED, _APPROVED)}
    cast.order(stage, "enrollment", "deny", _DENIED, "--note", "stolen", "--yes")
    first = {name: _first_decision(cast, files[name], name) for name in files}
    _expect_refusal(_EXPECTED, first, Outcome.HELD, Reason.NOT_LISTED)
    _expect_refusal(_DENIED, first, Outcome.REJECTED, Reason.ENTRY_DENIES)
    _expect_refusal(_APPROVED, first, Outcome.HELD, Reason.NOT_LISTED)
    orders = (
        ("enrollment", "allow", _EXPECTED, "--note", "order 4711", "--yes"),
        ("device", "approve", str(files[_APPROVED].certificate), "--note", "seen on site"),
    )
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda words: cast.order(stage, *words), orders))
    for name in (_EXPECTED, _APPROVED):
        connect_accepted(stage, files[name], name).close()
    status = stage.status(files[_DENIED].certificate_id)
    expect(status == "INACTIVE", f"{_DENIED} is {status} although its entry denies it")
    cast.sum_up(_EXPECTED, stage, "activated, once listed")
    cast.sum_up(_DENIED, stage, f"rejected: {Reason.ENTRY_DENIES}")
    cast.sum_up(_APPROVED, stage, "activated, once approved")
    return Detail(
        rows=[
            _row(_EXPECTED, first, f"jitrctl enrollment allow {_EXPECTED}", "CONNACK: accepted"),
            _row(_DENIED, first, f"jitrctl enrollment deny {_DENIED}, before it came", f"certificate {status}"),
            _row(_APPROVED, first, f"jitrctl device approve {_APPROVED}.pem", "CONNACK: accepted"),
        ],
        note="Held devices stay PENDING_ACTIVATION, and are activated at their next connect or by the sweep.",
    )


def _listed_ca(cast: Cast) -> IssuingCa:
    """The CA that admits listed devices only.

    Raises LocalAwsError when the fleet file has none.
    """
    for ca in cast.example.cas:
        if ca.enrollment is EnrollmentRule.LISTED:
            return cast.cas[ca.name]
    raise LocalAwsError('fleet.toml has no CA with enrollment = "listed": add one, so that the demo can show it')


def _first_decision(cast: Cast, files: DeviceFiles, name: str) -> Decision:
    connect_refused(cast.first, files, name)
    return cast.first.wait_for_decision(files.certificate_id, seconds=PATIENCE)


def _expect_refusal(name: str, decisions: dict[str, Decision], outcome: Outcome, reason: Reason) -> None:
    decision = decisions[name]
    expect(
        (decision.outcome, decision.reason) == (outcome, reason),
        f"{name} was {decision.outcome} {decision.reason}, not {outcome} {reason}: {decision.detail}",
    )


def _row(name: str, first: dict[str, Decision], operator: str, then: str) -> dict[str, str]:
    return {
        "device": name,
        "first CONNECT": f"{first[name].outcome}: {first[name].reason}",
        "the operator": operator,
        "CONNECT again": then,
    }
