"""Compares the stages' enrollment lists: accounts with different ones let different devices in. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.status.problems import WHERE, Kind, Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.session.stage import Stage

_SHORT = 16  # digits of a digest that are enough to recognize it


def compare_lists(digests: Mapping[Stage, str | None]) -> dict[Stage, Problem]:
    """The problem of each stage with a list, when there are different ones; `digests` are None without a table."""
    known = {stage: digest for stage, digest in digests.items() if digest}
    if len(set(known.values())) < 2:  # noqa: PLR2004 -- two lists
        return {}
    return {
        stage: Problem(
            kind=Kind.ENROLLMENT,
            severity=Severity.DRIFTED,
            text=f"enrollment list {digest[:_SHORT]}; accounts with different lists let different devices in",
            cures=(f"jitrctl enrollment list{WHERE}",),
        )
        for stage, digest in known.items()
    }
