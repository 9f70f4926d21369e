"""Reads the engaged brakes of a stage, and says what engaged them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.terminal import at

if TYPE_CHECKING:
    from jitr.brake import Engagement
    from jitrctl.session.stage import Stage


def read_engaged_brakes(stage: Stage) -> dict[str, Engagement]:
    """The engaged brakes, by CA name; none when there is no table.

    Raises Unavailable, botocore's errors.
    """
    names = {one.ca.certificate_id: one.ca.name for one in stage.account.cas}
    try:
        found = stage.brakes.read(names)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return {}
    return {names[one]: brake.engaged for one, brake in found.items() if brake.engaged}


def describe_brake(engaged: Engagement) -> str:
    """An engaged brake: since when, on which figures, and at which refusal."""
    return (
        f"since {at(engaged.at)}: {engaged.refused} of {engaged.decisions} decisions within an hour were refusals "
        f"(usually {engaged.usual_share:.3g} %), such as {engaged.reason}: {engaged.example}"
    )
