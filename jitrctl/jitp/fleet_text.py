"""Writes the block of a CA as TOML, and has the fleet file's own parser check it, with the files that it names."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitr_fleet.parse import FleetError, load
from jitrctl.errors import Refused
from jitrctl.localaws.toml_text import write_key, write_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr_fleet.model import Fleet
    from jitr_fleet.problems import Problem
    from jitrctl.jitp.block import CaBlock

_FIRST_KEY = 5  # the line of a block's first key in `fleet_text`


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEntry:
    """The account of a CA, for the fleet file."""

    name: str
    keys: Mapping[str, Any] = field(hash=False)  # id, regions and what opens it
    registration: Mapping[str, Any] = field(hash=False)  # the CA's entry: mode, jitp
    is_written: bool  # the fleet file has the account already


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBlock:
    """A block that the fleet file's parser takes, and the fleet that it makes alone."""

    block: CaBlock
    fleet: Fleet
    policy_problems: tuple[str, ...]  # why the template's policy is not the block's; empty: it is


def ca_text(block: CaBlock) -> str:
    """`[ca.NAME]` as TOML, one key a line."""
    return "".join(f"{line}\n" for line in [f"[ca.{write_key(block.name)}]", *(line for _, line in _ca_lines(block))])


def _ca_lines(block: CaBlock) -> list[tuple[str, str]]:
    """Each key, or single attribute, and its line."""
    lines = []
    for name, value in block.keys.items():
        if name == "attributes":
            lines += [
                (f"attributes.{one}", f"attributes.{write_key(one)} = {write_value(text)}")
                for one, text in value.items()
            ]
        else:
            lines.append((name, f"{name} = {write_value(value)}"))
    return lines


def account_text(block: CaBlock, entry: AccountEntry) -> str:
    """The CA's entry in its account, with the account's own keys unless the fleet file has them."""
    account = f"account.{write_key(entry.name)}"
    lines = [] if entry.is_written else [f"[{account}]", *_lines(entry.keys), ""]
    lines += [f"[{account}.ca.{write_key(block.name)}]", *_lines(entry.registration)]
    return "".join(f"{line}\n" for line in lines)


def fleet_text(fleet: str, block: CaBlock, entry: AccountEntry) -> str:
    """A whole fleet file with this CA alone."""
    account = account_text(block, replace(entry, is_written=False))
    return f"[fleet]\nname = {write_value(fleet)}\n\n{ca_text(block)}\n{account}"


def check_block(fleet: str, block: CaBlock, entry: AccountEntry, ca_pem: str) -> CheckedBlock:
    """Check a block by the parser of fleet.toml; what it does not take is left out, and named in `missing`.

    Raises Refused when the CA's certificate cannot be used at all.
    """
    dropped: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory() as folder:
        while True:
            text = fleet_text(fleet, block, entry)
            try:
                return CheckedBlock(
                    block=block, fleet=_load(Path(folder), text, block, ca_pem), policy_problems=dropped
                )
            except FleetError as error:
                problems = error.problems
            in_policy = [one for one in problems if one.file.name != "fleet.toml"]
            at = [_key_at(block, one.line) for one in problems]
            if "policy" in block.keys and (in_policy or set(at) == {"policy"}):
                about = in_policy or problems
                dropped = tuple(f"line {one.line}: {_strip_place(one, block)}; {one.cure}" for one in about)
                block = block.without("policy", "the policies' statements are not in the block, see below")
                continue
            # Each round leaves out a key, so there is a last one.
            key, first = next((pair for pair in zip(at, problems, strict=True) if pair[0]), (None, problems[0]))
            if key is None or key in ("certificate", "common_name"):
                raise Refused(f"this CA cannot be in a fleet file: {first.message}; {first.cure}")
            block = block.without(key, f"{_strip_place(first, block)}; {first.cure}")


def _load(folder: Path, text: str, block: CaBlock, ca_pem: str) -> Fleet:
    for path, content in ((block.certificate_path, ca_pem), (block.policy_path, block.policy or "{}")):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    file = folder / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, proven=False)


def _key_at(block: CaBlock, line: int) -> str | None:
    """The key of `[ca.NAME]` in a line of `fleet_text`; None for other lines."""
    keys = [key for key, _ in _ca_lines(block)]
    return keys[line - _FIRST_KEY] if 0 <= line - _FIRST_KEY < len(keys) else None


def _strip_place(problem: Problem, block: CaBlock) -> str:
    """A problem's message without the place of the file that was only made to check the block."""
    return problem.message.removeprefix(f"the policy of ca.{block.name}: ").removeprefix(f"ca.{block.name}.")


def _lines(keys: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {write_value(value)}" for name, value in keys.items()]
