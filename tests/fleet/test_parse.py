"""Break one thing in a valid fleet, and see exactly that problem, on its line, with its cure."""

import re
import warnings
from pathlib import Path

import pytest

from jitr_fleet.parse import FleetError, load
from tests.support.fleet.drafts import Draft, Issuer

VERIFICATION = ', verification_certificate = "dev.pem"'
SECOND_DEFAULT = 'ca.factory = { mode = "DEFAULT", verification_certificate = "dev.pem" } # second'

# (what is replaced, by what, where the problem is shown if not there, what its text holds)
BREAKS = [
    # Unknown keys name the nearest known one.
    (
        "common_name =",
        "comon_name =",
        "comon_name",
        "ca.factory.comon_name is no key of fleet.toml; did you mean common_name?",
    ),
    ("[sweep]", "[swep]", "[swep]", "swep is no key of fleet.toml; did you mean sweep?"),
    ('name = "acme"', 'name = "acme"\nzzz = 1', "zzz", "fleet.zzz is no key of fleet.toml; known here: name"),
    ("[sweep]", 'enrollment = "open"\n[sweep]', "enrollment", 'ca.factory.checks.enrollment is "open"'),
    ("rsa_bits", 'on_replacement = "keep"\nrsa_bits', "on_replacement", 'is "keep"; known here: rotate, reject, share'),
    ("rsa_bits", 'succeeds = "old"\nrsa_bits', "succeeds", 'is "old", which is no CA of this file'),
    ("rsa_bits", 'succeeds = "factory"\nrsa_bits', "succeeds", "goes round in a circle: factory, factory"),
    ("subject =", "subjekt =", "subjekt", "ca.factory.checks.subjekt is no key of fleet.toml; did you mean subject?"),
    ("profile =", '"pro file" =', '"pro file"', 'account.dev."pro file" is no key'),
    (VERIFICATION, f"{VERIFICATION}, extra = 1", "extra", "account.dev.ca.factory.extra is no key"),
    # A CA's devices are named by something.
    ('common_name = "sensor-[0-9]{4,}"', 'san_uri = "urn:.*"', "thing_name =", 'write thing_name = "{san_uri}"'),
    ('common_name = "sensor-[0-9]{4,}"', 'sanuri = "urn:.*"', "sanuri", "did you mean san_uri?"),
    ('"30d"', '"30d"\nmaximum_life = "29d"', "maximum_life", 'no certificate would pass; write at least "30d"'),
    # Missing keys are shown at their table.
    ('name = "acme"', "", "[fleet]", 'fleet.name is missing; add name = "acme"'),
    ('certificate = "factory.pem"', "", "[ca.factory]\n", "ca.factory.certificate is missing; add certificate = "),
    ('common_name = "sensor-[0-9]{4,}"', "", "[ca.factory]\n", "ca.factory.common_name is missing"),
    ('id = "111111111111"', "", "[account.dev]", "account.dev.id is missing"),
    ('regions = ["eu-central-1"]', "", "[account.dev]", "account.dev.regions is missing"),
    ('mode = "SNI_ONLY"', "", "ca.factory = {  }", "account.prod.ca.factory.mode is missing"),
    # Types.
    ('name = "acme"', "name = 1", "name = 1", "fleet.name is an integer, a text is expected; write it in quotes"),
    ('["factory-1", "sensors"]', '"factory-1"', "thing_groups", "is a text, a list is expected; put it in brackets"),
    ('"factory-1", "sensors"', '"factory-1",\n  true', "  true", "thing_groups[1] is a boolean, a text is expected"),
    ("activations_per_second = 50", "activations_per_second = true", "activations", "is a boolean, a number is"),
    ("activations_per_second = 50", 'activations_per_second = "50"', "activations", "is a text, a number is expected"),
    (
        '{ model = "{organizational_unit}", line = "A:1" }',
        '["x"]',
        "attributes",
        "ca.factory.attributes is not a table",
    ),
    ('line = "A:1"', "line = 1", "attributes", "ca.factory.attributes.line is an integer, a text is expected"),
    ('every = "5m"', "every = 300", "every", "sweep.every is an integer, a duration is expected; write a whole"),
    ('every = "5m"', "every = 1979-05-27", "every", "sweep.every is a date or time, a duration is expected"),
    ("[3072, 4096]", "3072", "rsa_bits", "rsa_bits is an integer, a list of two integers is expected"),
    ("[3072, 4096]", "[3072]", "rsa_bits", "rsa_bits is a list of 1, a list of two integers is expected"),
    ("[3072, 4096]", "[3072, true]", "rsa_bits", "rsa_bits holds a boolean, two integers are expected"),
    ("[3072, 4096]", "[3072, 4096.0]", "rsa_bits", "rsa_bits holds a float, two integers are expected"),
    ('id = "111111111111"', "id = 111111111111", "id = 111", "account.dev.id is an integer, a text is expected"),
    ('id = "111111111111"', "id = true", "id = true", "account.dev.id is a boolean, a text is expected"),
    ('{ mode = "SNI_ONLY" }', '"SNI_ONLY"', 'ca.factory = "SNI_ONLY"', "is a text, a table is expected"),
    (
        'profile = "acme-dev"',
        'role_arn = "arn:aws:iam::1:role/x"',
        "role_arn",
        'account.dev.role_arn is "arn:aws:iam::1:role/x", which is no ARN of a role',
    ),
    (
        'profile = "acme-dev"',
        'role_arn = "arn:aws:iam::222222222222:role/x"',
        "role_arn",
        "account.dev.role_arn is a role of account 222222222222, and the id is 111111111111",
    ),
    ('profile = "acme-dev"', 'endpoint_url = "127.0.0.1:1"', "endpoint_url", "account.dev.endpoint_url is"),
    ('profile = "acme-dev"', 'endpoint_url = "http://"', "endpoint_url", "which is no URL"),
    ('profile = "acme-dev"', 'endpoint_url = "http://a:port"', "endpoint_url", "which is no URL"),
    ('profile = "acme-dev"', 'endpoint_url = { eu-central-1 = "x" }', "endpoint_url", "which is no URL"),
    ('profile = "acme-dev"', 'endpoint_url = { x = "http://a" }', "endpoint_url", 'x is "x", which is no Region'),
    ('profile = "acme-dev"', "endpoint_url = {}", "endpoint_url", "has no URL for eu-central-1; add eu-central-1 ="),
    (
        'profile = "acme-dev"',
        'endpoint_url = { eu-central-1 = "http://a", us-east-1 = "http://b" }',
        "endpoint_url",
        "endpoint_url.us-east-1 is no Region of this account; known here: eu-central-1",
    ),
    ('profile = "acme-dev"', 'profile = ""', "profile", "account.dev.profile is empty"),
    ('certificate = "factory.pem"', "certificate = []", "certificate = []", "is a list, a text is expected"),
    ('certificate = "factory.pem"', 'certificate = "-----BEGIN X"', "", "holds PEM text, a path is expected"),
    # Our own names.
    ('name = "acme"', 'name = "Acme"', "", 'fleet.name has the name "Acme", which cannot be part of AWS'),
    ('name = "acme"', 'name = "a_b"', "", "which cannot be part of AWS"),
    ('name = "acme"', 'name = "1acme"', "", "which cannot be part of AWS"),
    ('name = "acme"', 'name = "acme-"', "", "which cannot be part of AWS"),
    ('name = "acme"', 'name = "a--b"', "", "which cannot be part of AWS"),
    ('name = "acme"', 'name = "acme\\n"', "", "which cannot be part of AWS"),
    ('name = "acme"', f'name = "{"a" * 27}"', "", "at most 26 characters"),
    ("[account.prod]", "[account.Prod]", "[account.Prod]", "account.Prod has the name"),
    # Accounts.
    ('"111111111111"', '"11111111111"', "", "which is no AWS account id; write its 12 digits"),
    ('"111111111111"', '"1111-1111-1111"', "", "which is no AWS account id"),
    ('"111111111111"', '"\u066111111111111"', "", "which is no AWS account id"),
    ('"222222222222"', '"111111111111" # again', "# again", 'is "111111111111", the id of account.dev too'),
    (
        '["eu-central-1"]',
        '["eu-central-1a"]',
        'regions = ["eu-central-1a',
        "which is no Region of aws, aws-cn, aws-us-gov",
    ),
    ('["eu-central-1"]', '["eu-centrall-1"]', 'regions = ["eu-centrall', "which is no Region"),
    ('["eu-central-1"]', '["us-iso-east-1"]', 'regions = ["us-iso', "which is no Region"),
    ('["eu-central-1"]', "[]", "regions = []", "account.dev.regions is an empty list"),
    ('"us-east-1"', '"eu-central-1"', '"eu-central-1", ', 'regions[1] is "eu-central-1" once more; name it once'),
    ('"us-east-1"', '"cn-north-1"', "cn-north-1", "lies in several partitions (aws: eu-central-1, aws-cn: cn-north-1)"),
    ("activations_per_second = 50", "activations_per_second = 0", "activations", "is 0, which is out of range"),
    ("activations_per_second = 50", "activations_per_second = -1.5", "activations", "out of range"),
    ("activations_per_second = 50", "activations_per_second = 1000.5", "activations", "from 0.1 and at most 1000"),
    ("activations_per_second = 50", "activations_per_second = 0.09", "activations", "from 0.1 and at most 1000"),
    ("activations_per_second = 50", "activations_per_second = nan", "activations", "out of range"),
    ("activations_per_second = 50", "activations_per_second = inf", "activations", "out of range"),
    # Registrations.
    ('mode = "SNI_ONLY"', 'mode = "sni_only"', "sni_only", 'mode is "sni_only"; did you mean SNI_ONLY?'),
    ('mode = "SNI_ONLY"', 'mode = "BOTH"', "BOTH", 'mode is "BOTH"; known here: DEFAULT, SNI_ONLY'),
    (VERIFICATION, "", 'ca.factory = { mode = "DEFAULT" }', "is in DEFAULT mode without a verification_certificate"),
    ('"DEFAULT"', '"SNI_ONLY" ', '"SNI_ONLY" ,', "verification_certificate is given in SNI_ONLY mode"),
    (
        'ca.factory = { mode = "SNI_ONLY" }',
        SECOND_DEFAULT,
        "# second",
        "mode is DEFAULT in eu-central-1, as in account.dev; AWS allows one account per CA and Region; use SNI_ONLY",
    ),
    (
        'ca.factory = { mode = "SNI_ONLY" }',
        'ca.factry = { mode = "SNI_ONLY" }',
        "ca.factry",
        "account.prod.ca.factry names a CA that this file does not describe; did you mean factory?",
    ),
    ('ca.factory = { mode = "SNI_ONLY" }', "", "[account.prod]", "account.prod.ca is missing"),
    ('ca.factory = { mode = "SNI_ONLY" }', "ca = {}", "ca = {}", "account.prod.ca is empty"),
    # What devices must be.
    ("[0-9]{4,}", "[0-9", "common_name =", "is not a regular expression (unterminated character set at position 7)"),
    ("[0-9]{4,}", "a{99999999999999}", "common_name =", "is not a regular expression"),
    ("[0-9]{4,}", "[[0-9]]", "common_name =", "is not a regular expression (Possible nested set at position 8)"),
    ("[0-9]{4,}", "(?au)", "common_name =", "is not a regular expression"),
    ('"sensor-[0-9]{4,}"', '""', "common_name =", "ca.factory.common_name is empty"),
    ("[3072, 4096]", "[4096, 3072]", "rsa_bits", "must hold 2048 ≤ least ≤ greatest ≤ 16384"),
    ("[3072, 4096]", "[1024, 4096]", "rsa_bits", "must hold 2048 ≤ least"),
    ("[3072, 4096]", "[2048, 16385]", "rsa_bits", "≤ greatest ≤ 16384"),
    ('["P-256"]', '["P-265"]', "curves", 'curves[0] is "P-265"; did you mean P-256?'),
    ('["P-256"]', '["P-256", "P-256"]', "curves", "once more"),
    ('"30d"', '"30 days"', "minimum", 'is "30 days", a duration is expected'),
    ('"30d"', '"-1d"', "minimum", "a duration is expected"),
    ('"30d"', '"36501d"', "minimum", 'out of range; write between "0s" and "36500d"'),
    ('"revoke"', '"revok"', "on_reject", 'ca.factory.on_reject is "revok"; did you mean revoke?'),
    ('"observe"', '"warn"', "subject =", 'checks.subject is "warn"; known here: enforce, observe, off'),
    # What devices become.
    (
        '"{common_name}"',
        '"{comon_name}"',
        "thing_name",
        'names the field "comon_name", which there is not; did you mean common',
    ),
    ('"{common_name}"', '"{common_name!r}"', "thing_name", "names the field"),
    ('"{common_name}"', '"{}"', "thing_name", 'names the field "", which there is not; known here: common_name, '),
    ('"{common_name}"', '"{common_name"', "thing_name", "whose braces do not match"),
    ('"{common_name}"', '"{{common_name}}"', "thing_name", "whose braces do not match"),
    ('"{common_name}"', '"sensor"', "thing_name", "the same name for every device"),
    ('"{common_name}"', '"a b{common_name}"', "thing_name", 'does not allow " " in it; use a-z A-Z 0-9 : _ -'),
    ('"{common_name}"', '"é{common_name}"', "thing_name", 'does not allow "é" in it'),
    ('"{common_name}"', f'"{"a" * 129}{{common_name}}"', "thing_name", "is 129 characters long; AWS IoT allows 128"),
    ('thing_type = "sensor"', 'thing_type = "a.b"', "thing_type", 'does not allow "." in it'),
    ('thing_type = "sensor"', f'thing_type = "{"a" * 129}"', "thing_type", "is 129 characters long"),
    ('"factory-1", "sensors"', '"{country}"', "thing_groups", "thing_groups[0] holds braces, and is no template"),
    ('"factory-1", "sensors"', '"a}"', "thing_groups", "thing_groups[0] holds braces"),
    ('"factory-1", "sensors"', '"a",\n\n"a"', '"a"]', 'thing_groups[1] is "a" once more; name it once'),
    (
        '"factory-1", "sensors"',
        ",".join(f'"g{n}"' for n in range(11)),
        "thing_groups",
        "holds 11 entries; AWS IoT allows 10",
    ),
    ('line = "A:1"', 'line = "a+b"', "attributes", 'does not allow "+" in it; use a-z A-Z 0-9 _ . , @ / : # = [ ] -'),
    ('line = "A:1"', f'line = "{"a" * 801}"', "attributes", "is 801 characters long; AWS IoT allows 800"),
    ('line = "A:1"', '"li ne" = "x"', "attributes", 'ca.factory.attributes."li ne" is no legal attribute name'),
    ('line = "A:1"', f'{"a" * 129} = "x"', "attributes", "is no legal attribute name"),
    ('line = "A:1"', '"Jitr.x" = "x"', "attributes", "kept for jitr's own attribute"),
    # The sweep.
    ('horizon = "12h"', 'horizon = "6m"', "horizon", 'write at least every + pending_after: "390s"'),
    ('every = "5m"', 'every = "90s"', "every", "sweep.every is no whole number of minutes"),
    (
        'every = "5m"',
        'every = "30s"',
        "every",
        'sweep.every is "30s", which is out of range; write between "1m" and "1d"',
    ),
    ('pending_after = "90s"', 'pending_after = "0s"', "pending", "out of range"),
    # Files.
    (
        '"factory.pem"',
        '"nowhere.pem"',
        "nowhere",
        "names nowhere.pem, which cannot be read (No such file or directory)",
    ),
    ('"factory.pem"', '"."', 'certificate = "."', "which cannot be read (Is a directory)"),
    ('"factory.pem"', r'"a\u0000b"', 'certificate = "a', "holds a NUL character"),
    ('"device.json"', '"nowhere.json"', "policy", "names nowhere.json, which cannot be read"),
    ('"dev.pem"', '"nowhere.pem"', "nowhere", "account.dev.ca.factory.verification_certificate names nowhere.pem"),
]


@pytest.mark.parametrize(("old", "new", "shown_at", "said"), BREAKS)
def test_one_slip_is_one_problem_on_its_line(draft: Draft, old: str, new: str, shown_at: str, said: str) -> None:
    draft.replace(old, new)
    line, text = draft.problem()
    assert said in text
    assert line == draft.line(shown_at or new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('horizon = "12h"', 'horizon = "390s"'),
        ('every = "5m"', 'every = "1m"'),
        ('horizon = "12h"', 'horizon = "36500d"'),
        ('pending_after = "90s"', 'pending_after = "60s"'),
        ("activations_per_second = 50", "activations_per_second = 1000"),
        ("activations_per_second = 50", "activations_per_second = 0.1"),
        ("[3072, 4096]", "[2048, 16384]"),
        ("[3072, 4096]", "[4096, 4096]"),
        ('["P-256"]', "[]"),
        ('"30d"', '"0s"'),
        ('"30d"', '"30d"\nmaximum_life = "30d"'),
        (
            'common_name = "sensor-[0-9]{4,}"\nthing_name = "{common_name}"',
            'san_uri = "u:.*"\nthing_name = "{san_uri}"',
        ),
        ('common_name = "sensor-[0-9]{4,}"', 'common_name = ".*"\nsan_uri = "urn:.*"'),
        ('thing_type = "sensor"', f'thing_type = "{"a" * 128}"'),
        ('"{common_name}"', f'"{"a" * 128}{{common_name}}"'),
        ('line = "A:1"', f'line = "{"a" * 800}"'),
        ('line = "A:1"', f'{"a" * 128} = "x"'),
        ('"factory-1", "sensors"', ",".join(f'"g{number}"' for number in range(10))),
        ('name = "acme"', f'name = "{"a" * 26}"'),
        ('"us-east-1"', '"ap-southeast-2"'),
    ],
)
def test_the_limits_themselves_are_allowed(draft: Draft, old: str, new: str) -> None:
    draft.replace(old, new)
    draft.load()


@pytest.mark.parametrize("key", ["horizon", "every"])
def test_a_sweep_takes_no_less_than_a_minute(draft: Draft, key: str) -> None:
    draft.text = re.sub(f"{key} = .*", f'{key} = "59s"', draft.text)
    assert any(
        f'sweep.{key} is "59s", which is out of range; write between "1m"' in text for _, text in draft.problems()
    )


def test_the_sweep_may_run_once_a_day_and_not_less_often(draft: Draft) -> None:
    draft.replace('horizon = "12h"', 'horizon = "7d"')
    draft.replace('every = "5m"', 'every = "1d"')
    draft.load()
    draft.replace('every = "1d"', 'every = "1441m"')
    assert 'sweep.every is "1441m", which is out of range' in draft.problem()[1]


def test_a_pattern_that_python_warns_of_is_refused_whatever_the_warning_filters(draft: Draft) -> None:
    draft.replace("[0-9]{4,}", "[[0-9]]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "Possible nested set" in draft.problem()[1]


def test_a_long_value_is_cut_short_in_a_message(draft: Draft) -> None:
    draft.replace('"111111111111"', f'"{"1" * 100}"')
    assert f'account.dev.id is "{"1" * 59}…, which is no AWS' in draft.problem()[1]


def test_two_attributes_need_no_thing_type_and_three_do(draft: Draft) -> None:
    draft.replace('thing_type = "sensor"\n', "")
    draft.load()
    draft.replace('line = "A:1"', 'line = "A:1", x = "y"')
    line, text = draft.problem()
    assert "holds 3 attributes; keep 2, AWS IoT allows one more and jitr uses it; with a thing_type" in text
    assert line == draft.line("attributes =")


def test_forty_nine_attributes_are_allowed_with_a_thing_type_and_fifty_are_not(draft: Draft) -> None:
    draft.replace('line = "A:1"', ", ".join(f'a{number} = "x"' for number in range(48)))
    draft.load()
    draft.replace('a0 = "x"', 'a0 = "x", one-more = "x"')
    assert "holds 50 attributes; keep 49" in draft.problem()[1]


def test_a_ca_whose_devices_are_named_by_a_uri_needs_no_common_name(draft: Draft) -> None:
    draft.replace('common_name = "sensor-[0-9]{4,}"', 'san_uri = "urn:acme:.*"')
    draft.replace('"{common_name}"', '"{san_uri}"')
    assert (draft.load().cas[0].common_name, draft.load().cas[0].san_uri) == (None, "urn:acme:.*")


def test_a_ca_that_no_account_uses_is_a_problem(draft: Draft) -> None:
    draft.write("second.pem", Issuer("Second CA").certificate())
    draft.text += '[ca.second]\ncertificate = "second.pem"\ncommon_name = "x"\n'
    line, text = draft.problem()
    assert text.startswith('ca.second is in no account; add ca.second = { mode = "SNI_ONLY" } to an account')
    assert line == draft.line("[ca.second]")


def test_a_misspelled_ca_is_not_reported_as_unused_too(draft: Draft) -> None:
    draft.text = draft.text.replace("ca.factory = {", "ca.factry = {")
    assert [text.split()[0] for _, text in draft.problems()] == ["account.dev.ca.factry", "account.prod.ca.factry"]


def test_no_ca_is_called_unused_while_an_account_cannot_be_read(draft: Draft) -> None:
    draft.text = draft.text[: draft.text.index("[account.prod]")]
    draft.replace('ca.factory = { mode = "DEFAULT", verification_certificate = "dev.pem" }', "ca = 1")
    assert draft.problem()[1].startswith("account.dev.ca is an integer, a table is expected")


def test_a_ca_that_is_no_table_is_described_all_the_same(draft: Draft) -> None:
    draft.text = draft.text[: draft.text.index("[ca.factory]")] + draft.text[draft.text.index("[sweep]") :]
    draft.text = "ca.factory = 1\n" + draft.text.replace(VERIFICATION, "").replace("DEFAULT", "SNI_ONLY")
    assert draft.problem() == (1, "ca.factory is an integer, a table is expected; write keys below [ca.factory]")


def test_two_cas_with_one_certificate_are_refused(draft: Draft) -> None:
    draft.write("copy.pem", b"a copy\n" + (draft.folder / "factory.pem").read_bytes())
    draft.text += 'ca.second.mode = "SNI_ONLY"\n[ca.second]\ncertificate = "copy.pem"\ncommon_name = "x"\n'
    line, text = draft.problem()
    assert "ca.second.certificate is the same certificate as ca.factory; remove one" in text
    assert line == draft.line('certificate = "copy.pem"')


def test_default_mode_in_another_region_is_no_conflict(draft: Draft) -> None:
    draft.replace('regions = ["eu-central-1", "us-east-1"]', 'regions = ["us-east-1"]')
    draft.replace('ca.factory = { mode = "SNI_ONLY" }', SECOND_DEFAULT)
    assert len(draft.load().accounts) == 2


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", [(1, "fleet is missing"), (1, "ca is missing"), (1, "account is missing")]),
        (
            "fleet = 1\nca = []\nsweep = true\naccount = 'x'\n",
            [
                (1, "fleet is an integer, a table is expected; write keys below [fleet]"),
                (2, "ca is a list, a table is expected; write a table [ca.factory]"),
                (3, "sweep is a boolean, a table is expected"),
                (4, "account is a text, a table is expected"),
            ],
        ),
        (
            "[fleet]\nname = 'a'\n[ca]\n[account]\n",
            [(3, "ca is empty; add a table [ca.factory]"), (4, "account is empty; add a table [account.dev]")],
        ),
    ],
)
def test_what_is_hardly_a_fleet_says_what_is_needed(draft: Draft, text: str, problems: list[tuple[int, str]]) -> None:
    draft.text = text
    found = draft.problems()
    assert [line for line, _ in found] == [line for line, _ in problems]
    assert all(said in text for (_, text), (_, said) in zip(found, problems, strict=True))


def test_all_problems_are_reported_at_once_sorted_by_line(draft: Draft) -> None:
    draft.replace('"factory.pem"', '"dev.pem" # no CA')
    draft.replace('name = "acme"', 'name = "Acme"')
    draft.replace("[0-9]{4,}", "(")
    draft.replace('"{common_name}"', '"{nothing} {common_name}"')
    draft.replace("P-256", "P-1")
    draft.replace('"222222222222"', "2")
    draft.replace('"us-east-1"', '"moon-1"')
    draft.replace('"SNI_ONLY"', '"SNI"')
    draft.replace("profile =", "profil =")
    problems = draft.problems()
    assert [line for line, _ in problems] == sorted(line for line, _ in problems)
    assert [(line, text.split()[0]) for line, text in problems] == [
        (2, "fleet.name"),
        (5, "ca.factory.certificate"),
        (6, "ca.factory.common_name"),
        (7, "ca.factory.thing_name"),  # its space; {nothing} may be a group of the pattern that cannot be read
        (15, "ca.factory.curves[0]"),
        (28, "account.dev.profil"),
        (29, "account.dev.ca.factory.verification_certificate"),
        (32, "account.prod.id"),
        (33, "account.prod.regions[1]"),
        (35, "account.prod.ca.factory.mode"),
    ]


def test_a_problem_reads_as_file_line_message_cure(draft: Draft, monkeypatch: pytest.MonkeyPatch) -> None:
    draft.replace('name = "acme"', "name = 1")
    draft.path.write_text(draft.text)
    monkeypatch.chdir(draft.folder)
    with pytest.raises(FleetError) as caught:
        load(Path("fleet.toml"))
    assert str(caught.value) == "fleet.toml:2: fleet.name is an integer, a text is expected; write it in quotes"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"[fleet]\nname = \n", 2, "is not TOML (Invalid value)"),
        (b"[fleet]\n\nname = 'a'\nname = 'b'\n", 4, "is not TOML (Cannot overwrite a value)"),
        (b"[fleet]\nname = '''a\n\n", 3, "is not TOML"),
        (b"[fleet]\nname = 'a'\n[fleet]\n", 3, "is not TOML (Cannot declare ('fleet',) twice)"),
        (b"a = " + b"[" * 100_000, 1, "is not TOML (RecursionError)"),
        (b"a = " + b"1" * 5_000, 1, "is not TOML"),
        (b"[fleet]\nname = '\xff'\n", 2, "is not UTF-8"),
        ("[fleet]\nname = 'é'\n".encode("utf-16"), 1, "is not UTF-8"),
    ],
)
def test_a_file_that_is_not_toml_is_one_problem(draft: Draft, content: bytes, line: int, said: str) -> None:
    draft.path.write_bytes(content)
    with pytest.raises(FleetError) as caught:
        load(draft.path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.file) == (line, draft.path)
    assert said in problem.message


@pytest.mark.parametrize(("file", "said"), [("none.toml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, file: str, said: str) -> None:
    with pytest.raises(FleetError, match=f":1: the file cannot be read \\({re.escape(said)}"):
        load(tmp_path / file)
