"""The local AWS's own copies: a CA like one whose key is not here, and a document as TOML."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from jitr_fleet.parse import load
from jitrctl.localaws import ca_shape
from jitrctl.localaws.toml_text import write_toml
from tests.support.fleet.drafts import Draft, Issuer

if TYPE_CHECKING:
    from pathlib import Path

_PEM = serialization.Encoding.PEM
_KEY_IDS = (x509.SubjectKeyIdentifier.oid, x509.AuthorityKeyIdentifier.oid)
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def test_a_throw_away_ca_has_the_shape_of_the_real_one(tmp_path: Path) -> None:
    """An intermediate with a key of 3072 bits and five extensions."""
    root, key = Issuer("Root"), rsa.generate_private_key(65537, 3072)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.KeyUsage(**dict.fromkeys(_USAGES, False) | {"key_cert_sign": True}), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string("CN=Devices 2,OU=Plant 7,O=Bolt AG,C=DE"))
        .issuer_name(root.name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2035, 1, 1, tzinfo=UTC))
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    draft = Draft(tmp_path, root)
    draft.write("factory.pem", builder.sign(root.key, hashes.SHA384()).public_bytes(_PEM))
    draft.replace(', verification_certificate = "dev.pem"', "")
    draft.path.write_text(draft.text.replace("DEFAULT", "SNI_ONLY"), encoding="utf-8")
    (real,) = load(draft.path).cas

    made = ca_shape.create_like(real, tmp_path / "ca")

    copy, original = (x509.load_pem_x509_certificate(pem.encode()) for pem in (made.pem, real.certificate_pem))
    for what in ("subject", "issuer", "version", "not_valid_before_utc", "not_valid_after_utc"):
        assert getattr(copy, what) == getattr(original, what), what
    assert [(one.oid, one.critical) for one in copy.extensions] == [
        (one.oid, one.critical) for one in original.extensions
    ]
    copied, kept = (
        {one.oid: one.value for one in each.extensions if one.oid not in _KEY_IDS} for each in (copy, original)
    )
    assert copied == kept
    assert isinstance(copy.signature_hash_algorithm, hashes.SHA384)
    public = copy.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 3072
    assert public.public_numbers() != key.public_key().public_numbers()
    identifier = copy.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(public)
    authority = copy.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier != identifier.key_identifier  # another key has signed it


@pytest.mark.parametrize(
    "document",
    [
        {"a": {"text": 'quote " back \\ tab \t line \n del \x7f ü', "flag": True, "list": [1, 2.5, "x", []]}},
        {"a": {"b": {"c": {"d-e": "1", "with space": {}}}, "f": {"g": 1}}, "empty": {}},
        {"a": {"mixed": {"x": 1}, "scalar": False}, "b": {"ü": {"x": 1}}},
    ],
)
def test_what_is_written_as_toml_is_read_again_as_the_same(document: dict[str, Any]) -> None:
    assert tomllib.loads(write_toml(document)) == document
