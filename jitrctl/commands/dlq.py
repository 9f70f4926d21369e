"""`jitrctl dlq …`: the commands that show, resend or drop dead letters and undelivered events."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitrctl.device.locations import hub_stage
from jitrctl.errors import Refused, Unusable
from jitrctl.queues.dead_letters import (
    Letter,
    LetterQueue,
    TargetQueue,
    drop,
    find_hub_queue,
    find_register_queue,
    list_queues,
    receive,
    send_again,
)
from jitrctl.run.parallel import ON_PURPOSE, describe_error
from jitrctl.run.scope import Scope, Yes, over_stages
from jitrctl.terminal import at, out, short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jitrctl.session.stage import Stage


_SHOWN = 80  # characters of a reason in a list

_Queue = Annotated[
    LetterQueue,
    typer.Option(
        "--queue",
        help="dead-letters: what `register` gave up. undelivered: events that a topic rule could not deliver. "
        "unforwarded: decision events that did not reach the hub. hub: what the hub's function gave up.",
    ),
]
_Most = Annotated[
    int, typer.Option("--most", metavar="N", help="At most so many messages of each stage.", min=1, max=10_000)
]
_Ids = Annotated[list[str] | None, typer.Argument(metavar="MESSAGE", help="Beginnings of message ids, as listed.")]
_All = Annotated[bool, typer.Option("--all", help="Every message that is there.")]


@over_stages
def show_list(scope: Scope, most: _Most = 100, queue: _Queue = LetterQueue.DEAD) -> None:
    """List the messages in the dead-letter queue of each account, or in another queue: which certificate, and why.

    Example: jitrctl dlq list --account prod
    """
    scope = _where_it_is(scope, queue)

    def read(stage: Stage) -> list[Letter]:
        with receive(stage, queue, most=most) as found:
            return sorted(found, key=lambda one: one.sent_at)

    results = scope.across(read, doing="receiving")
    if not scope.as_json and results.ok and not any(done.value for done in results.done):
        out.print(f"Nothing is in the {queue.described}.")
    scope.report(
        results,
        rows=lambda _, found: [
            {
                "message": _short(one),
                "sent": at(one.sent_at),
                "certificate": short(one.certificate_id) if one.certificate_id else "unreadable",
                "reason": _cut(one.reason),
            }
            for one in found
        ],
        fields=lambda found: {"messages": [_document(one) for one in found]},
    )


@over_stages
def show(
    scope: Scope,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="The beginning of its id, as listed.")],
    *,
    queue: _Queue = LetterQueue.DEAD,
) -> None:
    """Show one message in full.

    Example: jitrctl dlq show 3f2a91c4 --account prod
    """
    scope = _where_it_is(scope, queue)

    def read(stage: Stage) -> list[Letter]:
        with receive(stage, queue, most=10_000) as found:
            return [one for one in found if one.id.startswith(message)]

    results = scope.across(read, doing="receiving")
    if results.ok and not any(done.value for done in results.done):
        raise Refused(f"no message in the {queue.described} begins with {message}: see `jitrctl dlq list`")

    def show_results() -> None:
        for done in results.done:
            for one in done.value:
                out.print(f"{done.stage}  {one.id}  sent {at(one.sent_at)}", markup=False, soft_wrap=True)
                out.print(f"reason: {one.reason}", markup=False, soft_wrap=True)
                out.print(_pretty(one.body), markup=False, soft_wrap=True)

    scope.report(
        results,
        show=show_results,
        fields=lambda found: {"messages": [{**_document(one), "body": one.body} for one in found]},
    )


@over_stages
def redrive(
    scope: Scope, messages: _Ids = None, *, every: _All = False, queue: _Queue = LetterQueue.DEAD, yes: Yes = False
) -> None:
    """Send messages to their function again, once the cause is removed; what is no event stays.

    Messages of the queues unforwarded and hub go to the hub's function; a duplicate has no effect there.

    Example: jitrctl dlq redrive 3f2a91c4 --account prod
    """
    scope = _where_it_is(scope, queue)
    hub = _hubs_reader(scope) if queue.is_for_hub else None

    def sending(stage: Stage) -> Callable[[Letter], None]:
        return partial(send_again, stage, queue, hub or find_register_queue(stage))

    _carry_out(scope, messages, queue, "sent again", sending, every=every, yes=yes)


@over_stages
def drop_messages(
    scope: Scope, messages: _Ids = None, *, every: _All = False, queue: _Queue = LetterQueue.DEAD, yes: Yes = False
) -> None:
    """Delete messages for good.

    The sweep finds a device that is still pending nevertheless. But nothing replaces messages of the queues unforwarded
    and hub: the hub lacks the decision until the certificate's next one.

    Example: jitrctl dlq drop 3f2a91c4 --account prod
    """
    what = "dropped, and missing in the hub" if queue.is_for_hub else "dropped"
    scope = _where_it_is(scope, queue)
    _carry_out(scope, messages, queue, what, lambda stage: partial(drop, stage, queue), every=every, yes=yes)


def _where_it_is(scope: Scope, queue: LetterQueue) -> Scope:
    """The scope with only the stages that have such a queue: the hub's is in one.

    Raises Unusable when none has.
    """
    hub = hub_stage(scope.fleet)
    if queue.is_for_hub and hub is None:
        raise Unusable(f"the fleet file has no [hub], so there is no {queue.described}")
    stages = tuple(stage for stage in scope.stages if queue in list_queues(stage))
    if not stages:
        raise Unusable(f"the {queue.described} is in {hub}: name that account and Region, or none")
    return replace(scope, stages=stages)


def _hubs_reader(scope: Scope) -> TargetQueue:
    """The queue of the hub's function; opens its account before anything is changed.

    Raises Refused.
    """
    hub = hub_stage(scope.fleet)
    opened = scope.across(find_hub_queue, doing="opening the hub", stages=[hub] if hub else [])
    for one in opened.failed:
        raise Refused(one.error)
    return opened.done[0].value


def _carry_out(
    scope: Scope,
    ids: Sequence[str] | None,
    queue: LetterQueue,
    what: str,
    work: Callable[[Stage], Callable[[Letter], None]],
    *,
    every: bool,
    yes: bool,
) -> None:
    """Choose messages by the beginnings of their ids, show them, ask, and process each on its own."""
    if bool(ids) is every:
        raise Unusable("say which messages, by the beginnings of their ids, or --all")

    def select(found: Sequence[Letter]) -> list[Letter]:
        return [one for one in found if every or any(one.id.startswith(id_) for id_ in ids or ())]

    def read(stage: Stage) -> list[Letter]:
        with receive(stage, queue, most=10_000) as found:
            return select(found)

    def process(stage: Stage) -> list[tuple[Letter, str | None]]:
        work_on = work(stage)
        with receive(stage, queue, most=10_000) as found:
            return _process(select(found), work_on)

    stages, failed = scope.open_stages()
    looked = scope.across(read, doing="receiving", stages=stages)
    plan = [f"{done.stage}  {one.id}  {one.reason}" for done in looked.done for one in done.value]
    if looked.ok and not plan and every:
        if not scope.as_json:
            out.print(f"Nothing is in the {queue.described}.")
    elif looked.ok and not plan:
        raise Refused(f"no such message is in the {queue.described}: `jitrctl dlq list` shows which there are")
    if plan:
        scope.confirm([f"To be {what}:", *plan], yes=yes)
    results = scope.across(process, doing="working", stages=[done.stage for done in looked.done if done.value])
    scope.report(
        results,
        rows=lambda _, worked: [{"message": _short(one), "now": error or what} for one, error in worked],
        fields=lambda worked: {
            "messages": [{"id": one.id, "ok": error is None, "error": error} for one, error in worked]
        },
        failed=(*failed, *looked.failed),
        ok=not any(error for done in results.done for _, error in done.value),
    )


def _process(letters: Sequence[Letter], work_on: Callable[[Letter], None]) -> list[tuple[Letter, str | None]]:
    """Process each message; returns the errors. After an error of AWS, the remaining ones are not tried."""
    worked: list[tuple[Letter, str | None]] = []
    for letter in letters:
        error = None
        try:
            work_on(letter)
        except ON_PURPOSE as failure:
            error = failure
        worked.append((letter, describe_error(error) if error else None))
        if error and not isinstance(error, Refused):
            break
    return worked + [(letter, "not tried") for letter in letters[len(worked) :]]


def _document(one: Letter) -> dict[str, Any]:
    return {
        "id": one.id,
        "sent_at": one.sent_at.isoformat(),
        "certificate_id": one.certificate_id,
        "reason": one.reason,
    }


def _short(one: Letter) -> str:
    """The beginning of a message's id, enough to name it; in a pipe all of it."""
    return one.id if out.is_piped else one.id[:8]


def _cut(text: str) -> str:
    """A reason, cut for the list on a terminal; `dlq show` has all of it."""
    return text if out.is_piped or len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2)
    except ValueError:
        return body
