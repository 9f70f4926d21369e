"""What is to be done about a CA in an account, and how it differs from the fleet file."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jitr.rules import CertificateMode
from jitr_fleet.parse import load
from jitrctl.ca.plan import (
    Activate,
    CaState,
    EnableAutoRegistration,
    FoundCa,
    RegisterCa,
    RuleState,
    differences,
    plan,
    proof_warning,
)
from tests.support.cases.issuing import Authority, named

CODE = "c0de" * 16
GOOD = FoundCa(
    mode=CertificateMode.SNI_ONLY, active=True, registers_automatically=True, has_template=False, ends_at=None
)


@pytest.fixture
def state(fleet_file: Path) -> CaState:
    """A CA that is as the fleet file says."""
    return CaState(declared=load(fleet_file).accounts[0].cas[0], found=GOOD, rule=RuleState.ENABLED)


def found(state: CaState, **changes: Any) -> CaState:
    return replace(state, found=replace(GOOD, **changes))


def test_a_ca_that_is_as_the_fleet_file_says_is_left_alone(state: CaState) -> None:
    assert not plan(state).steps
    assert not plan(state).obstacles
    assert not differences(state)


def test_a_ca_that_is_missing_is_registered_with_auto_registration(state: CaState) -> None:
    missing = replace(state, found=None)
    assert plan(missing).steps == (RegisterCa(automatically=True),)
    assert plan(missing).obstacles == ()
    assert differences(missing) == ("it is not registered",)


@pytest.mark.parametrize("rule", [RuleState.MISSING, RuleState.DISABLED, RuleState.ELSEWHERE])
def test_auto_registration_waits_for_the_rule_unless_it_is_wanted_anyway(state: CaState, rule: RuleState) -> None:
    for there in (None, replace(GOOD, registers_automatically=False)):
        early = replace(state, found=there, rule=rule)
        waiting = plan(early)
        assert waiting.steps == ((RegisterCa(automatically=False),) if there is None else ())
        (told,) = waiting.waiting
        assert told.startswith(f"auto-registration waits: the topic rule is {rule}")
        assert waiting.obstacles == (), "nobody has to do anything but deploy"
        wanted = plan(early, anyway=True)
        assert wanted.steps == ((RegisterCa(automatically=True) if there is None else EnableAutoRegistration()),)
        assert wanted.undone == ()


@pytest.mark.parametrize("rule", [RuleState.MISSING, RuleState.DISABLED, RuleState.ELSEWHERE])
def test_a_missing_rule_is_a_difference_also_where_the_ca_registers_already(state: CaState, rule: RuleState) -> None:
    early = replace(state, rule=rule)
    assert not plan(early).steps
    assert not plan(early).obstacles
    (told,) = differences(early)
    assert "topic rule is" in told


@pytest.mark.parametrize(
    ("change", "step", "word"),
    [
        ({"active": False}, Activate(), "INACTIVE"),
        ({"registers_automatically": False}, EnableAutoRegistration(), "auto-registration is off"),
    ],
)
def test_what_differs_is_made_so_and_told(state: CaState, change: Any, step: Any, word: str) -> None:
    other = found(state, **change)
    assert plan(other).steps == (step,)
    (told,) = differences(other)
    assert word in told


def test_a_wrong_mode_is_told_and_never_changed_by_a_plan(state: CaState) -> None:
    other = found(state, mode=CertificateMode.DEFAULT)
    assert plan(other).steps == ()
    assert "`jitrctl ca switch-mode`" in plan(other).obstacles[0]
    assert differences(other) == ("its mode is DEFAULT, the fleet file says SNI_ONLY",)


def test_a_provisioning_template_stands_in_the_way(state: CaState) -> None:
    other = found(state, has_template=True)
    assert "`jitrctl ca adopt factory` shows what it does" in plan(other).obstacles[0]
    assert len(differences(other)) == 1


@pytest.mark.parametrize(
    ("code", "steps"),
    [(CODE, (RegisterCa(automatically=True),)), (CODE.upper(), (RegisterCa(automatically=True),)), ("0" * 64, ())],
)
def test_a_proof_for_another_accounts_code_is_refused_before_it_is_tried(
    write_fleet: Callable[..., Path], ca: Authority, tmp_path: Path, code: str, steps: Any
) -> None:
    (tmp_path / "dev.pem").write_text(ca.leaf(named(CODE)))
    path = write_fleet(
        'role/operator"\nca.factory = { mode = "SNI_ONLY" }\n\n[account.prod]',
        'role/operator"\nca.factory = { mode = "DEFAULT", verification_certificate = "dev.pem" }\n\n[account.prod]',
    )
    declared = load(path).accounts[0].cas[0]
    early = plan(CaState(declared=declared, found=None, rule=RuleState.ENABLED, registration_code=code))
    assert early.steps == steps
    assert bool(early.obstacles) is not bool(steps)


def test_an_expired_proof_stands_in_the_way_of_a_registration_alone(
    state: CaState, write_fleet: Callable[..., Path], ca: Authority, tmp_path: Path
) -> None:
    """The file stays usable for every other command: a proof is asked for once, perhaps years ago."""
    today = datetime.now(UTC)
    (tmp_path / "dev.pem").write_text(
        ca.leaf(named(CODE), begins=today - timedelta(days=9), ends=today - timedelta(days=1))
    )
    path = write_fleet(
        'role/operator"\nca.factory = { mode = "SNI_ONLY" }\n\n[account.prod]',
        'role/operator"\nca.factory = { mode = "DEFAULT", verification_certificate = "dev.pem" }\n\n[account.prod]',
    )
    declared = load(path).accounts[0].cas[0]
    to_do = plan(CaState(declared=declared, found=None, rule=RuleState.ENABLED, registration_code=CODE))
    assert to_do.steps == ()
    assert "dev.pem expired on" in to_do.obstacles[0]
    assert "`jitrctl ca csr`" in to_do.obstacles[0]
    there = found(replace(state, declared=declared), mode=CertificateMode.DEFAULT)
    assert plan(there).obstacles == ()


def test_a_ca_that_the_stack_registers_is_left_to_the_stack(write_fleet: Callable[..., Path]) -> None:
    path = write_fleet('thing_type  = "sensor"', 'thing_type  = "sensor"\nregistered_by = "stack"')
    declared = load(path).accounts[0].cas[0]
    missing = plan(CaState(declared=declared, found=None, rule=RuleState.MISSING))
    assert (missing.steps, missing.obstacles) == ((), ())
    assert "deploy the stack" in missing.waiting[0]
    other = plan(
        CaState(declared=declared, found=replace(GOOD, active=False), rule=RuleState.ENABLED, is_the_stacks=True)
    )
    assert (other.steps, other.waiting) == ((), ())
    assert "deploy the stack, or see what changed it since" in other.obstacles[0]
    assert plan(CaState(declared=declared, found=GOOD, rule=RuleState.ENABLED, is_the_stacks=True)).undone == ()


@pytest.mark.parametrize("mode", CertificateMode)
def test_a_ca_that_the_stack_would_register_a_second_time_is_told_before_the_deployment_fails(
    write_fleet: Callable[..., Path], mode: CertificateMode
) -> None:
    path = write_fleet('thing_type  = "sensor"', 'thing_type  = "sensor"\nregistered_by = "stack"')
    declared = load(path).accounts[0].cas[0]

    state = CaState(declared=declared, found=replace(GOOD, mode=mode), rule=RuleState.ENABLED)
    left = plan(state)

    assert left.steps == ()
    assert any("registered already, and not by the stack" in told for told in differences(state))
    (obstacle,) = left.obstacles
    assert "registered already, and not by the stack" in obstacle
    assert 'say registered_by = "jitrctl" in this account' in obstacle


def test_another_mode_of_a_ca_that_the_stack_registered_is_told_before_cloudformation_refuses_it(
    write_fleet: Callable[..., Path],
) -> None:
    path = write_fleet('thing_type  = "sensor"', 'thing_type  = "sensor"\nregistered_by = "stack"')
    declared = load(path).accounts[0].cas[0]
    other = next(mode for mode in CertificateMode if mode is not declared.mode)

    left = plan(CaState(declared=declared, found=replace(GOOD, mode=other), rule=RuleState.ENABLED, is_the_stacks=True))

    assert left.steps == ()
    (obstacle,) = left.obstacles
    assert f"in mode {other}, and the fleet file says {declared.mode}" in obstacle
    assert 'go back to the old mode with registered_by = "jitrctl" in this account, and deploy' in obstacle
    assert "set the new mode, run `jitrctl ca switch-mode`, and deploy again" in obstacle


@pytest.mark.parametrize(
    ("code", "days", "said"),
    [(CODE, -1, "dev.pem expired on"), ("0" * 64, 1, "is made for another registration code"), (CODE, 1, "deploy the")],
)
def test_a_proof_that_aws_iot_would_not_take_is_told_before_the_stack_fails_with_it(
    write_fleet: Callable[..., Path], ca: Authority, tmp_path: Path, code: str, days: int, said: str
) -> None:
    today = datetime.now(UTC)
    (tmp_path / "dev.pem").write_text(
        ca.leaf(named(CODE), begins=today - timedelta(days=9), ends=today + timedelta(days=days))
    )
    path = write_fleet(
        'role/operator"\nca.factory = { mode = "SNI_ONLY" }\n\n[account.prod]',
        'role/operator"\nca.factory = { mode = "DEFAULT", verification_certificate = "dev.pem", '
        'registered_by = "stack" }\n\n[account.prod]',
    )
    declared = load(path).accounts[0].cas[0]

    left = plan(CaState(declared=declared, found=None, rule=RuleState.ENABLED, registration_code=code))

    assert left.steps == ()
    (told,) = left.undone
    assert said in told
    assert bool(left.obstacles) is ("deploy" not in said), "a script is told where a deployment will fail"
    there = replace(GOOD, mode=CertificateMode.DEFAULT)
    assert plan(CaState(declared=declared, found=there, rule=RuleState.ENABLED, is_the_stacks=True)).obstacles == ()


@pytest.mark.parametrize(("days", "registered", "warned"), [(-1, True, True), (1, True, False), (-1, False, False)])
def test_an_expired_proof_is_a_warning_where_the_ca_is_registered_already(
    write_fleet: Callable[..., Path], ca: Authority, tmp_path: Path, *, days: int, registered: bool, warned: bool
) -> None:
    today = datetime.now(UTC).replace(microsecond=0)
    ends = today + timedelta(days=days)
    (tmp_path / "dev.pem").write_text(ca.leaf(named(CODE), begins=today - timedelta(days=20), ends=ends))
    path = write_fleet(
        'role/operator"\nca.factory = { mode = "SNI_ONLY" }\n\n[account.prod]',
        'role/operator"\nca.factory = { mode = "DEFAULT", verification_certificate = "dev.pem" }\n\n[account.prod]',
    )
    declared = load(path).accounts[0].cas[0]
    there = replace(GOOD, mode=CertificateMode.DEFAULT) if registered else None
    state = CaState(declared=declared, found=there, rule=RuleState.ENABLED, registration_code=CODE)

    warning = proof_warning(state)

    assert bool(warning) is warned
    if warning:
        assert f"dev.pem expired on {ends:%F}; the CA is registered and works" in warning
        assert "`jitrctl ca csr`" in warning
        assert (differences(state), plan(state).steps, plan(state).obstacles) == ((), (), ())
