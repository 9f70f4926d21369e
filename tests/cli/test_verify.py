"""jitrctl verify: the functions' own answer, offline, check by check."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from jitr.admission.procedure import ORDER
from jitr.errors import Reason
from jitrctl.__main__ import main
from jitrctl.verify import SENTENCES
from tests.support.cases.issuing import DAY, NOW, Authority, ec_key, factory, issue_ca, named, rsa_key
from tests.support.cli.fleet_file import FLEET

SECOND_CA = '[ca.other]\ncertificate = "other.pem"\ncommon_name = "gateway-.*"\n'
OBSERVED = '[ca.factory.checks]\nkey = "observe"\nvalidity = "off"\n'
Verify = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the time for which the cases' certificates are made."""
    monkeypatch.setattr("jitrctl.commands.verify.now", lambda: NOW)


@pytest.fixture(scope="module")
def other() -> Authority:
    return issue_ca("Acme other CA", key=ec_key(owner="other ca"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Authority) -> Path:
    """A fleet file with two CAs, of which prod has one, and the device that is valid."""
    fleet = FLEET.replace("[account.dev]", f"{SECOND_CA}\n[account.dev]")
    fleet = fleet.replace('ca.factory = { mode = "SNI_ONLY" }', 'ca = { factory = { mode = "SNI_ONLY" } }')
    fleet = fleet.replace('{ mode = "SNI_ONLY" } }', '{ mode = "SNI_ONLY" }, other = { mode = "SNI_ONLY" } }', 1)
    (tmp_path / "fleet.toml").write_text(fleet)
    (tmp_path / "factory.pem").write_text(factory().pem)
    (tmp_path / "other.pem").write_text(other.pem)
    (tmp_path / "device.pem").write_text(factory().leaf())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Verify a certificate, and get the exit code and the JSON document."""

    def run(pem: str | None = None, *options: str) -> tuple[int, dict[str, Any]]:
        (folder / "device.pem").write_text(pem or factory().leaf())
        code = main(["verify", "device.pem", "--json", *(options or ("--account", "dev"))])
        return code, json.loads(capsys.readouterr().out)

    return run


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {one["check"]: one["verdict"] for one in document["checks"]}


def test_every_check_has_its_line_in_the_order_of_the_numbers() -> None:
    assert [check for check in SENTENCES if check in ORDER] == list(ORDER)
    assert [*SENTENCES][-3:] == ["revocation", "enrollment", "hook"]


def test_a_valid_certificate_is_admitted_with_its_identity(verify: Verify) -> None:
    code, document = verify()
    assert code == 0
    assert document["admitted"] is True
    assert (document["reason"], document["detail"]) == (None, None)
    assert document["identity"] == {
        "ca": "factory",
        "thing_name": "sensor-0001",
        "thing_type": "sensor",
        "thing_groups": [],
        "attributes": {},
        "policy": "jitr-acme--factory",
        "billing_group": None,
        "shadow": None,
    }
    assert [one["check"] for one in document["checks"]] == list(SENTENCES)
    assert all(one.keys() == {"check", "verdict", "detail"} and one["detail"] for one in document["checks"])
    assert {check: verdict for check, verdict in verdicts(document).items() if verdict != "pass"} == {
        "revocation": "off",  # unless the CA's rules ask for it
        "enrollment": "not evaluated",
        "hook": "off",  # the CA names none
    }


@pytest.mark.parametrize("enrollment", ["listed", "approve"])
def test_what_is_in_no_file_is_not_evaluated_and_refuses_nobody(verify: Verify, folder: Path, enrollment: str) -> None:
    fleet = folder / "fleet.toml"
    fleet.write_text(fleet.read_text().replace("[ca.factory]", f'[ca.factory]\nenrollment = "{enrollment}"'))
    code, document = verify()
    assert (code, verdicts(document)["enrollment"]) == (0, "not evaluated")


def test_what_the_rules_leave_out_is_off_offline_too(verify: Verify, folder: Path) -> None:
    fleet = folder / "fleet.toml"
    fleet.write_text(fleet.read_text().replace("[ca.other]", '[ca.factory.checks]\nenrollment = "off"\n[ca.other]'))
    assert verdicts(verify()[1])["enrollment"] == "off"


def test_every_check_is_evaluated_also_after_a_failure(verify: Verify) -> None:
    pem = factory().leaf(named("gateway-1"), key=rsa_key(1024), ends=NOW - DAY / 2)
    code, document = verify(pem)
    assert code == 1
    assert (document["admitted"], document["identity"], document["reason"]) == (False, None, "EXPIRED")
    assert document["detail"].startswith("not valid after")
    rejected = {one["check"]: one["detail"].split(":")[0] for one in document["checks"] if one["verdict"] == "reject"}
    assert rejected == {"validity": "EXPIRED", "key": "KEY_SIZE_REFUSED", "subject": "COMMON_NAME_REFUSED"}


def test_what_the_rules_observe_or_leave_out_is_shown_as_such(verify: Verify, folder: Path) -> None:
    fleet = folder / "fleet.toml"
    fleet.write_text(fleet.read_text().replace("[ca.other]", f"{OBSERVED}[ca.other]"))
    code, document = verify(factory().leaf(key=rsa_key(1024), ends=NOW - DAY / 2))
    assert code == 0
    assert verdicts(document)["key"] == "observe"
    assert verdicts(document)["validity"] == "off"


def test_a_certificate_is_judged_by_the_ca_that_issued_it(verify: Verify, other: Authority) -> None:
    assert verify(other.leaf(named("gateway-1")))[1]["identity"]["ca"] == "other"
    code, document = verify(other.leaf(named("gateway-1")), "--account", "dev", "--ca", "factory")
    assert (code, document["reason"]) == (1, "NOT_ISSUED_BY_CA")


def test_in_an_account_without_a_ca_it_is_judged_by_the_source(verify: Verify, folder: Path) -> None:
    (folder / "fleet.toml").write_text(
        '[fleet]\nname = "acme"\n[registered.maker]\ncommon_name = "sensor-.*"\n'
        '[account.dev]\nid = "111111111111"\nregions = ["eu-central-1"]\nregistered.maker = {}\n'
    )
    code, answer = verify(None, "--account", "dev")
    assert (code, answer["identity"]["ca"]) == (0, "maker")


def test_a_certificate_of_nobody_here_is_refused_and_everything_else_is_said_of_it(verify: Verify) -> None:
    strange = issue_ca("Somebody", key=ec_key(owner="somebody"))
    code, document = verify(strange.leaf(), "--account", "prod")
    assert (code, document["reason"]) == (1, "NOT_ISSUED_BY_CA")
    assert verdicts(document)["key"] == "pass"


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("2026-11-01", None),
        ("2026-11-01T12:00:00Z", None),
        ("2026-11-01T13:00:00+02:00", "NOT_YET_VALID"),
        ("2026-11-01T10:59:59", "NOT_YET_VALID"),
        ("2027-12-24", "EXPIRED"),
    ],
)
def test_it_can_be_another_time(verify: Verify, at: str, reason: str | None) -> None:
    begins = datetime(2026, 11, 1, tzinfo=UTC) + (timedelta() if reason is None else timedelta(hours=11, minutes=30))
    document = verify(factory().leaf(begins=begins), "--account", "dev", "--at", at)[1]
    assert document["reason"] == reason


def test_a_ca_file_needs_no_fleet_file(verify: Verify, folder: Path, other: Authority) -> None:
    (folder / "fleet.toml").unlink()
    code, document = verify(other.leaf(named("any:thing_name-1")), "--ca-file", "other.pem")
    assert (code, document["admitted"], document["identity"]["thing_name"]) == (0, True, "any:thing_name-1")
    code, document = verify(other.leaf(named("no thing name")), "--ca-file", "other.pem")
    assert (code, document["reason"]) == (1, "COMMON_NAME_REFUSED")
    assert verify(factory().leaf(), "--ca-file", "other.pem")[1]["reason"] == "NOT_ISSUED_BY_CA"


def crl(*serials: int, ends: datetime = NOW + 6 * DAY) -> bytes:
    """The factory's CRL of yesterday, in PEM, with these serial numbers."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(factory().subject)
    builder = builder.last_update(NOW - DAY).next_update(ends)
    builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(factory().key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_crl_is_asked_where_one_is_given(verify: Verify, folder: Path) -> None:
    pem, file = factory().leaf(), ("--crl", "factory.crl")
    serial = x509.load_pem_x509_certificate(pem.encode()).serial_number
    for content, verdict, reason in (
        (crl(), "pass", None),
        (crl(serial + 1), "pass", None),
        (crl(serial), "reject", "REVOKED"),
        (crl(ends=NOW - DAY / 2), "reject", "CRL_STALE"),
    ):
        (folder / "factory.crl").write_bytes(content)
        document = verify(pem, "--ca-file", "factory.pem", *file)[1]
        assert verdicts(document)["revocation"] == verdict
        assert str(document["reason"]).startswith(str(reason))
    # The CA's rules do not ask for it.
    assert verdicts(verify(pem, "--account", "dev", *file)[1])["revocation"] == "off"
    assert verdicts(verify(pem, "--ca-file", "factory.pem")[1])["revocation"] == "not evaluated"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no CRL", "cannot be used as the CRL of CA ca-file"), (None, "cannot be read (No such file or directory)")],
)
def test_a_crl_that_cannot_be_used_is_one_sentence(
    folder: Path, content: bytes | None, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content:
        (folder / "factory.crl").write_bytes(content)
    assert main(["verify", "device.pem", "--ca-file", "factory.pem", "--crl", "factory.crl"]) == 2
    assert sentence in capsys.readouterr().err


def test_a_certificate_that_cannot_be_parsed_is_rejected_as_such(verify: Verify) -> None:
    lines = factory().leaf().splitlines()
    for damaged in ("\n".join([lines[0], *lines[2:]]), f"{lines[0]}\n!!\n{lines[-1]}", lines[0]):
        code, document = verify(damaged)
        assert (code, document["reason"]) == (1, "UNREADABLE")
        assert verdicts(document)["identity"] == "reject"
        assert {verdicts(document)[check] for check in ("issuance", "names", "hook")} == {"not evaluated"}


def too_long() -> bytes:
    """49,200 bytes of extension are more than 65,536 characters of PEM."""
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(49_200))
    return factory().leaf(extensions=[padding]).encode()


def test_critical_distribution_points_are_understood_offline_where_the_crl_is_enforced(verify: Verify) -> None:
    point = x509.DistributionPoint([x509.UniformResourceIdentifier("http://acme.example/crl")], None, None, None)
    pem = factory().leaf(critical=[x509.CRLDistributionPoints([point])])
    code, document = verify(pem, "--ca-file", "factory.pem")
    assert (code, verdicts(document)["extensions"], verdicts(document)["revocation"]) == (0, "pass", "not evaluated")
    assert verify(pem)[1]["reason"] == "CRITICAL_EXTENSION_UNKNOWN"  # the fleet file enforces no CRL


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (b"", ["--account", "dev"], "holds no certificate: name a file"),
        (b"\x30\x82\x01\x00", ["--account", "dev"], "holds no certificate: name a file"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n", ["--account", "dev"], "no certificate, but a certificate request"),
        (too_long(), ["--account", "dev"], "AWS IoT accepts 65536"),
        (None, ["--account", "dev"], "cannot be read (No such file or directory)"),
        (factory().leaf().encode(), ["--account", "moon"], "the fleet has no account moon"),
        (factory().leaf().encode(), [], "say which one with --account"),
        (factory().leaf().encode(), ["--account", "dev", "--region", "us-east-1"], "no stage in us-east-1"),
        (factory().leaf().encode(), ["--account", "dev", "--ca", "third"], "no CA third: it has factory, other"),
        (factory().leaf().encode(), ["--account", "dev", "--at", "tomorrow"], "--at tomorrow is no time"),
        (factory().leaf().encode(), ["--account", "dev", "--ca-file", "factory.pem"], "--ca-file stands alone"),
        (factory().leaf().encode(), ["--ca-file", "fleet.toml"], "fleet.toml holds no certificate"),
        (factory().leaf().encode(), ["--ca-file", "damaged.pem"], "damaged.pem cannot be used as a CA: "),
        (factory().leaf().encode(), ["--account", "dev", "--fleet", "none.toml"], "none.toml:1: the file cannot be"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    folder: Path, content: bytes | None, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "damaged.pem").write_text(factory().pem[:-80])
    if content is None:
        (folder / "device.pem").unlink()
    else:
        (folder / "device.pem").write_bytes(content)
    assert main(["verify", "device.pem", *options]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


def test_an_account_with_several_regions_needs_no_region(verify: Verify) -> None:
    assert verify(None, "--account", "prod")[0] == 0


@pytest.mark.parametrize("pem", [factory().leaf(), factory().leaf(named("gateway-1")), factory().leaf()[:-40]])
def test_people_see_each_check_with_its_number_verdict_and_sentence(
    folder: Path, pem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "device.pem").write_text(pem)
    code = main(["verify", "device.pem", "--account", "dev"])
    shown = capsys.readouterr().out
    numbers = [line.split()[0] for line in shown.splitlines() if line[:1].isdigit()]
    assert numbers == [str(number) for number in range(11)]
    assert all(check in shown for check in SENTENCES)
    if code == 0:
        assert "device.pem: would be admitted, as thing sensor-0001; type sensor" in shown
    else:
        kinds = {True: "for good", False: "until the cause is gone"}
        (reason,) = [one for one in Reason if f"would be rejected, {kinds[one.final]}: {one}" in shown]
        assert f"{reason}:" in shown


def test_the_help_says_what_the_exit_codes_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Exit code 0: it would be admitted." in shown
    assert "Example: jitrctl verify" in shown
