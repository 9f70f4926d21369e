"""Looks again, once for all devices and accounts of an order, whether a device has connected again."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from jitrctl.commands.device.many import DeviceDone, DeviceFailed
from jitrctl.device.sessions import SECONDS_UNTIL_LOOK
from jitrctl.errors import Interrupted
from jitrctl.run.parallel import Done, Results
from jitrctl.terminal import err

if TYPE_CHECKING:
    from jitrctl.commands.device.many import DeviceResults
    from jitrctl.commands.device.order import Ordered
    from jitrctl.device.sessions import DeviceSessions
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage

_NOT_LOOKED = (
    "sessions",
    "interrupted, so whether a device has connected again was not looked at: the same command does",
)


def look_again(
    scope: Scope, results: Results[DeviceResults[Ordered]], sessions: DeviceSessions
) -> tuple[Results[DeviceResults[Ordered]], bool]:
    """Wait ten seconds if any device may come back, then look in all stages.

    Returns what is to be reported, and whether Ctrl-C ended the order or the wait, which is warned of.
    """
    done = {one.stage: one.value for one in results.done}
    waiting = [stage for stage, devices in done.items() if any(_may_come_back(one) for one in devices)]
    if not waiting:
        return results, False
    if any(isinstance(one, DeviceFailed) and isinstance(one.error, Interrupted) for one in chain(*done.values())):
        scope.warn([_NOT_LOOKED])
        return results, True
    text = f"looking in {SECONDS_UNTIL_LOOK:.0f} seconds whether a device connects again"
    try:
        with err.status(f"{text} …") if err.is_terminal else nullcontext():
            sessions.wait()
    except KeyboardInterrupt:
        scope.warn([_NOT_LOOKED])
        return results, True

    def look(stage: Stage) -> DeviceResults[Ordered]:
        return tuple(_look(sessions, stage, one) for one in done[stage])

    looked = scope.across(look, doing="looking again", stages=waiting, interrupted=threading.Event())
    if looked.failed:
        scope.warn([(str(one.stage), f"whether a device has connected again: {one.error}") for one in looked.failed])
    seen = {one.stage: one.value for one in looked.done}
    done_now = tuple(Done(stage=one.stage, value=seen.get(one.stage, one.value)) for one in results.done)
    return Results(done=done_now, failed=results.failed), False


def _may_come_back(one: DeviceDone[Ordered] | DeviceFailed) -> bool:
    return isinstance(one, DeviceDone) and any(session.may_come_back for session in one.value.sessions or ())


def _look(
    sessions: DeviceSessions, stage: Stage, one: DeviceDone[Ordered] | DeviceFailed
) -> DeviceDone[Ordered] | DeviceFailed:
    if not isinstance(one, DeviceDone) or not one.value.sessions:
        return one
    again = tuple(sessions.look_again(stage, session) for session in one.value.sessions)
    return replace(one, value=replace(one.value, sessions=again))
