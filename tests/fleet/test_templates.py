"""Templates and the patterns that fill them agree before anything is deployed."""

from pathlib import Path

import pytest

from jitr.rules import NAMING_FIELDS, TEMPLATE_FIELDS
from tests.support.fleet.drafts import Draft

COMMON_NAME = 'common_name = "sensor-[0-9]{4,}"'
DNS = r"san_dns = '(?P<unit>[a-z0-9-]+)\.devices\.acme\.example'"


def named_by(draft: Draft, patterns: str, thing_name: str) -> Draft:
    draft.replace(COMMON_NAME, patterns)
    draft.replace('thing_name = "{common_name}"', f'thing_name = "{thing_name}"')
    return draft


@pytest.mark.parametrize(
    ("patterns", "thing_name"),
    [
        (DNS, "{unit}"),
        ('serial_number = "[A-Z0-9]{8}"', "{serial_number}"),
        ('serial_number = "(?P<line>[A-Z])(?P<number>[0-9]+)"', "{line}:{number}"),
        ('san_uri = "urn:acme:(?P<unit>(a|b)[0-9]*)"', "{unit}"),
        (f'{COMMON_NAME}\n{DNS}\nserial_number = "(?P<number>[0-9]+)"', "{common_name}-{unit}-{number}"),
        (COMMON_NAME, "{subject_key_identifier}"),
        ('common_name = "(?P<unit>x){1,3}"', "{unit}"),
    ],
)
def test_fields_and_groups_of_every_pattern_name_things(draft: Draft, patterns: str, thing_name: str) -> None:
    fleet = named_by(draft, patterns, thing_name).load()
    rules = fleet.rules(fleet.accounts[0], "eu-central-1").cas[0]
    assert rules.thing_name == thing_name
    assert list(rules.patterns) == [name for name in NAMING_FIELDS if f"{name} = " in patterns]


@pytest.mark.parametrize("field", TEMPLATE_FIELDS)
def test_a_group_that_shadows_a_field_is_a_problem_on_its_line(draft: Draft, field: str) -> None:
    draft.replace(COMMON_NAME, f'common_name = "sensor-(?P<{field}>[0-9]+)"')
    line, text = draft.problem()
    assert f'ca.factory.common_name has a group "{field}", which is the name of a certificate\'s field' in text
    assert line == draft.line("common_name = ")


@pytest.mark.parametrize(
    "pattern",
    [
        "sensor-(?P<unit>[0-9]+)?",
        "sensor-(?P<unit>[0-9]+)|gateway",
        "sensor-(-(?P<unit>[0-9]+)){0,2}",
        "sensor-(?:x|(?P<unit>[0-9]))",
        "sensor-((?P<unit>[0-9]) ?)*?",
        "sensor-(?>a(?P<unit>[0-9])?)",
    ],
)
def test_a_group_that_a_match_may_leave_out_is_a_problem(draft: Draft, pattern: str) -> None:
    line, text = named_by(draft, f"common_name = '{pattern}'", "{unit}").problem()
    assert 'ca.factory.common_name has a group "unit" that not every match fills; make it part of' in text
    assert line == draft.line("common_name = ")


def test_two_patterns_share_no_group_name(draft: Draft) -> None:
    named_by(draft, f'serial_number = "(?P<unit>[0-9]+)"\n{DNS}', "{unit}")
    line, text = draft.problem()
    assert 'ca.factory.san_dns has a group "unit", as serial_number has' in text
    assert line == draft.line("san_dns = ")


@pytest.mark.parametrize(("old", "key"), [('"{common_name}"', "thing_name"), ('"{organizational_unit}"', "attributes")])
def test_an_unknown_field_is_a_problem_and_the_groups_are_offered(draft: Draft, old: str, key: str) -> None:
    draft.replace(old, '"{unti}"')
    draft.replace("sensor-[0-9]{4,}", "sensor-(?P<unit>[0-9]+)")
    line, text = draft.problem()
    assert 'uses the unknown field "unti"; did you mean unit?' in text
    assert line == draft.line(f"{key} = ")


@pytest.mark.parametrize(
    ("patterns", "thing_name", "illegal"),
    [
        (DNS, "{san_dns}", "."),
        ('san_uri = "spiffe://acme/.*"', "{san_uri}", "/"),
        ('serial_number = "(a b)+[0-9]"', "{serial_number}", " "),
    ],
)
def test_a_thing_name_that_no_device_can_have_is_a_problem(
    draft: Draft, patterns: str, thing_name: str, illegal: str
) -> None:
    line, text = named_by(draft, patterns, thing_name).problem()
    assert f'every value of its pattern holds "{illegal}", which AWS IoT does not' in text
    assert line == draft.line("thing_name = ")


def test_a_ca_names_its_devices_by_something(draft: Draft) -> None:
    draft.replace(COMMON_NAME, "")
    assert "add common_name" in draft.problem()[1]
    assert "serial_number, san_uri, san_dns" in draft.problem()[1]


@pytest.mark.parametrize(("patterns", "offered"), [(DNS, "{unit}"), ('serial_number = "x"', "{serial_number}")])
def test_the_default_thing_name_needs_a_common_name_and_says_what_to_write(
    draft: Draft, patterns: str, offered: str
) -> None:
    draft.replace(COMMON_NAME, patterns)
    assert f'write thing_name = "{offered}", or add common_name' in draft.problem()[1]


@pytest.mark.parametrize(
    ("written", "variables"),
    [
        ("${iot:Certificate.Subject.Organization.1}", ("iot:certificate.subject.organization.1",)),
        ("${iot:Certificate.Subject.AlternativeName.DNSName}", ("iot:certificate.subject.alternativename.dnsname",)),
        (r"\u0024{iot\u003aCertificate.Issuer.Country}", ("iot:certificate.issuer.country",)),
        ("${IOT:CERTIFICATE.SERIALNUMBER}", ("iot:certificate.serialnumber",)),
        ("${iot:CertificateId}", ()),
        ("${iot:Connection.Thing.ThingName}", ()),
    ],
)
def test_the_rules_say_which_certificate_variables_the_policy_names(
    draft: Draft, written: str, variables: tuple[str, ...]
) -> None:
    policy = (draft.folder / "device.json").read_text()
    draft.write("device.json", policy.replace("topic/sensors", f"topic/sensors/{written}").encode())
    fleet = draft.load()
    rules = fleet.rules(fleet.accounts[0], "eu-central-1").cas[0]
    assert rules.policy_variables == variables
    assert rules.policy_uses_certificates is bool(variables)
    assert rules.policy_uses_alternative_names is ("AlternativeName" in written)


def test_a_condition_names_certificate_variables_too(draft: Draft) -> None:
    policy = (draft.folder / "device.json").read_text()
    condition = '"Condition": {"StringEquals": {"iot:Certificate.Subject.Country": "DE"}}, "Effect"'
    draft.write("device.json", policy.replace('"Effect"', condition).encode())
    assert draft.load().cas[0].policy_variables == ("iot:certificate.subject.country",)


def test_a_ca_without_a_policy_of_its_own_names_no_variables(draft: Draft) -> None:
    draft.replace('policy = "device.json"\n', "")
    assert "iot:certificate." not in (Path(__file__).parents[2] / "policies/device.json").read_text().casefold()
    assert draft.load().cas[0].policy_variables == ()
