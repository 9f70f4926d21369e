"""Writes the options that choose stages, for commands that can be pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.session.stage import choose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jitr_fleet.model import Fleet
    from jitrctl.session.stage import Stage


def stage_options(stages: Iterable[Stage], fleet: Fleet) -> str | None:
    """The options that choose exactly these stages, such as ` --account dev`; empty for all stages of the fleet.

    None when no options choose them alone: dev/eu-central-1 and prod/us-east-1, say.
    """
    wanted = {(stage.account.name, stage.region) for stage in stages}
    accounts = list(dict.fromkeys(one.name for one in fleet.accounts if any(one.name == name for name, _ in wanted)))
    regions = sorted({region for _, region in wanted})
    for chosen, within in (([], []), (accounts, []), (accounts, regions)):
        found = {(stage.account.name, stage.region) for stage in choose(fleet, chosen, within)}
        if found == wanted:
            words = [f" --account {name}" for name in chosen] + [f" --region {name}" for name in within]
            return "".join(words)
    return None
