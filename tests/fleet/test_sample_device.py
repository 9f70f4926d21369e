"""The made-up device that policies are tried with."""

import dataclasses
import re

import pytest

from jitr.admission.naming import THING_NAME
from jitr_fleet.model import Ca
from jitr_fleet.sample_device import make_up_device, make_up_name
from tests.support.fleet.drafts import Draft


@pytest.fixture
def ca(draft: Draft) -> Ca:
    return draft.load().cas[0]


@pytest.mark.parametrize(
    "pattern",
    [
        "sensor-[0-9]{4,}",
        r"(?P<unit>[a-z0-9-]+)\.(?P<line>[a-z]+)\.devices\.acme\.example",
        "a|b",
        "[^7kK]+",
        r"\d{3}\w?(?i:x)y",
        ".+",
        "(?:ab){2,3}",
        "urn:dev:[0-9a-f]{12}",
    ],
)
def test_its_name_matches_the_pattern(ca: Ca, pattern: str) -> None:
    named = dataclasses.replace(ca, common_name=pattern)
    name = make_up_device(named).context["iot:Certificate.Subject.CommonName"]

    assert name is not None
    assert re.fullmatch(pattern, name)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{common_name}", "7.k.example"),
        ("{unit}", "7"),
        ("x-{unit}-{organization}", "x-7-sample"),
        ("{certificate_id}", "sample"),
    ],
)
def test_its_things_name_is_made_by_the_template(ca: Ca, template: str, expected: str) -> None:
    named = dataclasses.replace(ca, common_name=r"(?P<unit>[0-9]+)\.[a-z]+\.example", thing_name=template)
    device = make_up_device(named)

    assert device.thing_name == (expected if THING_NAME.fullmatch(expected) else "sample")
    assert device.context["iot:ClientId"] == device.context["iot:Connection.Thing.ThingName"] == device.thing_name
    assert {"iot:ClientId", "iot:Connection.Thing.ThingName"} <= device.own_names


def test_attributes_are_the_cas_and_others_are_not_known(ca: Ca) -> None:
    device = make_up_device(ca)

    assert device.context["iot:Connection.Thing.Attributes[line]"] == "A:1"
    assert "iot:Connection.Thing.Attributes[line]" not in device.own_names
    assert "iot:Connection.Thing.Attributes[model]" in device.own_names
    assert "iot:Connection.Thing.Attributes[other]" not in device.context


def test_a_thing_type_that_an_entry_may_give_is_not_known(ca: Ca) -> None:
    key = "iot:Connection.Thing.ThingTypeName"

    assert make_up_device(ca).context[key] == "sensor"
    assert make_up_device(dataclasses.replace(ca, thing_type=None)).context[key] is None
    assert key not in make_up_device(dataclasses.replace(ca, thing_type=None, extra_types=("a",))).context


@pytest.mark.parametrize(
    ("patterns", "name"),
    [
        ({"common_name": "pump-[0-9]+"}, "pump-7"),
        ({"common_name": None, "serial_number": "N[0-9]{3}"}, "N777"),
        ({"common_name": "a device", "san_dns": "unit-[a-z]"}, "unit-k"),
        ({"common_name": "[0-9]+ [a-z]+"}, None),
    ],
)
def test_a_name_that_its_certificate_may_have_is_one_for_a_thing(
    ca: Ca, patterns: dict[str, str | None], name: str | None
) -> None:
    assert make_up_name(dataclasses.replace(ca, **patterns)) == name  # type: ignore[arg-type]  # names of any keys
