"""Properties of admission over certificates that hypothesis makes: every fault is found, and no other."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from jitr.admission.naming import POLICY_WILDCARDS, THING_NAME
from jitr.admission.procedure import ORDER, CheckStatus, Examination
from jitr.errors import Reason
from tests.support.cases.der import (
    BIT_STRING,
    BMP,
    COMMON_NAME,
    IA5,
    OCTET_STRING,
    ORGANIZATIONAL_UNIT,
    PRINTABLE,
    UNIVERSAL,
    UTF8,
    attribute,
    distinguished_name,
    integer,
    issued_with,
)
from tests.support.cases.issuing import DAY, NOW, SECOND, SENSOR, applying, ec_key, factory, named, rsa_key
from tests.support.cases.usage import PRIVATE, key_usage

DIGITAL_SIGNATURE = key_usage("digital_signature", "key_agreement")
ED25519 = ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to make a part of a certificate, and the Reason that it is refused for, if it is."""

    how: dict[str, Any]
    reason: Reason | None = None


def purposes(*oids: x509.ObjectIdentifier) -> dict[str, Any]:
    return {"extensions": [x509.ExtendedKeyUsage(list(oids))]}


# For each check, what satisfies it and what does not.
CHOICES: dict[str, list[Choice]] = {
    "validity": [
        Choice({}),
        Choice({"begins": NOW, "ends": NOW + 30 * DAY}),
        Choice({"begins": NOW + SECOND}, Reason.NOT_YET_VALID),
        Choice({"ends": NOW - SECOND}, Reason.EXPIRED),
        Choice({"ends": NOW + 30 * DAY - SECOND}, Reason.EXPIRES_TOO_SOON),
        Choice({"ends": NOW + 366 * DAY + SECOND}, Reason.LIVES_TOO_LONG),
    ],
    "key": [
        Choice({}),
        Choice({"key": ec_key(ec.SECP384R1)}),
        Choice({"key": rsa_key()}),
        Choice({"key": rsa_key(1024)}, Reason.KEY_SIZE_REFUSED),
        Choice({"key": ec_key(ec.SECP224R1)}, Reason.KEY_TYPE_REFUSED),
        Choice({"key": ED25519}, Reason.KEY_TYPE_REFUSED),
        Choice({"key": factory().key}, Reason.KEY_OF_THE_CA),
    ],
    "signature": [
        Choice({}),
        Choice({"digest": hashes.SHA384()}),
        Choice({"digest": hashes.SHA224()}, Reason.SIGNATURE_ALGORITHM_REFUSED),
    ],
    "extensions": [
        Choice({}),
        Choice({"extensions": [PRIVATE], "critical": [DIGITAL_SIGNATURE]}),
        Choice(purposes(ExtendedKeyUsageOID.CLIENT_AUTH)),
        Choice({"critical": [x509.BasicConstraints(ca=True, path_length=None)]}, Reason.IS_A_CA),
        Choice({"critical": [key_usage("crl_sign")]}, Reason.KEY_USAGE_REFUSED),
        Choice(purposes(ExtendedKeyUsageOID.CODE_SIGNING), Reason.EXTENDED_KEY_USAGE_REFUSED),
        Choice({"critical": [PRIVATE]}, Reason.CRITICAL_EXTENSION_UNKNOWN),
    ],
    "subject": [
        Choice({}),
        Choice({"subject": named("sensor-99999")}),
        Choice({"subject": named("gateway-1")}, Reason.COMMON_NAME_REFUSED),
        Choice({"subject": (*SENSOR, SENSOR[-1])}, Reason.COMMON_NAME_AMBIGUOUS),
        Choice({"subject": (*SENSOR, (NameOID.SURNAME, "$"))}, Reason.SUBJECT_UNSAFE),
    ],
}


@given(st.fixed_dictionaries({check: st.sampled_from(choices) for check, choices in CHOICES.items()}))
@settings(max_examples=300)
def test_every_fault_is_found_by_its_own_check_and_nothing_else_is(chosen: dict[str, Choice]) -> None:
    made: dict[str, Any] = {}
    for choice in chosen.values():
        made |= choice.how
    rules = {"minimum_remaining_life": 30 * 86_400, "maximum_life": 367 * 86_400, "attributes": {}}
    # The common name that is there twice makes no thing name either; that is another check's matter.
    rules["thing_name"] = "{certificate_id}"
    examination = applying(factory().leaf(**made)).with_rules(**rules).examine()

    assert [outcome.check for outcome in examination.outcomes] == list(ORDER)
    found = {outcome.check: outcome.refusal.reason for outcome in examination.outcomes if outcome.refusal}
    assert found == {check: choice.reason for check, choice in chosen.items() if choice.reason}
    first = next((chosen[check].reason for check in CHOICES if chosen[check].reason), None)
    assert (examination.refusal.reason if examination.refusal else None) == first
    assert (examination.identity is None) is bool(found)


SECONDS = st.timedeltas(timedelta(days=-400), timedelta(days=400)).map(lambda span: timedelta(seconds=span // SECOND))


@given(begins=SECONDS, life=SECONDS.map(abs), least=st.integers(0, 10**7), greatest=st.none() | st.integers(1, 10**8))
def test_validity_is_what_its_four_comparisons_say(
    begins: timedelta, life: timedelta, least: int, greatest: int | None
) -> None:
    ends = begins + life
    pem = factory().leaf(begins=NOW + begins, ends=NOW + ends)
    examination = applying(pem).with_rules(minimum_remaining_life=least, maximum_life=greatest).examine()
    expected = {
        Reason.NOT_YET_VALID: begins > timedelta(),
        Reason.EXPIRED: ends < timedelta(),
        Reason.EXPIRES_TOO_SOON: ends.total_seconds() < least,
        Reason.LIVES_TOO_LONG: greatest is not None and life.total_seconds() > greatest,
    }
    assert reason_of(examination, "validity") == next((reason for reason, applies in expected.items() if applies), None)


def encoded(text: str, kind: int) -> bytes:
    match kind:
        case 0x1E:
            return text.encode("utf-16-be", "surrogatepass")
        case 0x1C:
            return text.encode("utf-32-be", "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


texts = st.text(max_size=80) | st.text(st.sampled_from("sensor-0123*$\0\n\x7f\u202eäß٣\U0001f600"), max_size=20)
texts |= st.from_regex(r"sensor-[0-9]{4,6}", fullmatch=True)
kinds = st.sampled_from([UTF8, PRINTABLE, IA5, BMP, UNIVERSAL, OCTET_STRING, BIT_STRING])
common = st.builds(lambda text, kind: attribute(COMMON_NAME, encoded(text, kind), kind=kind), texts, kinds)
units = st.builds(lambda text, kind: attribute(ORGANIZATIONAL_UNIT, encoded(text, kind), kind=kind), texts, kinds)
subjects = st.lists(st.lists(common | units, max_size=3), max_size=4).map(lambda rdns: distinguished_name(*rdns))


@given(
    subject=subjects, serial=st.integers(-(2**170), 2**170), pattern=st.sampled_from(["sensor-[0-9]{4,}", "(?s:.*)"])
)
@settings(max_examples=500)
def test_any_subject_is_named_or_refused(subject: bytes, serial: int, pattern: str) -> None:
    application = issued_with(subject=subject, serial=integer(serial)).with_rules(
        common_name=pattern, attributes={"unit": "{organizational_unit}"}
    )
    examination = application.examine()
    if examination.refusal:
        assert examination.refusal.detail.isascii()
        assert examination.refusal.detail.isprintable()
        return
    identity, certificate = examination.admit().identity, examination.certificate
    assert certificate
    assert THING_NAME.fullmatch(identity.thing_name)
    assert certificate.field_values("common_name") == (identity.thing_name,)
    assert certificate.field_values("organizational_unit") == (identity.attributes["unit"],)
    assert not any(POLICY_WILDCARDS & set(value) for value in identity.attributes.values())
    assert json.dumps(certificate.subject, ensure_ascii=False).encode()
    assert int(certificate.serial, 16) == serial


names = st.one_of(
    st.builds(x509.UniformResourceIdentifier, st.text(st.characters(max_codepoint=127), max_size=30)),
    st.builds(x509.DNSName, st.text(st.characters(max_codepoint=127), max_size=30)),
    st.emails(domains=st.just("example.com")).map(x509.RFC822Name),
    st.ip_addresses().map(x509.IPAddress),
    st.builds(x509.RegisteredID, st.just(x509.ObjectIdentifier("1.2.3"))),
    st.builds(x509.OtherName, st.just(x509.ObjectIdentifier("1.2.3")), st.just(b"\x05\x00")),
    st.from_regex(r"urn:acme:sensor-[0-9]{4}", fullmatch=True).map(x509.UniformResourceIdentifier),
)


@given(st.lists(names, max_size=4))
@settings(max_examples=300)
def test_alternative_names_are_named_or_refused(alternatives: list[x509.GeneralName]) -> None:
    extension = [x509.SubjectAlternativeName(alternatives)] if alternatives else []
    pem = factory().leaf(extensions=extension)
    examination = (
        applying(pem).with_rules(common_name=None, san_uri="urn:.*", thing_name="{san_uri}", attributes={}).examine()
    )
    uris = [entry.value for entry in alternatives if isinstance(entry, x509.UniformResourceIdentifier)]
    if examination.refusal is None:
        assert [examination.admit().identity.thing_name] == uris
    else:
        assert reason_of(examination, "extensions") is None
        assert examination.refusal.reason in (Reason.SAN_URI_REFUSED, Reason.SUBJECT_UNSAFE, Reason.NAME_NOT_LEGAL)


def reason_of(examination: Examination, check: str) -> Reason | None:
    outcome = next(outcome for outcome in examination.outcomes if outcome.check == check)
    assert (outcome.refusal is None) is (outcome.status is CheckStatus.PASS)
    return outcome.refusal.reason if outcome.refusal else None
