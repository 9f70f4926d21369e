"""docs/devices.md: what it says to write in fleet.toml is taken, and names the devices that it shows."""

import re
from pathlib import Path
from types import MappingProxyType

import pytest

from jitr.rules import NAMING_FIELDS
from tests.support.fleet.drafts import Draft

PAGE = (Path(__file__).parents[2] / "docs/devices.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
# A name that the page shows, or one of its form, and what the snippet of that pattern makes of it.
SHOWN = MappingProxyType(
    {
        "sn0123BC526C69CFA001": ("common_name", "{common_name}", {}),
        "012386E1761428FF01 ATECC": ("common_name", "{unit}", {"unit": "012386E1761428FF01"}),
        "InfineonIoTNode": ("common_name", "optiga-{certificate_serial}", {}),
        "eval3-0209B0846159E439520139": ("common_name", "{chip}", {"chip": "0209B0846159E439520139"}),
        "AC.4711/2": (
            "serial_number",
            "{series}-{number}-{revision}",
            {"series": "AC", "number": "4711", "revision": "2"},
        ),
        "sensor-1.devices.acme.example": ("san_dns", "{unit}", {"unit": "sensor-1"}),
        "spiffe://acme.example/device/sensor_1": ("san_uri", "{unit}", {"unit": "sensor_1"}),
    }
)


def with_snippet(draft: Draft, snippet: str) -> Draft:
    for key in ("common_name", "thing_name", "attributes"):
        draft.text = re.sub(f"^{key} = .*\\n", "", draft.text, flags=re.MULTILINE)
    draft.replace('[ca.factory.checks]\nsubject = "observe"\n', "")
    draft.replace("[ca.factory]\n", f"[ca.factory]\n{snippet}")
    return draft


def test_every_family_of_the_page_has_its_lines() -> None:
    section = PAGE.partition("## Your secure element or CA")[2].partition("\n## ")[0]
    families = re.split(r"^### ", section, flags=re.MULTILINE)[1:]
    assert len(families) >= 10
    assert [family.splitlines()[0] for family in families if "```toml" not in family] == []
    assert sum(family.count("```toml") for family in families) == len(SNIPPETS)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_is_a_part_of_a_valid_fleet(draft: Draft, snippet: str) -> None:
    with_snippet(draft, snippet).load()


@pytest.mark.parametrize("name", SHOWN)
def test_the_names_on_the_page_match_and_make_thing_names(draft: Draft, name: str) -> None:
    field, template, groups = SHOWN[name]
    (snippet,) = [one for one in SNIPPETS if f'"{template}"' in one and _matches(one, field, name)]
    (ca,) = with_snippet(draft, snippet).load().cas
    match = re.fullmatch(getattr(ca, field), name)
    assert match
    assert ca.thing_name == template
    assert match.groupdict() == groups


def _matches(snippet: str, field: str, name: str) -> bool:
    assert field in NAMING_FIELDS
    written = re.search(rf'^{field} *= "(.*?)"', snippet, re.MULTILINE)
    return bool(written and re.fullmatch(written[1].replace("\\\\", "\\"), name))
