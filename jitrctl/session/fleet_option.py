"""Completes the commands in a text, so that they can be pasted as they are: with the fleet file."""

from __future__ import annotations

import re

# `jitrctl local` works on the local AWS's own file, and has no such option.
_COMMAND = re.compile(r"`(jitrctl (?!local )[^`]+)`")


def with_fleet_option(text: str, option: str) -> str:
    """The text with the option in each `jitrctl …` in backticks that lacks --fleet.

    `option` is Scope.fleet_option: ` --fleet FILE`, or empty where the file is found without it.
    """
    return _COMMAND.sub(lambda found: f"`{found[1]}{'' if ' --fleet ' in found[1] else option}`", text)
