"""Everything that can be wrong with a fleet's files, all in one file: told at once, each with its line and its cure."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from jitr_fleet.parse import FleetError
from tests.support.fleet.drafts import CODE, NOW, Draft, Issuer

# What is wrong stands in each line's comment: what is said of it, and what to do.
WRONG = """\
[fleet]
name = "acme"

[ca.factory]
certificate = "factory.pem"
common_name = "sensor-[0-9]{4,}"
policy = "device.json"

[ca.old]
certificate = "old.pem"                      # expired at || issue it again
common_name = ".*"

[ca.leaf]
certificate = "leaf.pem"                     # || name the certificate of the CA
common_name = ".*"

[ca.secret]
certificate = "secret.pem"                   # which holds a private key || name a file that holds only the certificate
common_name = ".*"

[ca.typing]
certificate = "typing.pem"
common_name = ".*"
thing_name = "{comon_name}"                  # uses the unknown field "comon_name" || did you mean common_name?
attributes = { a = "1", b = "2", c = "3" }   # holds 3 attributes || keep 2

[ca.spaced]
certificate = "spaced.pem"
common_name = ".*"
thing_name = "my {common_name}"              # AWS IoT does not allow " " in it || use a-z A-Z 0-9 : _ -

[ca.spaced.checks]
sujbect = "off"                              # is not a key of fleet.toml || did you mean subject?

[account.dev]
id = "1111"                                  # which is not an AWS account id || write its 12 digits
regions = ["eu-central-7b"]                  # which is not a Region of || write it like "eu-central-1"
ca.old = { mode = "SNI_ONLY" }
ca.leaf = { mode = "SNI_ONLY" }
ca.secret = { mode = "SNI_ONLY" }
ca.typing = { mode = "SNI_ONLY" }
ca.spaced = { mode = "SNI_ONLY" }

[account.first]
id = "222222222222"
regions = ["eu-central-1"]
ca.factory = { mode = "DEFAULT", verification_certificate = "good.pem" }

[account.second]
id = "333333333333"
regions = ["eu-central-1"]
[account.second.ca.factory]
verification_certificate = "foreign.pem"     # which this CA has not signed || let the CA sign a certificate
mode = "DEFAULT"                             # AWS allows one account per CA and Region || use SNI_ONLY in one of them

[account.third]
id = "444444444444"
regions = ["eu-central-1"]
[account.third.ca.factory]
mode = "SNI_ONLY"
verification_certificate = "good.pem"        # in which AWS IoT accepts none || remove it, or use DEFAULT
"""


@pytest.fixture
def wrong(tmp_path: Path) -> Draft:
    draft = Draft(tmp_path, Issuer())
    draft.text = WRONG
    draft.write("old.pem", Issuer("Old CA").certificate(ends=datetime(2026, 1, 1, tzinfo=UTC)))
    draft.write("leaf.pem", Issuer("Leaf").certificate(x509.BasicConstraints(ca=False, path_length=None)))
    draft.write("secret.pem", draft.issuer.private_key())
    for name in ("typing", "spaced"):
        draft.write(f"{name}.pem", Issuer(name).certificate())
    draft.write("good.pem", draft.issuer.verification())
    draft.write("foreign.pem", Issuer("Another CA").verification(CODE))
    return draft


def test_all_of_it_is_told_at_once_with_file_line_and_cure(wrong: Draft) -> None:
    marked = {
        number: [part.strip() for part in line.partition("#")[2].split("||")]
        for number, line in enumerate(WRONG.splitlines(), 1)
        if "||" in line
    }
    with pytest.raises(FleetError) as caught:
        wrong.load(NOW)
    problems = {problem.line: problem for problem in caught.value.problems}

    assert len(caught.value.problems) == len(marked), str(caught.value)
    assert set(problems) == set(marked), str(caught.value)
    for line, (message, cure) in marked.items():
        assert problems[line].file == wrong.path
        assert message in problems[line].message
        assert cure in problems[line].cure
        assert problems[line].cure
    assert len(str(caught.value).splitlines()) == len(marked), "one line for each"


def test_a_private_key_is_named_and_never_echoed(wrong: Draft) -> None:
    with pytest.raises(FleetError) as caught:
        wrong.load(NOW)
    said = str(caught.value)

    assert "secret.pem" in said
    body = wrong.issuer.private_key().decode().splitlines()[1:-1]
    assert body
    assert not [line for line in body if line in said or re.sub(r"\W", "", line)[:20] in said]
