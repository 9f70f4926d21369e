"""`jitrctl ca rotate | retire`: registers a CA's successor in every account, and retires the old CA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.audit.record import audited
from jitrctl.ca import registry
from jitrctl.ca.device_count import DeviceCount, count_now, read_last_count
from jitrctl.ca.early_rotation import EarlyRotation, find_early
from jitrctl.ca.plan import CaPlan, plan
from jitrctl.ca.rotation import CaRetirement, Succession, has_ca, inspect_retirement, not_given, retire, successions
from jitrctl.clock import now
from jitrctl.commands.ca.status import Cas, count_document, counted_when
from jitrctl.errors import Refused
from jitrctl.run import completion
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import known_ca
from jitrctl.terminal import grouped, out, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """A succession in one stage."""

    succession: Succession
    plan: CaPlan | None  # of the successor; None when the fleet file does not give it to the account
    obstacles: tuple[str, ...]
    on_the_old: DeviceCount | None  # None: not counted yet
    on_the_new: DeviceCount | None
    early: EarlyRotation | None  # the devices that the successor would refuse today


@over_stages
def rotate(
    scope: Scope,
    ca: Cas = None,
    note: Note = "",
    *,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Enable auto-registration also before the stack is deployed.")
    ] = False,
    count: Annotated[
        bool, typer.Option("--count", help="Count the devices now, instead of taking the sweep's last full count.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Register a CA's successor beside it in every account that has it, and show how many devices are still on the old.

    The fleet file names the successor: `succeeds`. --ca names the old CA. Devices follow with their next certificates;
    `ca retire` ends the old CA. The same command again completes the registrations, and shows the new counts. It warns
    of devices whose next certificate would be held today, since the present one is valid for too long.

    Example: jitrctl ca rotate --ca factory --count --note "factory ends in March"
    """
    chosen = successions(scope.fleet, ca or ())
    stages, failed = scope.open_stages()
    seen = scope.across(
        lambda stage: _turns(stage, chosen, anyway=anyway, count=count), doing="asking AWS IoT", stages=stages
    )
    turns = {done.stage: done.value for done in seen.done}
    to_do = [
        f"{stage}  {turn.succession.new.name}, beside {turn.succession.old.name}: {step}"
        for stage, of_stage in turns.items()
        for turn in of_stage
        for step in (turn.plan.steps if turn.plan else ())
    ]
    warnings = [(str(stage), str(turn.early)) for stage, of_stage in turns.items() for turn in of_stage if turn.early]
    if to_do:
        scope.confirm([*to_do, *(f"But: {line}" for line in grouped(warnings))], yes=yes)
    results = scope.across(lambda stage: _carry_out(stage, turns[stage], note), doing="registering", stages=list(turns))
    obstacles = [
        (f"{done.stage} {turn.succession.new.name}", why)
        for done in results.done
        for turn in done.value
        for why in turn.obstacles
    ]
    # In the plan, people have read of early rotations already.
    scope.warn([*obstacles, *(warnings if scope.as_json or not to_do else ())])
    scope.report(
        results,
        rows=lambda _, of_stage: [_row(turn) for turn in of_stage],
        fields=lambda of_stage: {"successions": [_turn_document(turn) for turn in of_stage]},
        failed=(*failed, *seen.failed),
        ok=not obstacles,
    )
    if not scope.as_json and turns:
        counts = [count_document(turn.on_the_old) for of_stage in turns.values() for turn in of_stage]
        out.print(counted_when(counts), style="dim")


@over_stages
def retire_ca(
    scope: Scope,
    ca: Annotated[
        str,
        typer.Argument(
            metavar="CA", help="The CA's name in the fleet file.", show_default=False, autocompletion=completion.cas
        ),
    ],
    note: Note = "",
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Also delete its registration; else it stays, INACTIVE.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Retire a CA in every account: no new devices, INACTIVE. Refused while a live device depends on it in any account.

    A device depends on it while one of its certificates is ACTIVE, or pending and not rejected.

    Example: jitrctl ca retire factory
    """
    ending = known_ca(scope.fleet, ca)
    stages, failed = scope.open_stages()
    seen = scope.across(lambda stage: inspect_retirement(stage, ending), doing="reading devices", stages=stages)
    if failed or seen.failed:
        unasked = (*failed, *seen.failed)[0]
        raise Refused(f"{unasked.stage} cannot be asked who depends on {ca} ({unasked.error}): nothing was changed")
    endings = {done.stage: done.value for done in seen.done}
    if any(one.obstacle for one in endings.values()):
        _refuse(scope, seen)
    unknown = (
        f"live certificates are listed under no CA, and no record names theirs: whether they are {ca}'s is not known"
    )
    scope.warn([(str(stage), f"{one.unknown} {unknown} here") for stage, one in endings.items() if one.unknown])
    plans = {stage: one.steps(delete=delete) for stage, one in endings.items()}
    to_do = [f"{stage}  {ca}: {'; '.join(steps)}" for stage, steps in plans.items() if steps]
    if to_do:
        scope.confirm(to_do, yes=yes)

    def end(stage: Stage) -> tuple[str, ...]:
        with audited(stage, "ca retire", ending.certificate_id, plans[stage], note):
            retire(stage, endings[stage], delete=delete)
        return plans[stage]

    results = scope.across(end, doing="retiring", stages=stages)
    scope.report(
        results,
        rows=lambda stage, steps: [
            {"CA": ca, "done": "; ".join(steps) or ("nothing to do" if endings[stage].found else "not registered")}
        ],
        fields=lambda steps: {"ca": ca, "steps": list(steps)},
    )
    if not scope.as_json and any(has_ca(stage, ending) for stage in stages):
        out.print(_afterwards(scope, ending), markup=False)


def _turns(stage: Stage, chosen: Sequence[Succession], *, anyway: bool, count: bool) -> tuple[_Turn, ...]:
    return tuple(_turn(stage, one, anyway=anyway, count=count) for one in chosen if has_ca(stage, one.old))


def _turn(stage: Stage, succession: Succession, *, anyway: bool, count: bool) -> _Turn:
    given = [one for one in stage.account.cas if one.ca.name == succession.new.name]
    planned = [plan(state, anyway=anyway) for state in registry.inspect_cas(stage, given)]
    return _Turn(
        succession=succession,
        plan=planned[0] if planned else None,
        obstacles=planned[0].undone if planned else (not_given(stage, succession),),
        on_the_old=_count(stage, succession.old, count=count),
        on_the_new=_count(stage, succession.new, count=count),
        early=find_early(stage, succession, now(), every=count),
    )


def _count(stage: Stage, ca: Ca, *, count: bool) -> DeviceCount | None:
    if not count:
        return read_last_count(stage, ca.certificate_id)
    return count_now(stage, ca.certificate_id) if registry.find(stage, ca) else None


def _carry_out(stage: Stage, turns: tuple[_Turn, ...], note: str) -> tuple[_Turn, ...]:
    for turn in turns:
        if turn.plan is None:
            continue
        with audited(stage, "ca rotate", turn.succession.new.certificate_id, turn.plan.steps, note):
            for step in turn.plan.steps:
                registry.apply(stage, turn.plan.state.declared, step)
    return turns


def _row(turn: _Turn) -> dict[str, str]:
    steps = turn.plan.steps if turn.plan else ()
    return {
        "old CA": turn.succession.old.name,
        "still on it": _in_words(turn.on_the_old),
        "successor": turn.succession.new.name,
        "on it": _in_words(turn.on_the_new),
        "done": "; ".join(map(str, steps)) or ("not there yet" if turn.obstacles else "nothing to do"),
    }


def _in_words(counted: DeviceCount | None) -> str:
    return "?" if counted is None else str(counted.live)


def _turn_document(turn: _Turn) -> dict[str, Any]:
    return {
        "old": turn.succession.old.name,
        "new": turn.succession.new.name,
        "steps": [str(step) for step in (turn.plan.steps if turn.plan else ())],
        "obstacles": list(turn.obstacles),
        "on_the_old": count_document(turn.on_the_old),
        "on_the_new": count_document(turn.on_the_new),
        "early": _early_document(turn.early),
    }


def _early_document(early: EarlyRotation | None) -> dict[str, Any] | None:
    if early is None:
        return None
    return {
        "looked_at": early.looked_at,
        "complete": early.is_complete,
        "refused": early.refused,
        "longest_left": round(early.longest.total_seconds()),
        "rotation_window": round(early.window.total_seconds()),
        "warning": str(early),
    }


def _refuse(scope: Scope, seen: Any) -> None:
    """Report which devices depend on the CA in which stages, and that nothing was changed; raises typer.Exit."""
    scope.warn([(str(done.stage), done.value.obstacle) for done in seen.done if done.value.obstacle])
    warn("Nothing was changed anywhere.")
    scope.report(seen, fields=_refusal_document, ok=False)


def _refusal_document(one: CaRetirement) -> dict[str, Any]:
    return {
        "ca": one.ca.name,
        "steps": [],
        "obstacle": one.obstacle,
        "dependents": [
            {
                "certificate_id": each.certificate_id,
                "status": each.status,
                "thing_name": each.thing_name,
                "followed_by": each.followed_by,
            }
            for each in one.dependents
        ],
    }


def _afterwards(scope: Scope, ca: Ca) -> str:
    keep = any(other.succeeds == ca.certificate_id for other in scope.fleet.cas)
    kept = f"; keep [ca.{ca.name}] itself, since another CA succeeds it" if keep else ""
    return (
        f"The fleet file still gives {ca.name} to accounts, and `jitrctl ca apply` would set it ACTIVE again: take "
        f"ca.{ca.name} out of them, and deploy{kept}."
    )
