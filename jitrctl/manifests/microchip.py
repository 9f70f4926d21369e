"""Reads Microchip's signed manifests: Trust&GO, TrustFLEX, TrustMANAGER and TrustCUSTOM, full and short form.

    [ {"payload": BASE64URL(SecureElement), "protected": BASE64URL(header), "header": {"uniqueId": …},
       "signature": BASE64URL(r ‖ s)}, … ]

A JSON list of JWS in flattened serialization (RFC 7515 §7.2.2), one for each secure element. The signed SecureElement
has `uniqueId` and, in the full form, `publicKeySet.keys[].x5c`: the certificate of each key, its chain behind it. An
element may have several certificates (TrustFLEX: one for each key that has one), or none.

Source: "Trust Platform Manifest File Full Format", onlinedocs.microchip.com GUID-C2CECEBC-9CC3-4DF3-86E5-E3A1DA2E4997
(§2.3 to 2.8 and the example in §3.1), and the short form without keys, GUID-9F097BAC-9E1F-4D87-B47D-D1BD2002786C.

Only what is signed is read. The certificates that verify it come from the operator (--signer), never from the manifest.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from jitrctl.manifests import jws
from jitrctl.manifests.certificates import read_device
from jitrctl.manifests.json_entries import read_entries
from jitrctl.manifests.records import PROBLEM
from jitrctl.manifests.rows import BadRow, Item, Origin, Row, private_key, refuse_private_key, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from jitrctl.manifests.jws import Signers

_PARTS = ("payload", "protected", "signature")
_MOST_CERTIFICATES = 16  # of one element; its chip has 16 slots
_COORDINATE = 32  # bytes, P-256
_SECRETS = ("d", "p", "q", "dp", "dq", "qi", "k")  # members of a JWK that is not public (RFC 7518 §6.2.2, §6.3.2, §6.4)


@dataclass(frozen=True, slots=True)
class JsonLayout:
    """Refused entries as a manifest, each unchanged but for an unsigned member with its problem."""

    prefix: str = "[\n"
    separator: str = ",\n"
    suffix: str = "\n]\n"

    def row(self, raw: str, problem: str) -> str:
        entry = json.loads(raw)
        members = entry if isinstance(entry, dict) else {"entry": entry}
        return json.dumps({**members, PROBLEM: problem})


def read(content: BinaryIO, file: str, signers: Signers) -> Iterator[Item]:
    """The certificates of a manifest, one row for each; a device's name is its secure element's uniqueId.

    An element without a certificate is a row with a name alone. Signatures are verified where `signers` has any.

    Raises UnusableManifest.
    """
    for number, (entry, raw) in enumerate(read_entries(content, file), start=1):
        origin = Origin(file=file, unit="entry", number=number, raw=raw, layout=JsonLayout())
        refuse_private_key(raw, str(origin))
        try:
            yield from _rows(origin, _signed(entry, str(origin), signers), is_unverified=not signers)
        except BadRow as error:
            yield origin.refuse(str(error))


def _signed(entry: object, place: str, signers: Signers) -> Mapping[str, Any]:
    """The SecureElement of an entry.

    Raises BadRow; UnusableManifest when it holds a private key.
    """
    if not isinstance(entry, dict) or not all(isinstance(entry.get(part), str) for part in _PARTS):
        raise BadRow(f"is no signed secure element: it has {', '.join(_PARTS)}, each a text")
    if signers:
        jws.verify(entry["protected"], entry["payload"], entry["signature"], signers)
    payload = jws.decode(entry["payload"])
    refuse_private_key(payload.decode("latin-1"), place)
    element = jws.read_json(payload, "its payload")
    if not isinstance(element, dict) or not isinstance(element.get("uniqueId"), str):
        raise BadRow("its payload has no uniqueId")
    header = entry.get("header")
    outside = header.get("uniqueId") if isinstance(header, dict) else None
    if outside is not None and outside != element["uniqueId"]:
        raise BadRow(f"is signed for {show(element['uniqueId'])}, and its header says {show(str(outside))}")
    if any(secret in key for key in _keys(element) for secret in _SECRETS):
        raise private_key(place)
    return element


def _rows(origin: Origin, element: Mapping[str, Any], *, is_unverified: bool) -> list[Row]:
    """Raises BadRow; then no row of the element is used."""
    name = element["uniqueId"]
    keys = [key for key in _keys(element) if key.get("x5c")]
    if len(keys) > _MOST_CERTIFICATES:
        raise BadRow(f"has {len(keys)} certificates, and a secure element at most {_MOST_CERTIFICATES}")
    rows = []
    for key in keys:
        der = _der(key["x5c"])
        certificate = read_device(der)
        if _is_of_another_key(key, certificate.public_key):
            raise BadRow("its certificate is for another key than the one that it stands with")
        rows.append(
            Row(
                origin=origin,
                certificate_id=certificate.fingerprint,
                certificate=der,
                name=name,
                is_unverified=is_unverified,
            )
        )
    return rows or [Row(origin=origin, name=name, is_unverified=is_unverified)]


def _keys(element: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The element's public keys; raises BadRow."""
    key_set = element.get("publicKeySet", {})
    keys = key_set.get("keys", []) if isinstance(key_set, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise BadRow("its publicKeySet is no JWK set")
    return keys


def _der(chain: object) -> bytes:
    """The certificate of a key: the first of its x5c, in base64 (RFC 7517 §4.7); raises BadRow."""
    if not isinstance(chain, list) or not all(isinstance(one, str) for one in chain):
        raise BadRow("its x5c is no list of certificates")
    try:
        return binascii.a2b_base64("".join(chain[0].split()), strict_mode=True)
    except ValueError as error:
        raise BadRow("its x5c is not base64") from error


def _is_of_another_key(key: Mapping[str, Any], public: object) -> bool:
    """Whether a JWK of P-256 has other coordinates than the certificate beside it."""
    if not isinstance(public, EllipticCurvePublicKey) or key.get("crv") != "P-256":
        return False
    numbers = public.public_numbers()
    own = [
        jws.encode(one.to_bytes(_COORDINATE)) for one in (numbers.x, numbers.y) if one.bit_length() <= 8 * _COORDINATE
    ]
    return own != [key.get("x"), key.get("y")]
