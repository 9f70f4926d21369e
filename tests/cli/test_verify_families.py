"""jitrctl verify on each family of certificates, and under a CA that only the second reader takes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jitrctl.__main__ import main
from tests.support.cases.families import MAKERS, Family, issued_by_odd_ca, odd_ca
from tests.support.cases.issuing import NOW, Authority, factory
from tests.support.cases.revoking import issue_crl

SECOND = "read by jitr's second reader"
FLEET = """\
[fleet]
name = "acme"

[ca.factory]
certificate = "factory.pem"
{rules}

[account.dev]
id = "111111111111"
regions = ["eu-central-1"]
profile = "acme-dev"
ca.factory = {{ mode = "SNI_ONLY" }}
"""


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the time for which the cases' certificates are made."""
    monkeypatch.setattr("jitrctl.commands.verify.now", lambda: NOW)


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Verify a certificate under a CA whose rules are these lines; the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(pem: str, rules: str, *, authority: Authority | None = None) -> int:
        (tmp_path / "fleet.toml").write_text(FLEET.format(rules=rules))
        (tmp_path / "factory.pem").write_text((authority or factory()).pem)
        (tmp_path / "device.pem").write_text(pem)
        (tmp_path / "factory.crl").write_bytes(issue_crl(factory()))
        return main(
            ["verify", "device.pem", "--account", "dev", *(["--crl", "factory.crl"] if authority is None else [])]
        )

    return run


def lines_of(family: Family) -> str:
    """What stands in fleet.toml for the family; JSON's strings and tables of strings are TOML's here."""
    rules = {"common_name": "sensor-[0-9]{4,}", **family.rules}
    lines = [f"{key} = {_written(value)}" for key, value in rules.items() if value is not None]
    if family.checks:
        lines.append(f"checks = {_written({check: mode.value for check, mode in family.checks.items()})}")
    return "\n".join(lines)


def _written(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_each_family_would_be_admitted_and_the_reader_is_said(
    make: Callable[[], Family], verify: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    family = make()
    assert verify(family.pem, lines_of(family)) == 0
    said = capsys.readouterr().out
    assert f"would be admitted, as thing {family.application.admit().thing_name}" in said
    assert (SECOND in said) is family.is_read_again


def test_a_ca_that_only_the_second_reader_takes_stands_in_fleet_toml(
    verify: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    authority = odd_ca()
    assert verify(issued_by_odd_ca(authority), 'common_name = "sensor-[0-9]{4,}"', authority=authority) == 0
    assert "would be admitted, as thing sensor-0001" in capsys.readouterr().out
