"""Which client ids' sessions may be ended with a certificate, and which are left."""

import pytest

from jitr.iot_models import Status
from jitr.sessions import SessionState, ThingPrincipals, choose_sessions

OURS, OTHER = "ab" * 32, "cd" * 32
THING = "sensor-0001"


def on_thing(**more: Status | bool) -> ThingPrincipals:
    statuses = {OURS: Status.REVOKED}
    other = more.get("other")
    if isinstance(other, Status):
        statuses[OTHER] = other
    return ThingPrincipals(
        thing_name=THING, statuses=statuses, has_other_principals=bool(more.get("has_other_principals"))
    )


def test_the_client_id_is_the_name_of_a_thing_that_only_this_certificate_has() -> None:
    chosen = choose_sessions(OURS, [on_thing()])
    assert (chosen.client_ids, chosen.left) == ((THING,), ())


@pytest.mark.parametrize("status", [Status.INACTIVE, Status.REVOKED, Status.PENDING_TRANSFER])
def test_a_certificate_that_cannot_connect_does_not_spare_the_session(status: Status) -> None:
    assert choose_sessions(OURS, [on_thing(other=status)]).client_ids == (THING,)


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.PENDING_ACTIVATION])
def test_a_session_that_another_certificate_may_have_opened_is_left(status: Status) -> None:
    chosen = choose_sessions(OURS, [on_thing(other=status)])
    assert chosen.client_ids == ()
    (left,) = chosen.left
    assert (left.state, left.client_id) == (SessionState.LEFT, THING)
    assert left.why is not None
    assert f"{OTHER[:16]} of thing {THING} is {status}: AWS ends it within minutes" in left.why


def test_a_session_that_a_cognito_identity_may_have_opened_is_left() -> None:
    chosen = choose_sessions(OURS, [on_thing(has_other_principals=True)])
    assert chosen.client_ids == ()
    assert [one.client_id for one in chosen.left] == [THING]


def test_without_a_thing_the_client_id_is_not_known() -> None:
    chosen = choose_sessions(OURS, [])
    (left,) = chosen.left
    assert (chosen.client_ids, left.client_id) == ((), None)
    assert left.why is not None
    assert "not known: AWS ends it within minutes" in left.why


def test_each_thing_is_chosen_for_itself() -> None:
    free = ThingPrincipals(thing_name="sensor-0002", statuses={})
    chosen = choose_sessions(OURS, [on_thing(other=Status.ACTIVE), free])
    assert chosen.client_ids == ("sensor-0002",)
    assert [one.client_id for one in chosen.left] == [THING]
