"""Defines the option by which commands on devices choose CAs and sources."""

from __future__ import annotations

from typing import Annotated

import typer

from jitrctl.run import completion

Origins = Annotated[
    list[str] | None,
    typer.Option(
        "--ca",
        metavar="CA",
        help="Only this CA, or source of the fleet file; may be repeated.",
        autocompletion=completion.origins,
    ),
]
