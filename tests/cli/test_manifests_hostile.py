"""Hostile and damaged lists end in a sentence, in bounded memory; so do lists that are only long."""

import io
import json
import struct
import tracemalloc
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitr_fleet.model import Fleet
from jitr_fleet.parse import load
from jitrctl.device import enrollment_rows
from jitrctl.device.enrollment_rows import read_entries
from jitrctl.errors import Unusable
from jitrctl.manifests import delimited, microchip, pem
from jitrctl.manifests.archive import members
from jitrctl.manifests.jws import Signers
from jitrctl.manifests.reading import read_files
from jitrctl.manifests.rows import Item, Reader, Refusal, Row, Skipped, UnusableManifest
from tests.support.cases.issuing import Authority
from tests.support.cli.makers import (
    ManifestSigner,
    espressif_csv,
    make_devices,
    nordic_csv,
    pem_bundle,
    rainmaker_csv,
    zipped,
)

MEGABYTE = 1_048_576
BOUND = 8 * MEGABYTE  # of a reader, whatever it reads: a part of the text, twice, and one row


class Stream(io.RawIOBase):
    """A file that is made while it is read: it may be longer than the memory."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # as the library has it
        self._rest = self._rest or next((part for part in self._parts if part), b"")
        given, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        memoryview(buffer)[: len(given)] = given
        return len(given)


def measured(reader: Reader, parts: Iterator[bytes]) -> tuple[int, int, str]:
    """The rows of such a file, the memory that reading them took at most, and how it ended."""
    content = cast("io.BufferedReader", io.BufferedReader(Stream(parts)))
    rows, end = 0, ""
    tracemalloc.start()
    try:
        for _ in reader(content, "list", Signers()):
            rows += 1
    except UnusableManifest as error:
        end = str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return rows, peak, end


def repeated(part: bytes, count: int, *, begin: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
    yield begin
    for _ in range(count):
        yield part
    yield end


LONG = b"A" * MEGABYTE
ROW = b"A" * 65_535 + b"\n"
GIGABYTE = 1024
MAKER = ManifestSigner()


@pytest.mark.parametrize(
    ("reader", "begin", "part", "said"),
    [
        (delimited.read, b"", LONG, "is longer than 131,072 characters"),
        (delimited.read, b"thing_name\n", LONG, "is longer than 131,072 characters"),
        (delimited.read, b'thing_name\n"', b"A" * 999 + b"\n", "field larger than field limit"),
        (
            delimited.read,
            b'thing_name,note\n"',
            b'A\n","A' * 999,
            "a row, with the empty lines before it, has more than 10,000 lines",
        ),
        (
            delimited.read,
            b"thing_name\n",
            b"\n" * 999,
            "list:10002: a row, with the empty lines before it",
        ),
        (pem.read, b"", b"A" * 99 + b"\n", "stand between two certificates"),
        (pem.read, b"-----BEGIN CERTIFICATE-----\n", LONG, "is longer than 131,072 characters"),
        (pem.read, b"-----BEGIN CERTIFICATE-----\n", b"A" * 63 + b"\n", "has no -----END line"),
        (microchip.read, b'["', LONG, "is not JSON, or longer than 262,144 characters"),
        (microchip.read, b"[", b"[" * 1000, "is nested too deeply"),
        (microchip.read, b"[", b'{"a":' * 1000, "is nested too deeply"),
        (microchip.read, b"[1", b"1" * 100_000, "is not JSON"),
        (microchip.read, b"[", b" " * MEGABYTE, "more than 262,144 spaces"),
    ],
)
def test_a_file_of_a_gigabyte_ends_in_a_sentence_after_its_first_part(
    reader: Reader, begin: bytes, part: bytes, said: str
) -> None:
    rows, peak, end = measured(reader, repeated(part, GIGABYTE * MEGABYTE // len(part), begin=begin))
    assert said in end
    assert rows == 0
    assert peak < BOUND


@pytest.fixture
def fleet(fleet_file: Path) -> Fleet:
    return load(fleet_file)


@pytest.mark.parametrize("form", ["ids", "names", "microchip"])
def test_a_reader_takes_the_same_memory_for_any_number_of_rows(form: str) -> None:
    signer = ManifestSigner()
    entry = json.dumps(signer.sign({"uniqueId": "a"}, unique_id="a")).encode()
    forms: dict[str, tuple[Reader, Callable[[int], Iterator[bytes]]]] = {
        "ids": (delimited.read, lambda count: (b"%064x\n" % number for number in range(count))),
        "names": (
            delimited.read,
            lambda count: (
                b"sensor-%06d,beta\n" % number if number else b"thing_name,thing_groups\n" for number in range(count)
            ),
        ),
        "microchip": (microchip.read, lambda count: repeated(entry + b",", count - 1, begin=b"[", end=entry + b"]")),
    }
    reader, parts = forms[form]
    few, many = (measured(reader, parts(count)) for count in (500, 5_000))
    assert (few[2], many[2]) == ("", "")
    assert many[0] >= 4_999
    assert many[1] < max(few[1] * 1.5, BOUND)


@pytest.mark.deep
def test_a_hundred_thousand_rows_take_less_than_100_megabytes_in_all(fleet: Fleet) -> None:
    content = io.BufferedReader(Stream(b"%064x\n" % number for number in range(100_000)))
    told: list[int] = []
    tracemalloc.start()
    found = read_entries(delimited.read(content, "list", Signers()), fleet, progress=told.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.entries) == told[-1] == 100_000
    assert peak < 100 * MEGABYTE


def test_more_rows_than_an_import_takes_end_in_a_sentence(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrollment_rows, "MOST_ROWS", 100)
    content = io.BufferedReader(Stream(b"%064x\n" % number for number in range(101)))
    with pytest.raises(Unusable, match="more than 100 rows"):
        read_entries(delimited.read(content, "list", Signers()), fleet)


# archives


def read_zip(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lists.zip"
    path.write_bytes(content)
    deque(read_files([path], Signers()), maxlen=0)


def bomb(path: Path, parts: Iterator[bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("list.csv", "w") as file:
        for part in parts:
            file.write(part)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (ROW * 16, "expands to more than 100 times its size"),
        (b"\n" * MEGABYTE, "a row, with the empty lines before it, has more than 10,000 lines"),
        (b"A" * MEGABYTE, "is longer than 131,072 characters"),
    ],
)
def test_a_zip_bomb_ends_in_a_sentence_before_it_is_unpacked(tmp_path: Path, part: bytes, said: str) -> None:
    bomb(tmp_path / "lists.zip", repeated(part, 40, begin=b"thing_name\n"))
    tracemalloc.start()
    with pytest.raises(UnusableManifest, match=said):
        deque(read_files([tmp_path / "lists.zip"], Signers()), maxlen=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < BOUND


def test_files_of_an_archive_share_what_it_may_expand_to(tmp_path: Path) -> None:
    content = zipped({f"{number}.csv": b"thing_name\n" + ROW * 16 for number in range(20)})
    with pytest.raises(UnusableManifest, match="expands to more than"):
        read_zip(content, tmp_path)


def test_what_is_wrong_with_an_archive_ends_in_a_sentence(tmp_path: Path) -> None:
    good = zipped({"list.csv": "thing_name\nsensor-1\n"}, method=zipfile.ZIP_STORED)
    end = good.rfind(b"PK\x05\x06")
    central = good.find(b"PK\x01\x02")
    encrypted = good[: central + 8] + b"\x01\x00" + good[central + 10 :]
    large = good[: end + 12] + struct.pack("<I", 2**31) + good[end + 16 :]
    locator = good[:end] + b"PK\x06\x07" + b"\0" * 16 + good[end:]
    cases = [
        (good[:end], "is a damaged ZIP"),
        (good[:-30], "is a damaged ZIP"),
        (good.replace(b"sensor-1", b"sensor-2"), "is a damaged ZIP"),  # its checksum is another
        (large, "is a damaged ZIP"),
        (locator, "more than 65,535 files or 4 GB"),
        (encrypted, "is encrypted"),
        (zipped({"inner.zip": good}), "is a ZIP in a ZIP"),
        (zipped({"a.txt": "hello"}), "column 'hello' is unknown"),
    ]
    for content, said in cases:
        with pytest.raises(UnusableManifest, match=said) as error:
            read_zip(content, tmp_path)
        assert "\n" not in str(error.value)


def test_an_archive_with_a_large_directory_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped({"list.csv": "thing_name\nsensor-1\n"})
    read_zip(content, tmp_path)
    monkeypatch.setattr("jitrctl.manifests.archive._LARGEST_DIRECTORY", 50)
    with pytest.raises(UnusableManifest, match="is a damaged ZIP"):
        read_zip(content, tmp_path)


def test_names_in_an_archive_are_only_shown_without_control_characters() -> None:
    content = zipped({"../../etc/\x1b[31mpasswd": "thing_name\na\n", "..": "x", "/abs": "x"})
    assert [name for name, _ in members(io.BytesIO(content), "a.zip")] == ["etc/_[31mpasswd", "_", "abs"]


# damage


def check(content: bytes, path: Path) -> None:
    """Whatever a file holds, it gives items or ends in a sentence that tells nothing of its certificates."""
    path.write_bytes(content)
    items: list[Item] = []
    said = ""
    try:
        items += read_files([path], Signers())
    except UnusableManifest as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 800
    assert "MII" not in said
    for item in items:
        assert isinstance(item, (Row, Refusal, Skipped))
        if isinstance(item, Refusal):
            assert "\n" not in item.problem
            assert "MII" not in item.problem


@pytest.fixture(scope="module")
def samples(ca: Authority) -> list[bytes]:
    devices = make_devices(ca, 2)
    texts = [
        MAKER.manifest(devices),
        *(form(devices) for form in (espressif_csv, rainmaker_csv, nordic_csv)),
    ]
    texts += [pem_bundle(devices), "thing_name,rule\nsensor-1,deny\n"]
    return [*(text.encode() for text in texts), zipped(dict(enumerate_names(texts)))]


def enumerate_names(texts: list[str]) -> Iterator[tuple[str, str | bytes]]:
    yield from ((f"{number}.list", text) for number, text in enumerate(texts))


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_list_gives_rows_or_a_sentence(
    samples: list[bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(("change", "cut", "insert", "end"))):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 200))]
            case "insert":
                content[at:at] = data.draw(st.binary(max_size=20))
            case "end":
                del content[at + 1 :]
        content = content or bytearray(b"\n")
    check(bytes(content), tmp_path_factory.getbasetemp() / "damaged")


@settings(max_examples=40)
@given(st.text() | st.binary().map(lambda drawn: drawn.decode("latin-1")))
def test_any_text_gives_rows_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    check(text.encode("utf-8", "surrogatepass"), tmp_path_factory.getbasetemp() / "any")


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(("payload", "protected", "signature", "header", "uniqueId", "x5c")) | st.text(), inner
            )
        ),
    )
)
def test_any_json_gives_rows_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, drawn: object) -> None:
    check(json.dumps([drawn]).encode(), tmp_path_factory.getbasetemp() / "json")
    signed = [{**MAKER.sign(drawn), "header": drawn}]
    check(json.dumps(signed).encode(), tmp_path_factory.getbasetemp() / "json")
