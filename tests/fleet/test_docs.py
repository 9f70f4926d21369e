"""docs/fleet.md lists every key that the parser knows, and none else."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from jitr.rules import TEMPLATE_FIELDS
from jitr_fleet import keys
from jitr_fleet.keys import DOCUMENT, REQUIRED, TABLES, Key
from jitr_fleet.parse import load
from jitr_fleet.policy import PLACEHOLDERS
from tests.support.fleet.drafts import Draft

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/fleet.md").read_text(encoding="utf-8")

SECTION = re.compile(r"^## `\[([^\n]+)\]`\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([a-z_]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def documented() -> dict[str, dict[str, tuple[str, str]]]:
    """Heading → key → type and default, as the page gives them."""
    return {
        heading: {key: (kind, default) for key, kind, default, _meaning in ROW.findall(body)}
        for heading, body in SECTION.findall(PAGE)
    }


def row(key: Key) -> tuple[str, str]:
    if key.default is REQUIRED:
        return key.kind, "**required**"
    return key.kind, "**none**" if key.default is None else f"`{json.dumps(key.default)}`"


def test_the_page_has_the_tables_of_the_parser_with_their_keys_types_and_defaults() -> None:
    assert documented() == {
        heading: {name: row(key) for name, key in table.items()} for heading, table in TABLES.items()
    }


def test_no_row_of_the_page_is_malformed() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) == sum(map(len, TABLES.values()))


def test_no_table_of_keys_is_left_out() -> None:
    tables = [
        value
        for value in vars(keys).values()
        if isinstance(value, Mapping) and value and all(isinstance(key, Key) for key in value.values())
    ]
    assert len(tables) > 1
    assert all(any(table is known for known in (*TABLES.values(), DOCUMENT)) for table in tables)


@pytest.mark.parametrize(
    "word", [*(f"`{{{field}}}`" for field in TEMPLATE_FIELDS), *(f"`{it}`" for it in PLACEHOLDERS)]
)
def test_every_template_field_and_placeholder_is_on_the_page(word: str) -> None:
    assert word in PAGE


def test_the_example_on_the_page_is_a_valid_fleet(tmp_path: Path) -> None:
    example, _groups = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for folder in ("certs", "policies"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "fleet.toml").write_text(example)
    assert [account.name for account in load(tmp_path / "fleet.toml").accounts] == ["dev", "prod"]


def test_the_groups_on_the_page_are_fields_of_its_templates(draft: Draft) -> None:
    _example, groups = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for line in ("common_name = ", "thing_name = ", "attributes = "):
        draft.text = re.sub(f"^{line}.*\n", "", draft.text, flags=re.MULTILINE)
    draft.replace("[ca.factory]\n", f"[ca.factory]\n{groups}")
    assert draft.load().cas[0].thing_name == "{unit}"


@pytest.mark.parametrize("key", [key for table in (DOCUMENT, *TABLES.values()) for key in table.values()])
def test_a_required_key_shows_what_to_write(key: Key) -> None:
    assert (key.default is REQUIRED) == bool(key.example)
