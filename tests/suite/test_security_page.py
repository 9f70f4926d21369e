"""Each mitigation of docs/security.md is a mutant, and the page names the tests that fail under it."""

import re
from pathlib import Path

from tests.support.survival.security_mutants import SECURITY_MUTANTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| (?P<mitigation>[^|]+) \| (?P<mutant>[^|]+) \| (?P<tests>\[[^|]+) \|$", re.MULTILINE)
_TEST = re.compile(r"\[(\w+)\]\(\.\./([^)]+)\)")


def test_every_mitigation_of_the_page_is_a_mutant_with_its_tests() -> None:
    named = {
        row["mutant"]: {f"{file}::{test}" for test, file in _TEST.findall(row["tests"])} for row in _ROW.finditer(PAGE)
    }

    assert named == {mutant.name: set(mutant.killed_by) for mutant in SECURITY_MUTANTS}


def test_every_link_of_the_page_leads_to_a_file() -> None:
    linked = re.findall(r"\]\(([^)#]+)", PAGE)

    assert [link for link in linked if not (ROOT / "docs" / link).exists()] == []
