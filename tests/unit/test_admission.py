"""Admission: the whole catalogue, what each check's mode does, and that damage is never more than a refusal."""

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from jitr.admission import checks, procedure
from jitr.admission.applicant import Applicant
from jitr.admission.check_list import CHECK_NAMES, CHECKS
from jitr.admission.identity import Identity
from jitr.admission.procedure import ORDER, CheckStatus
from jitr.errors import Reason, Rejected
from jitr.rules import HOOK, CheckMode
from jitr.x509 import library_reader
from jitr.x509.encoding import Encoded
from jitr.x509.parsing import Damaged
from tests.support.cases import factories
from tests.support.cases.catalogue import CASES, Case
from tests.support.cases.der import as_pem, der_of
from tests.support.cases.enrollment import entry_with_everything, listed
from tests.support.cases.issuing import DAY, NOW, SENSOR, Application, applying, factory, named, rsa_key

# What admission cannot find, for it sees neither records nor AWS's answers to provisioning: found by edge tests.
FOUND_ELSEWHERE = {
    Reason.WAS_REVOKED,
    Reason.CA_HAS_TEMPLATE,
    Reason.THING_TAKEN,
    Reason.NOT_A_ROTATION,
    Reason.REPLACEMENT_REFUSED,
    Reason.TARGET_MISSING,
    Reason.LIMIT_EXCEEDED,
    Reason.REQUEST_REFUSED,
    Reason.OPERATOR_VERDICT,
    Reason.HOOK_REFUSED,
    Reason.HOOK_FAILED,
}

# One application for each check that fails it, and it alone.
FAILING: dict[str, Callable[[], Application]] = {
    "identity": lambda: applying().with_device(certificate_id="0" * 64),
    "issuance": lambda: applying().with_ca(active=False),
    "validity": lambda: applying(factory().leaf(ends=NOW - DAY / 2)),
    "key": lambda: applying(factory().leaf(key=rsa_key(1024))),
    "signature": lambda: applying(factory().leaf(digest=hashes.SHA224())),
    "extensions": lambda: applying(factory().leaf(critical=[x509.BasicConstraints(ca=True, path_length=None)])),
    "subject": lambda: applying(factory().leaf(named("gateway-0001"))),
    "revocation": lambda: replace(applying(), revocations=None),
    "enrollment": listed,
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_catalogue(case: Case) -> None:
    application = case.make()
    if case.expected is None:
        assert isinstance(application.admit(), Identity)
    else:
        with pytest.raises(Rejected) as refusal:
            application.admit()
        assert refusal.value.reason is case.expected, f"{case.description} {refusal.value}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_catalogue_holds_where_the_second_reader_reads_everything(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Encoded) -> NoReturn:
        raise Damaged("the library is not asked")

    application = case.make()
    checks._keep_many.cache_clear()
    monkeypatch.setattr(library_reader, "read", refuse)
    examination = application.examine()
    checks._keep_many.cache_clear()
    assert (examination.refusal.reason if examination.refusal else None) is case.expected, case.description
    if examination.certificate:
        assert examination.certificate.was_read_again


def test_the_catalogue_holds_every_reason_of_admission() -> None:
    assert {case.expected for case in CASES} == {None, *Reason} - FOUND_ELSEWHERE


@pytest.mark.parametrize("case", [case for case in CASES if case.expected], ids=str)
def test_a_refusals_detail_is_one_plain_line_without_the_certificate(case: Case) -> None:
    application = case.make()
    with pytest.raises(Rejected) as refusal:
        application.admit()
    detail = refusal.value.detail
    assert detail.isascii()
    assert detail.isprintable()
    assert "BEGIN" not in detail
    assert not any(line in detail for line in application.device.pem.splitlines() if len(line) > 20)


def test_the_page_for_devices_shows_the_commands_that_the_catalogue_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
    assert f"```ini\n{factories.EXTENSIONS}```" in page
    for command in (factories.KEY, factories.REQUEST, factories.WITH_EXTENSIONS):
        assert f"$ openssl {command}\n" in page


def test_an_admitted_device_is_named_by_the_rules_and_its_subject() -> None:
    assert applying().admit() == Identity(
        ca="factory",
        thing_name="sensor-0001",
        thing_type="sensor",
        thing_groups=("factory-1",),
        attributes={"model": "Mark-2"},
        policy="jitr-acme-factory",
    )


def test_what_entries_give_is_merged_into_the_identity_and_wins_over_the_cas_rules() -> None:
    identity = entry_with_everything().admit()
    assert identity == Identity(
        ca="factory",
        thing_name="sensor-0001",
        thing_type="meter",
        thing_groups=("factory-1", "beta"),
        attributes={"model": "Mark-3", "site": "Ulm"},
        policy="jitr-acme-factory",
        may_follow=True,
    )


@pytest.mark.parametrize("mode", [CheckMode.OBSERVE, CheckMode.OFF])
def test_a_device_that_is_let_in_although_its_entries_refuse_it_gets_nothing_of_them(mode: CheckMode) -> None:
    application = entry_with_everything()
    (entry,) = application.enrollment.entries
    elsewhere = application.with_enrollment(replace(entry, accounts=("222222222222",)))
    admitted = elsewhere.with_rules(checks={"enrollment": mode}).admit()
    assert admitted == applying().admit()


def test_the_rules_are_those_of_the_ca_that_aws_names() -> None:
    application = applying()
    assert application.with_rules(name="other", policy="other").admit().ca == "other"


@pytest.mark.parametrize("check", CHECK_NAMES)
def test_an_enforced_check_refuses(check: str) -> None:
    examination = FAILING[check]().examine()
    assert {outcome.check: outcome.status for outcome in examination.outcomes} == {
        **dict.fromkeys(ORDER, CheckStatus.PASS),
        HOOK: CheckStatus.OFF,
        check: CheckStatus.REJECT,
    }
    assert examination.identity is None
    assert examination.would_reject == ()
    with pytest.raises(Rejected):
        examination.admit()


@pytest.mark.parametrize("check", CHECK_NAMES)
def test_an_observed_check_is_reported_and_lets_the_device_in(check: str) -> None:
    application = FAILING[check]()
    refusal = application.examine().refusal
    assert refusal
    examination = application.with_rules(checks={check: CheckMode.OBSERVE}).examine()
    observed = next(outcome for outcome in examination.outcomes if outcome.check == check)
    assert observed.status is CheckStatus.OBSERVE
    assert observed.refusal
    assert examination.would_reject == (observed.refusal.reason,) == (refusal.reason,)
    assert examination.refusal is None
    assert examination.admit().identity == examination.identity


@pytest.mark.parametrize("check", CHECK_NAMES)
def test_a_check_that_is_off_says_nothing(check: str) -> None:
    examination = FAILING[check]().with_rules(checks={check: CheckMode.OFF}).examine()
    assert next(outcome for outcome in examination.outcomes if outcome.check == check).status is CheckStatus.OFF
    assert examination.would_reject == ()
    assert isinstance(examination.admit().identity, Identity)


@pytest.mark.parametrize("check", CHECK_NAMES)
def test_a_check_that_is_off_is_not_run(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not_run(_: object) -> None:
        raise AssertionError

    silent = tuple(replace(one, run=must_not_run) if one.name == check else one for one in CHECKS)
    monkeypatch.setattr(procedure, "CHECKS", silent)
    assert isinstance(applying().with_rules(checks={check: CheckMode.OFF}).admit(), Identity)


@pytest.mark.parametrize("mode", [CheckMode.OBSERVE, CheckMode.OFF])
@pytest.mark.parametrize(
    ("reason", "application"),
    [
        (Reason.CA_UNKNOWN, lambda: applying().with_device(ca_certificate_id="f" * 64)),
        (Reason.UNREADABLE, lambda: applying("damaged")),
        (Reason.NAME_NOT_LEGAL, lambda: applying(factory().leaf(named("sensor 1"))).with_rules(common_name=".*")),
    ],
)
def test_the_ca_the_reading_and_the_names_cannot_be_switched_off(
    mode: CheckMode, reason: Reason, application: Callable[[], Application]
) -> None:
    made = application()
    with pytest.raises(Rejected) as refusal:
        made.with_rules(checks=dict.fromkeys([*CHECK_NAMES, "ca", "names"], mode)).admit()
    assert refusal.value.reason is reason


def test_the_docstring_lists_the_checks_in_their_order() -> None:
    listed = re.findall(r"^ {3,}(?:\d+ +)?([a-z_]+) ", procedure.__doc__ or "", re.MULTILINE)
    assert [name for name in listed if name in ORDER] == list(ORDER[1:])


def test_every_check_is_reported_also_after_a_failure() -> None:
    ca_true = x509.BasicConstraints(ca=True, path_length=None)
    pem = factory().leaf(
        (SENSOR[0],), key=rsa_key(1024), ends=NOW - DAY / 2, critical=[ca_true], digest=hashes.SHA224()
    )
    application = applying(pem).with_device(certificate_id="0" * 64).with_ca(active=False)
    examination = application.examine()
    assert [(outcome.check, outcome.refusal and outcome.refusal.reason) for outcome in examination.outcomes] == [
        ("ca", None),
        ("identity", Reason.FINGERPRINT_MISMATCH),
        ("issuance", Reason.CA_INACTIVE),
        ("validity", Reason.EXPIRED),
        ("key", Reason.KEY_SIZE_REFUSED),
        ("signature", Reason.SIGNATURE_ALGORITHM_REFUSED),
        ("extensions", Reason.IS_A_CA),
        ("subject", Reason.COMMON_NAME_MISSING),
        ("names", Reason.SUBJECT_FIELD_MISSING),
        ("revocation", None),
        ("enrollment", None),
        ("hook", None),
    ]
    assert examination.refusal
    assert examination.refusal.reason is Reason.FINGERPRINT_MISMATCH


def test_the_first_enforced_failure_is_the_answer_and_the_observed_ones_are_noted() -> None:
    pem = factory().leaf(named("gateway-1"), key=rsa_key(1024), ends=NOW - DAY / 2)
    modes = {"validity": CheckMode.OBSERVE, "key": CheckMode.OFF}
    examination = applying(pem).with_rules(checks=modes).examine()
    assert examination.refusal
    assert examination.refusal.reason is Reason.COMMON_NAME_REFUSED
    assert examination.would_reject == (Reason.EXPIRED,)


def test_an_admitted_device_passes_every_check() -> None:
    examination = applying().examine()
    assert [(outcome.check, outcome.status) for outcome in examination.outcomes] == [
        (check, CheckStatus.PASS if check != HOOK else CheckStatus.OFF) for check in ORDER
    ]
    assert examination.certificate


@pytest.mark.parametrize(
    ("modes", "verdict"), [({}, CheckStatus.NOT_EVALUATED), ({HOOK: CheckMode.OFF}, CheckStatus.OFF)], ids=repr
)
def test_what_the_hook_says_is_not_known_here(modes: dict[str, CheckMode], verdict: CheckStatus) -> None:
    examination = applying().with_rules(hook="arn:aws:lambda:…", checks=modes).examine()
    assert (examination.outcomes[-1].check, examination.outcomes[-1].status) == (HOOK, verdict)
    assert examination.admit().identity.thing_name == "sensor-0001"


@pytest.mark.parametrize(
    ("application", "first"),
    [(applying("damaged"), "identity"), (applying().with_device(ca_certificate_id=None), "ca")],
)
def test_what_cannot_be_evaluated_is_said_to_be_so(application: Application, first: str) -> None:
    examination = application.examine()
    assert examination.certificate is None
    failed = ORDER.index(first)
    assert [(outcome.check, outcome.status) for outcome in examination.outcomes] == [
        *((check, CheckStatus.PASS) for check in ORDER[:failed]),
        (first, CheckStatus.REJECT),
        *((check, CheckStatus.NOT_EVALUATED) for check in ORDER[failed + 1 :]),
    ]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_thing_name_is_known_before_admission_if_there_is_one(case: Case) -> None:
    application = case.make()
    examination = application.examine()
    names = next(outcome for outcome in examination.outcomes if outcome.check == "names")
    early = Applicant.of(application.device, application.rules).thing_name
    if examination.identity:
        assert early == examination.identity.thing_name
    assert early is not None or names.status is not CheckStatus.PASS


def single_bit_flips(der: bytes) -> Iterator[bytes]:
    for position in range(len(der)):
        for bit in range(8):
            yield der[:position] + bytes([der[position] ^ 1 << bit]) + der[position + 1 :]


def wilder_damage(der: bytes, count: int) -> Iterator[bytes]:
    dice = random.Random(20261101)  # noqa: S311 -- the same damage every time
    for _ in range(count):
        damaged = bytearray(der)
        for _ in range(dice.randint(1, 6)):
            position = dice.randrange(len(damaged))
            match dice.randrange(4):
                case 0:
                    damaged[position] ^= 1 << dice.randrange(8)
                case 1:
                    damaged[position] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
                case 2:
                    del damaged[position : position + dice.randint(1, 3)]
                case _:
                    damaged[position:position] = dice.randbytes(dice.randint(1, 3))
        if damaged != der:
            yield bytes(damaged)


def signed_part(der: bytes) -> bytes:
    """What the CA signed. Of the rest, an encoding or the other ECDSA signature can differ, and so the id."""
    return x509.load_der_x509_certificate(der).tbs_certificate_bytes


def refusal_of(application: Application) -> Rejected | None:
    """Nothing but Rejected may come out; the examination says the same as the admission."""
    refusal = application.examine().refusal
    try:
        application.admit()
        admitted = True
    except Rejected:
        admitted = False
    assert admitted is (refusal is None)
    return refusal


# cryptography warns, besides raising, of fields of unusual length.
@pytest.mark.filterwarnings("ignore::UserWarning:cryptography", "ignore::UserWarning:jitr")
def test_a_damaged_certificate_is_refused_unless_all_that_was_signed_is_whole() -> None:
    extensions = [x509.BasicConstraints(ca=False, path_length=None), x509.SubjectAlternativeName([x509.DNSName("a")])]
    plain, extended = (der_of(factory().leaf(extensions=some)) for some in ((), extensions))
    application = applying()
    reasons = set()
    for der in (*single_bit_flips(plain), *wilder_damage(plain, 1000), *wilder_damage(extended, 2000)):
        damaged = application.with_device(pem=as_pem(der), certificate_id=hashlib.sha256(der).hexdigest())
        refusal = refusal_of(damaged)
        if refusal is None:
            assert signed_part(der) in (signed_part(plain), signed_part(extended)), der.hex()
        else:
            reasons.add(refusal.reason)
    assert {Reason.UNREADABLE, Reason.NOT_ISSUED_BY_CA} <= reasons


@pytest.mark.filterwarnings("ignore::UserWarning:cryptography", "ignore::UserWarning:jitr")
def test_a_damaged_version_1_certificate_is_refused_unless_all_that_was_signed_is_whole() -> None:
    application = next(case for case in CASES if case.name == "version_1_by_the_article").make()
    for der in wilder_damage(der_of(application.device.pem), 1000):
        damaged = application.with_device(pem=as_pem(der), certificate_id=hashlib.sha256(der).hexdigest())
        assert refusal_of(damaged) or signed_part(der) == signed_part(der_of(application.device.pem)), der.hex()


@pytest.mark.filterwarnings("ignore::UserWarning:cryptography", "ignore::UserWarning:jitr")
def test_a_damaged_ca_is_another_ca() -> None:
    application = applying()
    for der in wilder_damage(der_of(factory().pem), 500):
        refusal = refusal_of(application.with_ca(pem=as_pem(der)))
        assert refusal, der.hex()
        assert refusal.reason is Reason.CA_DIFFERS


@pytest.mark.filterwarnings("ignore::UserWarning:cryptography", "ignore::UserWarning:jitr")
def test_a_device_that_all_checks_let_pass_is_refused_or_named_but_nothing_else_happens() -> None:
    application = applying().with_rules(checks=dict.fromkeys(CHECK_NAMES, CheckMode.OBSERVE), common_name=".*")
    for der in single_bit_flips(der_of(factory().leaf())):
        refusal_of(application.with_device(pem=as_pem(der)))
