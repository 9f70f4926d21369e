"""The readers of makers' lists: each form gives its devices, and refuses a row that cannot be used with its place."""

import json
from collections.abc import Callable
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

import pytest

from jitrctl.manifests.jws import Signers
from jitrctl.manifests.reading import read_files
from jitrctl.manifests.refused import RefusedFile
from jitrctl.manifests.rows import Item, Refusal, Row, Skipped, UnusableManifest
from tests.support.cases.issuing import Authority
from tests.support.cli.makers import (
    MadeDevice,
    ManifestSigner,
    espressif_csv,
    infineon_files,
    make_devices,
    nordic_csv,
    pem_bundle,
    rainmaker_csv,
    zipped,
)

Read = Callable[..., list[Item]]

FORMS: dict[str, Callable[[list[MadeDevice]], str]] = {
    "microchip": lambda devices: ManifestSigner().manifest(devices),
    "espressif": espressif_csv,
    "rainmaker": rainmaker_csv,
    "nordic": nordic_csv,
    "pem": pem_bundle,
}
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIKsecretsecret\n-----END EC PRIVATE KEY-----\n"


@pytest.fixture
def devices(ca: Authority) -> list[MadeDevice]:
    return make_devices(ca, 3)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str | bytes, name: str = "list") -> list[Item]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_files([path], Signers()))

    return read


def rows_of(items: list[Item]) -> list[Row]:
    assert not [str(one) for one in items if isinstance(one, Refusal)]
    return [one for one in items if isinstance(one, Row)]


def refusals(items: list[Item]) -> list[str]:
    return [str(one).rpartition("/")[2] for one in items if isinstance(one, Refusal)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("begin", ["", "\ufeff", "\n"])
def test_each_form_gives_the_id_name_and_certificate_of_each_device(
    read: Read, devices: list[MadeDevice], form: str, begin: str
) -> None:
    rows = rows_of(read(begin + FORMS[form](devices)))
    assert [row.certificate_id for row in rows] == [one.certificate_id for one in devices]
    assert [row.name for row in rows] == [one.name for one in devices]
    assert all(row.certificate for row in rows)
    assert not any(row.chooses_subject for row in rows)


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_certificate_is_refused_with_its_place_and_no_other_row(
    read: Read, ca: Authority, form: str, tmp_path: Path
) -> None:
    good, bad, last = make_devices(ca, 3)
    cut = bad.pem.splitlines()
    damaged = MadeDevice(bad.name, "\n".join([*cut[:2], *cut[3:], ""]))
    if form == "microchip":
        signer = ManifestSigner()
        broken = signer.signed(bad, publicKeySet={"keys": [{"x5c": [bad.x5c[:40]]}]})
        text = json.dumps([signer.signed(good), broken, signer.signed(last)])
    else:
        text = FORMS[form]([good, damaged, last])
    items = read(text)
    assert [one.certificate_id for one in items if isinstance(one, Row)] == [good.certificate_id, last.certificate_id]
    (refusal,) = [one for one in items if isinstance(one, Refusal)]
    assert str(refusal).startswith(f"{tmp_path / 'list'}:")
    assert "MII" not in str(refusal)


@pytest.mark.parametrize("form", FORMS)
def test_refused_rows_become_a_file_of_their_form_that_can_be_mended(
    read: Read, devices: list[MadeDevice], form: str, tmp_path: Path
) -> None:
    items = read(FORMS[form](devices))
    path = tmp_path / "refused"
    for _ in range(2):  # what was refused again is as good as what was refused once
        path.unlink(missing_ok=True)
        with RefusedFile(path, of=[tmp_path / "list"]) as refused:
            for row in rows_of(items):
                refused.add(row.origin.refuse('no "such" group, or none'))
        assert path.read_text(encoding="utf-8").count("no ") == 3
        items = rows_of(read(path.read_bytes()))  # type: ignore[assignment]  # a list of rows is one of items
        assert [one.certificate_id for one in items if isinstance(one, Row)] == [one.certificate_id for one in devices]


def test_refused_rows_of_jitrs_own_list_keep_all_their_columns(read: Read, tmp_path: Path) -> None:
    read('thing_name,note,thing_type\nsensor-1,"first, and last",meter\nsensor-2,,\n')
    items = read('thing_name,note,thing_type\nsensor-1,"first, and last",meter\nsensor-2\n')
    with RefusedFile(tmp_path / "refused", of=[tmp_path / "list"]) as refused:
        for item in items:
            refused.add(item if isinstance(item, Refusal) else item.origin.refuse("why"))  # type: ignore[union-attr]
    text = (tmp_path / "refused").read_text(encoding="utf-8")
    assert text.splitlines() == [
        "thing_name,note,thing_type,problem",
        'sensor-1,"first, and last",meter,why',
        "sensor-2,,,has more or fewer cells than the heading",
    ]
    again = rows_of(read(text))
    assert [(row.name, dict(row.cells)) for row in again] == [
        ("sensor-1", {"note": "first, and last", "thing_type": "meter"}),
        ("sensor-2", {"note": "", "thing_type": ""}),
    ]


def test_refused_rows_of_several_lists_become_a_zip_of_lists(
    devices: list[MadeDevice], tmp_path: Path, ca: Authority
) -> None:
    files: dict[str, str | bytes] = {"a.csv": espressif_csv(devices), "b/c.pem": pem_bundle(make_devices(ca, 2))}
    path = tmp_path / "lists.zip"
    path.write_bytes(zipped(files))
    rows = rows_of(list(read_files([path], Signers())))
    with RefusedFile(tmp_path / "refused.zip", of=[path]) as refused:
        for row in rows:
            refused.add(row.origin.refuse("why"))
    again = rows_of(list(read_files([tmp_path / "refused.zip"], Signers())))
    assert [row.certificate_id for row in again] == [row.certificate_id for row in rows]


@pytest.mark.parametrize("packed", [True, False])
def test_infineons_bundle_is_read_as_a_folder_and_as_a_zip(
    devices: list[MadeDevice], tmp_path: Path, *, packed: bool
) -> None:
    files = infineon_files(devices)
    if packed:
        (tmp_path / "reel.zip").write_bytes(zipped({f"reel/{name}": text for name, text in files.items()}))
    else:
        (tmp_path / "reel.zip").mkdir()
        for name, text in files.items():
            (tmp_path / "reel.zip" / name).write_text(text, encoding="utf-8")
    items = list(read_files([tmp_path / "reel.zip"], Signers()))
    assert [row.certificate_id for row in rows_of(items)] == [one.certificate_id for one in devices]
    (skipped,) = [one for one in items if isinstance(one, Skipped)]
    assert skipped.place.endswith("README.txt")


def test_a_certificate_in_der_is_a_list_of_one(read: Read, devices: list[MadeDevice]) -> None:
    (row,) = rows_of(read(PEM_cert_to_DER_cert(devices[0].pem)))
    assert (row.certificate_id, row.name) == (devices[0].certificate_id, "sensor-0000")
    again = rows_of(read(row.origin.raw))
    assert [one.certificate_id for one in again] == [row.certificate_id]


def test_certificates_of_cas_are_skipped_in_chains_and_refused_in_rows(
    read: Read, devices: list[MadeDevice], ca: Authority
) -> None:
    items = read(pem_bundle(devices, chain=(ca.pem,)))
    assert [row.certificate_id for row in rows_of(items)] == [one.certificate_id for one in devices]
    assert sum(isinstance(one, Skipped) for one in items) == 3
    chained = [MadeDevice(one.name, one.pem + ca.pem) for one in devices]
    assert [row.certificate_id for row in rows_of(read(espressif_csv(chained)))] == [
        one.certificate_id for one in devices
    ]
    assert refusals(read(nordic_csv([MadeDevice("ca", ca.pem)]))) == ["list:1: is a CA's certificate, not a device's"]


def test_certificate_ids_alone_are_a_list_with_or_without_a_heading(read: Read) -> None:
    ids = [f"{number:064x}" for number in range(3)]
    for text in ("\n".join(ids), "certificate_id\n" + "\r\n".join(ids)):
        rows = rows_of(read(text))
        assert [row.certificate_id for row in rows] == ids
        assert all(row.chooses_subject for row in rows)
    assert refusals(read(f"{ids[0]}\nsensor-1\n")) == [
        "list:2: 'sensor-1' is not a certificate id, as the rows before it are"
    ]


def test_a_cell_takes_pem_with_written_line_ends_or_with_none(read: Read, devices: list[MadeDevice]) -> None:
    pem = devices[0].pem
    for written in (pem, pem.replace("\n", "\\n"), pem.replace("\n", "\r\n"), pem.replace("\n", "")):
        (row,) = rows_of(read(f'certificate,note\n"{written}",batch 7\n'))
        assert (row.certificate_id, row.cells["note"]) == (devices[0].certificate_id, "batch 7")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no column thing_name"),
        ("name\nsensor-1\n", "column 'name' is unknown; a list has a column thing_name, certificate_id or certificate"),
        ("thing_name;rule\nsensor-1;deny\n", "columns are separated by commas"),
        ("thing_name,thing_name\n", "twice"),
        ("hello", "column 'hello' is unknown"),
        ('{"certificates": []}', "is JSON, but not a list of signed secure elements"),
        ("<html></html>", "is XML or HTML"),
        (b"thing_name\n\xff\n", "cannot be read as UTF-8 text"),
        ("thing_name\nsensor-1\n".encode("utf-16"), "cannot be read as UTF-8 text"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive: unpack it"),
        (b"\x1f\x8b\x08\0", "is compressed with gzip: unpack it"),
        (b"%PDF-1.7", "is a PDF, and no list"),
        (b"\x30\x82\x01\x01" + b"\0" * 257, "no certificate that can be read"),
        ('thing_name\n"sensor\n', "is not CSV"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n", "has no -----END line"),
        ("tlv_type,tlv_subtype,data_value,data_type\n", "column 'tlv_type' is unknown"),
    ],
)
def test_what_is_no_list_ends_in_a_sentence_with_what_a_list_has(read: Read, text: str | bytes, problem: str) -> None:
    with pytest.raises(UnusableManifest) as error:
        read(text)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)
    assert ":0:" not in str(error.value)


@pytest.mark.parametrize("form", ["espressif", "nordic", "pem", "own"])
def test_a_list_with_a_private_key_is_refused_and_nothing_of_it_told(
    read: Read, devices: list[MadeDevice], form: str
) -> None:
    with_key = [devices[0], MadeDevice(devices[1].name, devices[1].pem + KEY)]
    text = f'thing_name,note\nsensor-1,"{KEY}"\n' if form == "own" else FORMS[form](with_key)
    for content in (text, zipped({"a.csv": text})):
        with pytest.raises(UnusableManifest, match="holds a private key") as error:
            read(content)
        assert "secret" not in str(error.value)


def test_folders_and_several_files_are_read_in_order(devices: list[MadeDevice], tmp_path: Path) -> None:
    for number, device in enumerate(devices[:2]):
        (tmp_path / f"{number}.pem").write_text(device.pem, encoding="utf-8")
    (tmp_path / ".hidden").write_text("x", encoding="utf-8")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "2.pem").write_text(devices[2].pem, encoding="utf-8")
    items = list(read_files([tmp_path], Signers()))
    assert [row.certificate_id for row in rows_of(items)] == [one.certificate_id for one in devices]
    with pytest.raises(UnusableManifest, match="cannot be read"):
        list(read_files([tmp_path / "missing"], Signers()))
