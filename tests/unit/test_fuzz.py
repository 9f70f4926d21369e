"""Damaged certificates by the thousand: what comes out is an identity or a Reason, whatever went in.

The same mutants every time; `JITR_FUZZ_MUTANTS=1000000` (`make fuzz`) makes as many new ones.
"""

import hashlib
import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from jitr.admission.applicant import Applicant
from jitr.admission.check_list import CHECK_NAMES
from jitr.admission.naming import POLICY_WILDCARDS, THING_NAME
from jitr.errors import Reason
from jitr.rules import CheckMode
from jitr.x509.certificate import Certificate
from tests.support.cases.der import as_pem
from tests.support.cases.issuing import Application, applying
from tests.support.cases.mutation import fuzzed_ca, mutant, shapes

ASKED = os.environ.get("JITR_FUZZ_MUTANTS")
MUTANTS = int(ASKED or 12_000)
# What damage leads to at least; a mutant that is another's, such as KEY_OF_THE_CA, takes more than damage.
REACHED = {
    Reason.UNREADABLE,
    Reason.NOT_ISSUED_BY_CA,
    Reason.NOT_YET_VALID,
    Reason.EXPIRED,
    Reason.LIVES_TOO_LONG,
    Reason.KEY_TYPE_REFUSED,
    Reason.KEY_SIZE_REFUSED,
    Reason.KEY_WEAK,
    Reason.EXTENSIONS_UNREADABLE,
    Reason.IS_A_CA,
    Reason.KEY_USAGE_REFUSED,
    Reason.EXTENDED_KEY_USAGE_REFUSED,
    Reason.CRITICAL_EXTENSION_UNKNOWN,
    Reason.COMMON_NAME_MISSING,
    Reason.COMMON_NAME_AMBIGUOUS,
    Reason.COMMON_NAME_REFUSED,
    Reason.SAN_URI_REFUSED,
    Reason.SUBJECT_UNSAFE,
    Reason.SUBJECT_FIELD_MISSING,
    Reason.NAME_NOT_LEGAL,
}
SEED = secrets.randbits(32) if ASKED else 20261101


def test_a_damaged_certificate_is_named_or_refused_and_nothing_else_happens(
    record_property: Callable[[str, object], None],
) -> None:
    originals = shapes()
    assert len(originals) >= 6
    application = applying(as_pem(originals["P-256, no extensions"]), authority=fuzzed_ca())
    application = application.with_rules(maximum_life=3660 * 86_400, common_name="sensor.[0-9]{4,}|f.*")
    by_uri = application.with_rules(
        common_name=None, san_uri="urn:acme:sensor-[0-9]{4,}", thing_name="{san_uri}", attributes={}
    )
    reached: Counter[str] = Counter()
    read = 0
    for number in range(MUTANTS):
        shape = list(originals)[number % len(originals)]
        der = mutant(originals[shape], random.Random(f"{SEED} {number}"))  # noqa: S311 -- the same damage every time
        asked = by_uri if "URI" in shape and number % 2 else application
        try:
            outcome, readable = judged(der, asked)
        except BaseException:
            print(f"seed {SEED}, mutant {number}, {shape}: {der.hex()}")  # noqa: T201 -- to find it again
            raise
        reached[outcome] += 1
        read += readable

    record_property("fuzz: mutants", MUTANTS)
    record_property("fuzz: read as certificates", read)
    for outcome, count in sorted(reached.items()):
        record_property(f"fuzz: {outcome}", count)
    assert read >= MUTANTS / 5
    assert reached.keys() >= {"admitted", *map(str, REACHED)}


def judged(der: bytes, application: Application) -> tuple[str, bool]:
    """The outcome's name, and whether the certificate could be read; everything else is an error."""
    pem = as_pem(der)
    application = application.with_device(pem=pem, certificate_id=hashlib.sha256(der).hexdigest())
    examination = application.examine()
    early_name = Applicant.of(application.device, application.rules).thing_name
    certificate = examination.certificate
    if certificate:
        # What a decision keeps and tells of it.
        assert json.dumps([certificate.serial, certificate.subject, certificate.issuer], ensure_ascii=False).encode()
    for outcome in examination.outcomes:
        if outcome.refusal:
            assert outcome.refusal.detail.isascii()
            assert outcome.refusal.detail.isprintable()
            assert len(outcome.refusal.detail) < 1000
    if examination.refusal:
        assert not examination.refusal.reason.name.startswith("CA_")
        return examination.refusal.reason.name, certificate is not None
    identity = examination.admit().identity
    assert certificate
    assert THING_NAME.fullmatch(identity.thing_name)
    assert identity.thing_name == early_name
    assert not any(POLICY_WILDCARDS & set(value) for values in certificate.subject_fields.values() for value in values)
    assert truly_signed(certificate)
    # What is only observed is no reason to fall over either.
    observed = application.with_rules(checks=dict.fromkeys(CHECK_NAMES, CheckMode.OBSERVE)).examine()
    assert observed.identity == replace(identity)
    return "admitted", True


def truly_signed(certificate: Certificate) -> bool:
    """Ask cryptography itself, with the CA's key."""
    ca = x509.load_pem_x509_certificate(fuzzed_ca().pem.encode())
    hashed = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[
        certificate.signature.hashes[0]
    ]
    key, encoded = ca.public_key(), certificate.encoded
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(encoded.signature, encoded.tbs, ec.ECDSA(hashed))
    return encoded.tbs in certificate.der
