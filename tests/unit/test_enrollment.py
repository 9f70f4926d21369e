"""Enrollment: which entry counts, what the CA's rule says where there is none, and what entries give a device."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from jitr.admission.enrollment import NO_ENTRIES, Enrollment, Entry, EntryRule, Subject, SubjectKind, digest
from jitr.admission.naming import MOST_ATTRIBUTES_TYPED, MOST_GROUPS
from jitr.admission.overrides import Additions
from jitr.errors import Reason, Rejected
from jitr.rules import CaRules, EnrollmentRule
from tests.support.cases.issuing import ACCOUNT, NOW, applying
from tests.support.examples import ANN, ID

OTHER_ACCOUNT, THIRD_ACCOUNT = "222222222222", "333333333333"
THING, CERTIFICATE = Subject(SubjectKind.THING, "sensor-0001"), Subject(SubjectKind.CERTIFICATE, ID)
ALLOWED = Entry(subject=THING, rule=EntryRule.ALLOW)
DENIED = Entry(subject=THING, rule=EntryRule.DENY)
REMOVED = Entry(subject=THING, rule=EntryRule.REMOVED, by=ANN, at=NOW)
BROKEN = Entry(subject=THING, rule=EntryRule.ALLOW, problem="it says nothing")


def of_certificate(entry: Entry, **changes: Any) -> Entry:
    return replace(entry, subject=CERTIFICATE, **changes)


def rules(**changes: Any) -> CaRules:
    return replace(applying().ca_rules, **changes)


def verdict(*entries: Entry, approved: bool = False, **changes: Any) -> Reason | None:
    """Why the device is refused here; None when it is let in."""
    try:
        Enrollment(entries=entries, account_id=ACCOUNT, approved=approved).refuse_unlisted(rules(**changes))
    except Rejected as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize(
    ("rule", "unknown", "approved"),
    [
        (EnrollmentRule.OPEN, None, None),
        (EnrollmentRule.LISTED, Reason.NOT_LISTED, None),
        (EnrollmentRule.APPROVE, Reason.AWAITING_APPROVAL, None),
    ],
)
def test_the_cas_rule_decides_on_devices_that_no_entry_speaks_of(
    rule: EnrollmentRule, unknown: Reason | None, approved: Reason | None
) -> None:
    assert verdict(enrollment=rule) is unknown
    assert verdict(REMOVED, enrollment=rule) is unknown
    assert verdict(approved=True, enrollment=rule) is approved


@pytest.mark.parametrize("rule", EnrollmentRule)
def test_an_entry_that_allows_lets_in_under_every_rule(rule: EnrollmentRule) -> None:
    assert verdict(ALLOWED, enrollment=rule) is None
    assert verdict(of_certificate(ALLOWED), enrollment=rule) is None


@pytest.mark.parametrize("rule", EnrollmentRule)
@pytest.mark.parametrize(
    "entries",
    [
        (DENIED,),
        (of_certificate(DENIED),),
        (ALLOWED, of_certificate(DENIED)),
        (DENIED, of_certificate(ALLOWED)),
        (BROKEN, of_certificate(DENIED)),
        (replace(DENIED, accounts=(OTHER_ACCOUNT,)),),
    ],
)
def test_any_entry_that_denies_blocks_for_good_whatever_else_is_said(
    entries: tuple[Entry, ...], rule: EnrollmentRule
) -> None:
    for order in itertools.permutations(entries):
        assert verdict(*order, approved=True, enrollment=rule) is Reason.ENTRY_DENIES
    assert Reason.ENTRY_DENIES.final


def test_an_entry_that_cannot_be_used_holds_the_device_even_beside_one_that_allows() -> None:
    assert verdict(BROKEN) is Reason.ENTRY_UNUSABLE
    assert verdict(of_certificate(ALLOWED), BROKEN) is Reason.ENTRY_UNUSABLE
    assert not Reason.ENTRY_UNUSABLE.final


@pytest.mark.parametrize(
    ("thing", "certificate", "refused"),
    [
        ((ACCOUNT,), (), False),
        ((), (ACCOUNT,), False),
        ((OTHER_ACCOUNT, ACCOUNT), (), False),
        ((OTHER_ACCOUNT,), (), True),
        ((), (OTHER_ACCOUNT,), True),
        ((ACCOUNT,), (OTHER_ACCOUNT,), True),
        ((OTHER_ACCOUNT,), (ACCOUNT,), True),
    ],
)
def test_a_device_comes_in_where_every_entry_that_names_accounts_names_this_one(
    *, thing: tuple[str, ...], certificate: tuple[str, ...], refused: bool
) -> None:
    entries = (replace(ALLOWED, accounts=thing), of_certificate(ALLOWED, accounts=certificate))
    for order in itertools.permutations(entries):
        assert verdict(*order) is (Reason.OTHER_ACCOUNT if refused else None)
        assert verdict(*order, approved=True) is (Reason.OTHER_ACCOUNT if refused else None)


def test_a_device_in_the_wrong_account_is_told_the_right_ones() -> None:
    enrollment = Enrollment(entries=(replace(ALLOWED, accounts=(OTHER_ACCOUNT, THIRD_ACCOUNT)),), account_id=ACCOUNT)
    with pytest.raises(Rejected, match=f"belongs to account {OTHER_ACCOUNT} or {THIRD_ACCOUNT}"):
        enrollment.refuse_unlisted(rules())


def test_where_both_entries_give_something_the_certificates_wins_and_groups_add_up() -> None:
    thing = replace(
        ALLOWED,
        additions=Additions(thing_type="probe", thing_groups=("beta", "lab"), attributes={"site": "Ulm", "row": "1"}),
    )
    certificate = of_certificate(
        ALLOWED, additions=Additions(thing_type="meter", thing_groups=("lab", "new"), attributes={"site": "Bern"})
    )
    for order in itertools.permutations((thing, certificate)):
        assert Enrollment(entries=order).additions == Additions(
            thing_type="meter", thing_groups=("beta", "lab", "new"), attributes={"site": "Bern", "row": "1"}
        )
    assert Enrollment(entries=(thing,)).additions == thing.additions
    assert NO_ENTRIES.additions == Additions()


def test_what_a_denying_or_removed_entry_would_give_is_given_to_nobody() -> None:
    additions = Additions(thing_groups=("beta",))
    entries = (replace(REMOVED, additions=additions, may_follow=True), of_certificate(DENIED, additions=additions))
    assert Enrollment(entries=entries).additions == Additions()
    assert not Enrollment(entries=entries).may_follow


@pytest.mark.parametrize(
    ("additions", "problem"),
    [
        (Additions(thing_type="meter"), "extra_types"),
        (Additions(thing_groups=("beta", "gamma")), "extra_groups"),
        (Additions(attributes={"site": "Bad Ulm"}), "not legal"),
        (Additions(attributes={"a b": "x"}), "not a legal attribute name"),
        (Additions(attributes={"Jitr_certificate": "x"}), "begins with jitr"),
        (Additions(attributes={f"a{n}": "x" for n in range(MOST_ATTRIBUTES_TYPED)}), "50 attributes, the limit is 49"),
    ],
)
def test_entries_cannot_give_what_the_stack_has_not_made_or_aws_iot_does_not_take(
    additions: Additions, problem: str
) -> None:
    with pytest.raises(Rejected, match=problem) as refusal:
        Enrollment(entries=(replace(ALLOWED, additions=additions),)).refuse_unlisted(rules(extra_groups=("beta",)))
    assert refusal.value.reason is Reason.ENTRY_UNUSABLE


def test_entries_can_give_what_the_ca_offers() -> None:
    additions = Additions(
        thing_type="meter", thing_groups=("factory-1", "beta"), attributes={"model": "Mark-3", "site": "Ulm"}
    )
    offered: dict[str, Any] = {"extra_types": ("meter",), "extra_groups": ("beta",)}
    assert verdict(replace(ALLOWED, additions=additions), **offered) is None


def test_a_thing_is_in_no_more_groups_and_has_no_more_attributes_than_aws_iot_allows() -> None:
    groups = tuple(f"group-{n}" for n in range(MOST_GROUPS))
    full = replace(ALLOWED, additions=Additions(thing_groups=groups))
    assert verdict(full, extra_groups=groups) is Reason.ENTRY_UNUSABLE  # with the CA's own
    assert verdict(full, extra_groups=groups, thing_groups=()) is None
    two_more = replace(ALLOWED, additions=Additions(attributes={"a": "1", "b": "2"}))
    assert verdict(two_more, thing_type=None) is Reason.ENTRY_UNUSABLE
    assert verdict(two_more) is None


def test_an_entry_of_either_kind_can_say_that_a_new_certificate_may_follow() -> None:
    assert Enrollment(entries=(replace(ALLOWED, may_follow=True),)).may_follow
    assert Enrollment(entries=(ALLOWED, of_certificate(ALLOWED, may_follow=True))).may_follow
    assert not Enrollment(entries=(ALLOWED,)).may_follow


def test_the_digest_names_what_is_said_and_not_who_said_it_or_in_which_order() -> None:
    entries = (replace(ALLOWED, accounts=(ACCOUNT, OTHER_ACCOUNT)), of_certificate(DENIED))
    again = (of_certificate(DENIED, by=ANN, at=NOW, note="x"), replace(entries[0], accounts=(OTHER_ACCOUNT, ACCOUNT)))
    assert digest(entries) == digest(again)
    assert digest([REMOVED]) == digest([]) == NO_ENTRIES.digest
    different = [
        (),
        (ALLOWED,),
        (DENIED,),
        (of_certificate(ALLOWED),),
        (replace(ALLOWED, accounts=(ACCOUNT,)),),
        (replace(ALLOWED, may_follow=True),),
        (replace(ALLOWED, additions=Additions(thing_type="meter")),),
        (replace(ALLOWED, additions=Additions(thing_groups=("a",))),),
        (replace(ALLOWED, additions=Additions(attributes={"a": "1"})),),
        (BROKEN,),
    ]
    assert len({digest(entries) for entries in different}) == len(different)
