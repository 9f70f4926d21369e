"""What names a device in an order: serial numbers only when marked, and lists on standard input, good and bad."""

import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jitrctl.certificate_files import names_file
from simulation import Leaf
from simulation.faults import Call, Moment, ServiceError
from tests.support.cli.simulated import DEV, PROD, Simulated, simulated

NAMES = ["sensor-0001", "sensor-0002", "sensor-0003"]
ORDERS = ["approve", "deny --yes", "deactivate --yes", "revoke --yes", "release --yes", "retire --yes", "remove --yes"]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return simulated(tmp_path, monkeypatch)


@pytest.fixture
def numbered(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> Leaf:
    """An ACTIVE device in dev, whose certificate has the serial number 0x42."""
    with monkeypatch.context() as patched:
        patched.setattr(x509, "random_serial_number", lambda: 0x42)
        leaf = fleet.issue(NAMES[0])
    assert fleet.knock(DEV, leaf, NAMES[0]) == "accepted"
    return leaf


def scans(fleet: Simulated) -> int:
    return list(fleet.aws.list_operations(caller="jitrctl", service="dynamodb")).count("Scan")


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(content), encoding="utf-8"))


def refuse_dynamodb(fleet: Simulated, where: str, operation: str) -> None:
    def fault(call: Call, _: Moment) -> None:
        if call.name == f"dynamodb:{operation}" and call.account_id == fleet.stage(where).account.id:
            raise ServiceError("AccessDeniedException", f"not authorized to perform: {call.name}", status=403)

    fleet.aws.fault = fault


# Serial numbers


@pytest.mark.parametrize("order", [*ORDERS, "reconcile --yes", "adopt"])
@pytest.mark.parametrize("word", ["0042", "42"])
def test_no_order_takes_a_misspelled_name_for_a_serial_number(
    fleet: Simulated, numbered: Leaf, order: str, word: str
) -> None:
    said = fleet.say("device", *order.split(), word, code=1)
    assert word in said
    assert fleet.status(DEV, numbered) == "ACTIVE"
    assert fleet.verdict(DEV, numbered) is None
    if order != "adopt":
        assert f"if it is a serial number, write 0x{word}" in said
        assert "none a certificate with serial number" not in said
        assert scans(fleet) == 0


@pytest.mark.parametrize("word", ["0x42", "0x0042", "00:42"])
def test_an_order_takes_a_serial_number_that_is_marked(fleet: Simulated, numbered: Leaf, word: str) -> None:
    fleet.say("device", "revoke", word, "--yes")
    assert fleet.status(DEV, numbered) == "REVOKED"


def test_a_marked_serial_number_means_its_certificate_and_not_the_next(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(x509, "random_serial_number", lambda: 0x42)
        older = fleet.issue(NAMES[0], begins=-330)
    newer = fleet.issue(NAMES[0], begins=-0.5)
    for leaf in (older, newer):
        assert fleet.knock(DEV, leaf, NAMES[0]) == "accepted"
    fleet.say("device", "revoke", "0x42", "--account", DEV, "--yes")
    assert fleet.verdict(DEV, older)
    assert fleet.verdict(DEV, newer) is None


def test_reading_commands_take_a_bare_serial_number(fleet: Simulated, numbered: Leaf) -> None:
    for order in ("show", "where"):
        assert numbered.certificate_id in fleet.say("device", order, "42")


def test_several_serial_numbers_are_searched_for_in_one_scan_of_each_stage(fleet: Simulated, numbered: Leaf) -> None:
    said = fleet.say("device", "revoke", "0x42", "0x43", "0x44", "sensor-9999", "--yes", code=1)
    assert "no account knows a thing 0x43 with a certificate, and none a certificate with serial number 0x43" in said
    assert "no account knows a thing sensor-9999 with a certificate: correct" in said
    assert "0x42" not in said
    assert scans(fleet) == 2  # dev and prod
    assert fleet.status(DEV, numbered) == "ACTIVE"


def test_more_serial_numbers_than_one_scan_takes_are_said_not_to_be_searched_for(fleet: Simulated) -> None:
    said = fleet.say("device", "revoke", *(f"0x{number:x}" for number in range(101)), "--yes", code=1)
    assert "of so many serial numbers (over 100) none was searched for" in said
    assert "none a certificate with" not in said
    assert scans(fleet) == 0


@pytest.mark.parametrize("order", ["revoke", "remove"])
def test_no_serial_number_is_searched_for_while_an_account_is_not_open(
    fleet: Simulated, numbered: Leaf, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_open = "jitrctl.run.scope.Scope.open_stages"
    monkeypatch.setattr(stage_open, lambda scope: (tuple(one for one in scope.stages if DEV in str(one)), ()))
    said = fleet.say("device", order, "0x42", "--yes", code=1)
    assert "serial numbers are not searched for while one cannot be asked, which is prod/eu-central-1" in said
    assert scans(fleet) == 0
    assert fleet.status(DEV, numbered) == "ACTIVE"


@pytest.mark.parametrize("order", ["revoke", "remove"])
@pytest.mark.parametrize("operation", ["GetItem", "Scan"])
def test_a_serial_number_is_refused_when_an_account_fails_in_the_search(
    fleet: Simulated, numbered: Leaf, order: str, operation: str
) -> None:
    refuse_dynamodb(fleet, PROD, operation)
    said = fleet.say("device", order, "0x42", "--yes", code=1)
    assert "prod/eu-central-1 cannot be asked" in said
    assert fleet.status(DEV, numbered) == "ACTIVE"


def test_nothing_is_removed_while_an_account_cannot_be_asked_what_it_has(fleet: Simulated, numbered: Leaf) -> None:
    refuse_dynamodb(fleet, PROD, "GetItem")
    said = fleet.say("device", "remove", NAMES[0], "--yes", code=1)
    assert "prod/eu-central-1 cannot be asked what it has of the device" in said
    assert fleet.status(DEV, numbered) == "ACTIVE"


# Standard input


@pytest.mark.parametrize("content", ["sensor-ü".encode("latin-1"), "sensor-0001\n".encode("utf-16"), b"s\0e\0n\0"])
def test_a_list_that_is_not_utf_8_is_refused_with_what_to_do(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    pipe(monkeypatch, content)
    said = fleet.say("device", "revoke", "-", "--yes", code=2)
    assert "standard input is not text in UTF-8: convert the list" in said


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_name(
    fleet: Simulated, numbered: Leaf, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, "\ufeffsensor-0001\r\n".encode())
    fleet.say("device", "revoke", "-", "--account", DEV, "--yes")
    assert fleet.status(DEV, numbered) == "REVOKED"


def test_a_word_too_long_for_a_file_name_is_no_file(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not names_file("x" * 300)
    for order in ("show", "revoke --yes"):
        assert "is no file" in fleet.say("device", *order.split(), "x" * 300, code=2)
    pipe(monkeypatch, b"x" * 300 + b"\n")
    said = fleet.say("device", "revoke", "-", "--yes", code=2)
    assert f"line 1 ({'x' * 20}…) is no file" in said
    assert "x" * 21 not in said


@pytest.mark.parametrize("order", ["revoke --yes", "adopt"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_nothing_of_a_private_key_on_standard_input_is_repeated(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch, order: str, flags: list[str]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pipe(monkeypatch, b"sensor-0001\n" + key)
    said = fleet.say("device", *order.split(), "-", *flags, code=2)
    assert "this is PEM: name its file instead" in said
    for line in key.decode().splitlines()[1:-1]:
        assert line[:10] not in said


def test_bad_lines_are_named_by_number_cut_and_at_most_ten(fleet: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, b"# list\n\n" + b"".join(b"sensor-%02d,lost in transit\n" % number for number in range(13)))
    said = fleet.say("device", "revoke", "-", "--yes", code=2)
    assert "line 3 (sensor-00,lost in tr…) is no file" in said
    assert "line 12 (" in said
    assert "line 13 (" not in said
    assert "and so are 3 more" in said
    assert "transit" not in said
