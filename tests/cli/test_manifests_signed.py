"""Microchip's signed manifests: only what a trusted signer signed is read, and each other entry is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from jitrctl.manifests.jws import Signers, encode
from jitrctl.manifests.reading import read_files
from jitrctl.manifests.rows import Item, Refusal, Row, UnusableManifest
from tests.support.cases.issuing import Authority, ec_key
from tests.support.cli.makers import (
    MadeDevice,
    ManifestSigner,
    jwk,
    make_devices,
    nordic_csv,
    secure_element,
    zipped,
)

Read = Callable[..., list[Item]]


@pytest.fixture(scope="module")
def maker() -> ManifestSigner:
    return ManifestSigner()


@pytest.fixture
def device(ca: Authority) -> MadeDevice:
    return make_devices(ca, 1, prefix="0123f1822c38dd7a")[0]


@pytest.fixture
def read(tmp_path: Path, maker: ManifestSigner) -> Read:
    def read(*entries: object, signers: Signers | None = None) -> list[Item]:
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps(entries), encoding="utf-8")
        return list(read_files([path], signers_of(maker) if signers is None else signers))

    return read


def signers_of(*makers: ManifestSigner) -> Signers:
    return Signers.of([one.certificate.public_bytes(Encoding.DER) for one in makers])


def problem(items: list[Item]) -> str:
    (refusal,) = items
    assert isinstance(refusal, Refusal)
    return refusal.problem


def test_a_verified_entry_gives_its_device_and_an_unverified_one_says_so(
    read: Read, maker: ManifestSigner, device: MadeDevice
) -> None:
    for signers, unverified in ((None, False), (Signers(), True)):
        (row,) = read(maker.signed(device), signers=signers)
        assert isinstance(row, Row)
        assert (row.certificate_id, row.name) == (device.certificate_id, device.name)
        assert row.is_unverified is unverified


def test_one_of_several_signers_is_enough_and_is_found_by_either_name(
    read: Read, maker: ManifestSigner, device: MadeDevice
) -> None:
    other = ManifestSigner("Invented Manifest Signer 002")
    both = signers_of(maker, other)
    for changes in ({}, {"kid": None}, {"x5t#S256": None}):
        entries = [one.sign(secure_element(device), unique_id=device.name, **changes) for one in (maker, other)]
        assert [type(one) for one in read(*entries, signers=both)] == [Row, Row]


def forge(entry: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {**entry, **parts}


def test_forged_signatures_are_refused_each_with_a_sentence(
    read: Read, maker: ManifestSigner, device: MadeDevice, ca: Authority
) -> None:
    entry = maker.signed(device)
    other = make_devices(ca, 1, prefix="attacker-")[0]
    stranger = ManifestSigner("Invented Manifest Signer 003")
    imposter = ManifestSigner("Invented Manifest Signer 004")
    nameless: dict[str, Any] = {"kid": None, "x5t#S256": None}
    cases: list[tuple[Any, str]] = [
        (forge(entry, payload=maker.signed(other)["payload"]), "forged or damaged"),
        (forge(entry, signature=encode(b"\0" * 64)), "forged or damaged"),
        (forge(entry, signature=encode(b"\xff" * 64)), "forged or damaged"),
        (forge(entry, signature=entry["signature"][:-2]), "64 bytes"),
        (forge(entry, signature=""), "64 bytes"),
        (forge(entry, signature=entry["signature"] + "="), "not base64url"),
        (forge(entry, protected=encode(b'{"alg":"none"}'), signature=""), "is not ES256"),
        (maker.sign(secure_element(device), alg="HS256"), "is not ES256"),
        (maker.sign(secure_element(device), crit=["exp"]), "extensions that are unknown"),
        (maker.sign(secure_element(device), **nameless), "names no signer"),
        (stranger.signed(device), "signed by another certificate (SHA-256 "),
        (imposter.sign(secure_element(device), **maker.header), "forged or damaged"),
        (maker.sign(secure_element(device), unique_id="other"), "its header says 'other'"),
        (forge(entry, protected=encode(b"[1]")), "no JSON object"),
        (forge(entry, protected=encode(b"[" * 100_000)), "nested too deeply"),
        ({"payload": entry["payload"]}, "is no signed secure element"),
        ("text", "is no signed secure element"),
    ]
    for case, said in cases:
        assert said in problem(read(case)), said


def test_a_signer_without_a_p256_key_is_refused(maker: ManifestSigner, ca: Authority) -> None:
    pem = ca.leaf(key=ec_key(ec.SECP384R1))
    with pytest.raises(ValueError, match="has no P-256 key"):
        Signers.of([load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)])
    assert signers_of(maker)
    assert not Signers.of([])


def test_a_trustflex_element_gives_each_certificate_and_not_their_chains(
    read: Read, maker: ManifestSigner, ca: Authority, device: MadeDevice
) -> None:
    custom = MadeDevice(device.name, ca.leaf())
    chain = (make_devices(ca, 1)[0].x5c,)
    keys = [jwk(device, chain=chain), {"kid": "1", "kty": "EC"}, jwk(custom, slot=2, chain=chain)]
    rows = read(maker.signed(device, publicKeySet={"keys": keys}))
    assert [row.certificate_id for row in rows if isinstance(row, Row)] == [
        device.certificate_id,
        custom.certificate_id,
    ]


def test_the_short_form_gives_a_name_and_no_certificate(read: Read, maker: ManifestSigner, device: MadeDevice) -> None:
    forms: tuple[Any, ...] = (None, {"keys": []})
    for keys in forms:
        (row,) = read(maker.signed(device, publicKeySet=keys))
        assert isinstance(row, Row)
        assert (row.name, row.certificate_id, row.certificate) == (device.name, "", None)


def test_a_signed_element_that_makes_no_sense_is_refused(
    read: Read, maker: ManifestSigner, device: MadeDevice, ca: Authority
) -> None:
    wrong_key = {**jwk(device), "x": encode(b"\1" * 32)}
    cases: list[tuple[Any, str]] = [
        ([], "no uniqueId"),
        ({"uniqueId": 1}, "no uniqueId"),
        ({"uniqueId": "a", "publicKeySet": []}, "no JWK set"),
        ({"uniqueId": "a", "publicKeySet": {"keys": [1]}}, "no JWK set"),
        ({"uniqueId": "a", "publicKeySet": {"keys": [{"x5c": "text"}]}}, "no list of certificates"),
        ({"uniqueId": "a", "publicKeySet": {"keys": [{"x5c": [1]}]}}, "no list of certificates"),
        ({"uniqueId": "a", "publicKeySet": {"keys": [{"x5c": ["*"]}]}}, "not base64"),
        ({"uniqueId": "a", "publicKeySet": {"keys": [{"x5c": ["aGk="]}]}}, "cannot be read"),
        (secure_element(device, publicKeySet={"keys": [jwk(device)] * 17}), "has 17 certificates"),
        (secure_element(device, publicKeySet={"keys": [wrong_key]}), "for another key"),
        (secure_element(MadeDevice("ca", ca.pem)), "is a CA's certificate"),
    ]
    for element, said in cases:
        assert said in problem(read({**maker.sign(element), "header": {}})), said


def test_a_manifest_with_a_private_key_is_refused_as_a_whole(
    read: Read, maker: ManifestSigner, device: MadeDevice
) -> None:
    secret = {**jwk(device), "d": "secretsecret"}
    with_pem = secure_element(device, note="-----BEGIN PRIVATE KEY-----secretsecret")
    for element in (secure_element(device, publicKeySet={"keys": [secret]}), with_pem):
        with pytest.raises(UnusableManifest, match="entry 2 holds a private key") as error:
            read(maker.signed(device), maker.sign(element, unique_id=device.name))
        assert "secretsecret" not in str(error.value)


def test_with_a_signer_no_unsigned_list_is_read(tmp_path: Path, maker: ManifestSigner, device: MadeDevice) -> None:
    manifest = maker.manifest([device])
    mixed = zipped({"a.json": manifest, "b.csv": nordic_csv([device])})
    for content in (nordic_csv([device]).encode(), device.pem.encode(), mixed):
        (tmp_path / "list").write_bytes(content)
        with pytest.raises(UnusableManifest, match="is not signed, and --signer"):
            list(read_files([tmp_path / "list"], signers_of(maker)))
    (tmp_path / "list").write_bytes(zipped({"a.json": manifest}))
    assert [type(one) for one in read_files([tmp_path / "list"], signers_of(maker))] == [Row]
