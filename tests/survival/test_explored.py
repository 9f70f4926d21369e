"""Every schedule of acts that meet keeps the promises of docs/how-it-works.md (explorer.py, invariants.py)."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.survival.brake_pairs import BRAKES
from tests.support.survival.crl_pairs import CRLS
from tests.support.survival.explorer import Explorer, Pair, replay
from tests.support.survival.import_pairs import IMPORTS
from tests.support.survival.jitp_pairs import JITP
from tests.support.survival.lost_ca_pairs import LOST_CAS
from tests.support.survival.pairs import KNOWN, OTHERS, THREADED
from tests.support.survival.schedules import parse
from tests.support.survival.session_pairs import SESSIONS
from tests.support.survival.take_away_pairs import TAKE_AWAYS

SWITCHES = int(os.environ.get("JITR_EXPLORED_SWITCHES", "1"))

# 1,470 schedules of two switches. What they showed, a lock that was opened too early, "refusal-and-claim" shows too.
_LONG = {"refusal-and-return"}
_LOST_CAS_IN_THE_SUITE = {"lost-ca-and-activation", "lifting-and-activation"}
_THREADS_IN_THE_SUITE = {("threads-two-devices", 2), ("threads-one-name", 1), ("threads-one-device", 1)}


def _id(pair: Pair) -> str:
    return pair.name


def _explore(pair: Pair, switches: int, record: Callable[[str, object], None]) -> None:
    explored = Explorer(pair, switches).explore()
    record("schedules explored", explored.played)
    assert not explored.broken, explored.told()


@pytest.mark.parametrize(
    "pair", [pytest.param(one, marks=pytest.mark.deep if one.name in _LONG else ()) for one in KNOWN], ids=_id
)
def test_what_was_broken_once_holds_in_every_schedule_of_two_switches(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, 2, record_property)


@pytest.mark.parametrize("pair", [one for one in KNOWN if one.name in _LONG], ids=_id)
def test_what_was_broken_once_holds_in_every_schedule_of_one_switch(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, 1, record_property)


@pytest.mark.parametrize("pair", [one for one in KNOWN if one.name not in _LONG], ids=_id)
def test_what_was_broken_once_holds_where_aws_names_no_ca(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(replace(pair, unnamed=True), 1, record_property)


@pytest.mark.parametrize(
    ("pair", "switches"),
    [
        # What a thread keeps where another one finds it shows with two: "A8 B6". The others are deep.
        pytest.param(one, switches, marks=() if (one.name, switches) in _THREADS_IN_THE_SUITE else pytest.mark.deep)
        for one in THREADED
        for switches in (1, 2)
    ],
    ids=lambda value: value.name if isinstance(value, Pair) else str(value),
)
def test_two_threads_of_a_batch_keep_the_promises_wherever_they_switch(
    pair: Pair, switches: int, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, switches, record_property)


@pytest.mark.parametrize("pair", BRAKES, ids=_id)
def test_a_brake_rejects_few_and_forgets_nobody_in_any_schedule(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, 1, record_property)


@pytest.mark.parametrize("pair", SESSIONS[:5], ids=_id)
def test_an_order_ends_no_other_devices_session_in_any_schedule(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, 1, record_property)


@pytest.mark.parametrize(
    ("pair", "switches"),
    [
        # The sweep makes many calls: all but these two pairs are deep.
        pytest.param(one, 1, marks=() if one in TAKE_AWAYS[:2] else pytest.mark.deep)
        for one in TAKE_AWAYS
    ],
    ids=lambda value: value.name if isinstance(value, Pair) else str(value),
)
def test_an_order_that_the_functions_carry_out_holds_in_any_schedule(
    pair: Pair, switches: int, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, switches, record_property)


@pytest.mark.parametrize(
    ("pair", "switches"),
    [
        # With the device's own CONNECT, and twice at once, in every run; the others are deep.
        pytest.param(one, switches, marks=() if switches == 1 and one in IMPORTS[:2] else pytest.mark.deep)
        for one in IMPORTS
        for switches in (1, 2)
        # With two, an order that dies between its status and its look at the claim: as every activation beside one.
        if switches == 1 or one.name not in ("import-and-deny", "import-and-revoke", "import-with-ca-and-revoke")
    ],
    ids=lambda value: value.name if isinstance(value, Pair) else str(value),
)
def test_an_import_keeps_the_promises_in_any_schedule(
    pair: Pair, switches: int, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, switches, record_property)


@pytest.mark.parametrize("pair", IMPORTS[:2], ids=_id)
def test_an_import_keeps_the_promises_where_aws_names_no_ca(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(replace(pair, unnamed=True), 1, record_property)


@pytest.mark.parametrize(
    "pair",
    [pytest.param(one, marks=() if one.name in _LOST_CAS_IN_THE_SUITE else pytest.mark.deep) for one in LOST_CAS],
    ids=_id,
)
def test_a_lost_ca_and_its_lifting_hold_in_any_schedule(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, 1, record_property)


# Under the likely answers of AWS; some under the hardest ones, or where the template stays. The others are deep.
_JITP_IN_THE_SUITE = {one.name for one in JITP if one.name.endswith("-likely")} | {
    "jitp-device-published-off",
    "jitp-in-hand-published-off",
    "jitp-lacking-stays",
    "jitp-swept-stays",
    "jitp-undone-published-off",
}


@pytest.mark.parametrize(
    ("pair", "switches"),
    [
        pytest.param(
            one,
            switches,
            marks=() if switches == 1 and one.name in _JITP_IN_THE_SUITE else pytest.mark.deep,
        )
        for one in JITP
        for switches in (1, 2)
    ],
    ids=lambda value: value.name if isinstance(value, Pair) else str(value),
)
def test_a_template_is_taken_off_and_no_device_is_lost_or_judged_twice_in_any_schedule(
    pair: Pair, switches: int, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, switches, record_property)


# Of the CRLs, what is long is deep: all pairs with one switch take a minute and a half, some with two ten seconds.
_CRLS_IN_THE_SUITE = {"crl-twice", "crl-and-activation", "hold-and-lift", "hold-and-older", "lifted-and-ordered"}
_CRLS_WITH_TWO = [one for one in CRLS if one.name in {"hold-and-lift", "lift-and-console", "lifted-and-held-again"}]


@pytest.mark.parametrize(
    "pair",
    [pytest.param(one, marks=() if one.name in _CRLS_IN_THE_SUITE else pytest.mark.deep) for one in CRLS],
    ids=_id,
)
def test_a_crl_is_the_truth_and_touches_no_other_device_in_any_schedule(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, 1, record_property)


@pytest.mark.deep
@pytest.mark.parametrize("pair", _CRLS_WITH_TWO, ids=_id)
def test_a_crl_is_the_truth_in_schedules_of_two_switches(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, 2, record_property)


# Where REVOKED can be left (Undocumented.revoked_may_become_active), a refusal for the verdict itself may set INACTIVE
# after the order is done: the pair with an activation has that with two switches, and the device stays out.
_ORDERS_MEET = [pair for pair in SESSIONS if pair.name != "take-out-and-activation"]


@pytest.mark.deep
@pytest.mark.parametrize("pair", _ORDERS_MEET, ids=_id)
def test_an_order_ends_no_other_devices_session_in_schedules_of_several_switches(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, max(2, SWITCHES), record_property)


@pytest.mark.deep
@pytest.mark.parametrize("pair", BRAKES, ids=_id)
def test_a_brake_rejects_few_in_every_schedule_of_two_switches(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(pair, 2, record_property)


@pytest.mark.deep
@pytest.mark.parametrize("pair", [*KNOWN, *BRAKES, *OTHERS], ids=_id)
def test_whoever_meets_the_promises_hold_where_aws_names_no_ca(
    pair: Pair, record_property: Callable[[str, object], None]
) -> None:
    _explore(replace(pair, unnamed=True), 2 if pair in KNOWN else SWITCHES, record_property)


@pytest.mark.deep
@pytest.mark.parametrize("pair", OTHERS, ids=_id)
def test_whoever_meets_a_look_the_promises_hold(pair: Pair, record_property: Callable[[str, object], None]) -> None:
    _explore(pair, SWITCHES, record_property)


@pytest.mark.parametrize("text", ["", "A9", "A9 B8!", "A B3!", "A0"])
def test_a_schedule_is_read_as_it_is_printed(text: str) -> None:
    assert " ".join(map(str, parse(text))) == text


def test_a_replayed_schedule_tells_who_paused_where() -> None:
    told = replay(KNOWN[3], "A6 B3!")
    first, second, *_ = (line for line in told.splitlines() if line.startswith(("  A: ", "  B: ")))
    assert first.count(",") == 5
    assert second.count(",") == 2
    assert "A pauses" in told
    assert "B dies" in told
