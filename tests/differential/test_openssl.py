"""jitr beside openssl: each difference is listed with its reason, in both directions.

What `openssl verify -partial_chain -no_check_time` accepts under a CA is read by jitr under that CA, and what it
refuses is not admitted, even where only X.509's own rules are enforced; or listed.py has the reason. So an upgrade of
cryptography cannot change unseen who is admitted. Compared are single oddities, each listed by name in differences.txt;
any two of them; mutants; and the certificates of cryptography-vectors, as they are, and signed by our CA.

The list is of one version of openssl. Under another one the differences of jitr that the list names must still be there
and every other one must have a listed reason; what that openssl answers otherwise is only counted, in the output.

JITR_FUZZ_DIFFERENTIAL=200000 (`make fuzz`) compares as many new pairs and mutants.
"""

import os
import random
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from tests.support.cases.der import der_of
from tests.support.cases.issuing import issue_ca, rsa_key
from tests.support.cases.mutation import fuzzed_ca, mutant, shapes
from tests.support.cases.reencoding import TWIN, reencodings
from tests.support.differential import openssl
from tests.support.differential.compared import Answer, Difference, answer, cures, signature_of, under_our_ca
from tests.support.differential.listed import OPENSSL, REENCODINGS, VECTORS_NOT_READ, reason_not_read
from tests.support.differential.oddities import pairs, singles
from tests.support.differential.openssl import OpenSSL
from tests.support.differential.vectors import vectors

LIST = Path(__file__).with_name("differences.txt")
ASKED = os.environ.get("JITR_FUZZ_DIFFERENTIAL")
MUTANTS = int(ASKED or 4000) // 2
PAIRS = MUTANTS
SEED = secrets.randbits(32) if ASKED else 20261101

Record = Callable[[str, object], None]
Differences = dict[str, tuple[Difference, str]]  # name → how the answers differ, and why


def compared(certificates: Mapping[str, bytes]) -> Differences:
    """The certificates on which jitr and openssl differ; what jitr admits is signed beyond doubt."""
    said = openssl.ask(certificates, fuzzed_ca().pem)
    answers = {name: answer(der) for name, der in certificates.items()}
    for name, mine in answers.items():
        if mine.refusal is None:
            refuse_unsigned(certificates[name])
    differ = {name: mine.beside(said[name]) for name, mine in answers.items()}
    admitted = [name for name, how in differ.items() if how in (Difference.ADMITTED, Difference.ADMITTED_UNREAD)]
    cured = why_admitted({name: certificates[name] for name in admitted})
    return {
        name: (how, cured.get(name) or why_refused(answers[name])) for name, how in differ.items() if how is not None
    }


def refuse_unsigned(der: bytes) -> None:
    """Raise InvalidSignature unless the CA's key made the signature over the very bytes of the signed part."""
    tbs, signature = signature_of(der)
    key = fuzzed_ca().key.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    hashed = Certificate.from_der(der).signature.hashes[0]
    key.verify(signature, tbs, ec.ECDSA({"sha256": hashes.SHA256, "sha384": hashes.SHA384}[hashed]()))


def why_refused(mine: Answer) -> str:
    if mine.is_read:
        assert mine.refusal
        return f"by its rules: {mine.refusal.reason}"
    return reason_not_read(mine.why) or f"NOT LISTED: {mine.why}"


def why_admitted(certificates: Mapping[str, bytes]) -> dict[str, str]:
    """What has to go from each of them before openssl verifies it."""
    said = openssl.ask(
        {f"{name} {some}": der for name, whole in certificates.items() for some, der in cures(whole).items()},
        fuzzed_ca().pem,
    )
    return {
        name: next(
            ("; ".join(some) for some in cures(whole) if said[f"{name} {some}"] is OpenSSL.VERIFIED),
            "NOT LISTED: nothing cures it",
        )
        for name, whole in certificates.items()
    }


def test_every_odd_certificate_differs_from_openssl_as_listed(record_property: Record) -> None:
    found = compared(singles())
    text = "".join(
        f"{how}; {why}\n" + "".join(f"  {name}\n" for name, one in found.items() if one == (how, why))
        for how, why in sorted(set(found.values()))
    )
    if os.environ.get("JITR_WRITE_DIFFERENCES"):
        LIST.write_text(text)
    assert "NOT LISTED" not in text
    if openssl.version().startswith(f"{OPENSSL}."):
        assert text == LIST.read_text()
        return
    listed = [line.strip() for line in LIST.read_text().splitlines() if line.startswith("  ")]
    record_property(f"openssl {openssl.version()}, listed for {OPENSSL}: other answers", len(set(listed) ^ set(found)))
    for how, names in by_difference(LIST.read_text()).items():
        for name in names:
            mine = answer(singles()[name])
            assert (mine.refusal is None) is how.startswith("openssl refuses") or "does not read it, jitr admits" in how


def by_difference(text: str) -> dict[str, list[str]]:
    """The list's names under its headings."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("  "):
            found[next(reversed(found))].append(line.strip())
        else:
            found[line] = []
    return found


def test_two_oddities_at_once_differ_from_openssl_for_listed_reasons_only() -> None:
    dice = random.Random(SEED)  # noqa: S311 -- the same pairs every time
    found = compared(dict(pairs(PAIRS, dice)))
    assert [one for one in found.items() if "NOT LISTED" in one[1][1]] == [], SEED
    assert len(found) > PAIRS / 20


def test_mutants_differ_from_openssl_for_listed_reasons_only() -> None:
    originals = list(shapes().items())
    mutants = {}
    for number in range(MUTANTS):
        shape, der = originals[number % len(originals)]
        dice = random.Random(f"{SEED} {number}")  # noqa: S311 -- the same damage every time
        mutants[f"{number} {shape}"] = mutant(der, dice)
    found = compared(mutants)
    assert [(one, mutants[one[0]].hex()) for one in found.items() if "NOT LISTED" in one[1][1]] == [], SEED
    assert len(found) > MUTANTS / 100


def test_known_odd_certificates_under_our_ca_differ_for_listed_reasons_only() -> None:
    ours = {name: signed for name, der in vectors().items() if (signed := under_our_ca(der))}
    assert len(ours) > 500
    found = compared(ours)
    assert [one for one in found.items() if "NOT LISTED" in one[1][1]] == []
    assert found


def test_what_openssl_loads_of_known_odd_certificates_is_read_or_listed() -> None:
    said = openssl.ask(vectors(), fuzzed_ca().pem)
    unread = {}
    for name, der in vectors().items():
        try:
            Certificate.from_der(der)
        except Rejected as refusal:
            if said[name] is not OpenSSL.UNREAD:
                unread[name] = refusal.detail
    assert unread.keys() == VECTORS_NOT_READ.keys(), unread
    assert len(vectors()) > 500


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_the_reencodings_that_openssl_verifies_are_listed(kind: str) -> None:
    authority = fuzzed_ca() if kind == "ECDSA" else issue_ca(key=rsa_key(owner="ca"))
    der = shapes()["P-256, no extensions"] if kind == "ECDSA" else der_of(authority.leaf())
    key = authority.key.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    others = reencodings(der, key)
    said = openssl.ask(others, authority.pem)
    verified = {name for name, one in said.items() if one is OpenSSL.VERIFIED} - {TWIN}
    if openssl.version().startswith(f"{OPENSSL}."):
        assert verified == set(REENCODINGS)
    for how in verified.union(REENCODINGS):
        with pytest.raises(Rejected):
            Certificate.from_der(others[how])
