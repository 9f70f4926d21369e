"""Enrollment: decides by the list of expected devices whether a device may come in, and what it gets.

An entry is about a thing name or a certificate id. Both are read for every device:

    1  any entry denies            ENTRY_DENIES, final
    2  any entry is unusable       ENTRY_UNUSABLE: held, so that a mistake in an entry admits no device
    3  any entry allows            admitted, if all entries that name accounts name this one; else OTHER_ACCOUNT
    4  no entry                    the CA's rule: open, listed (NOT_LISTED) or approve (AWAITING_APPROVAL)

An operator's approval of the certificate in this account counts as an entry that allows it; it lifts no denial. If both
entries give the device something, the certificate's entry wins, since it is the more specific one.

In Azure DPS the most specific entry decides. Here every denial blocks: a stolen certificate stays out although its
thing name is allowed.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import reduce

from jitr.admission.overrides import Additions
from jitr.errors import Reason, Rejected
from jitr.frozen import value
from jitr.rules import CaRules, EnrollmentRule


class SubjectKind(StrEnum):
    """What an entry is about."""

    THING = "thing"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """One thing name or one certificate id (lower-case hex)."""

    kind: SubjectKind
    name: str

    def __str__(self) -> str:
        return f"thing name {self.name}" if self.kind is SubjectKind.THING else f"certificate {self.name[:16]}"


class EntryRule(StrEnum):
    """What an entry decides about its subject."""

    ALLOW = "allow"
    DENY = "deny"
    REMOVED = "removed"  # nothing; kept to show who removed it, and why


@value
class Entry:
    """One entry of the list, with its author, time and note."""

    subject: Subject
    rule: EntryRule
    accounts: tuple[str, ...] = ()  # account ids that the device belongs to; empty: any
    additions: Additions = field(default_factory=Additions)
    may_follow: bool = False  # a new certificate may take over the thing name before the old one is near its end
    problem: str | None = None  # why it is unusable: written by hand, or by a later version
    by: str = ""  # the caller's ARN
    at: datetime | None = None
    note: str = ""

    @property
    def content(self) -> tuple[object, ...]:
        """Everything that a decision can depend on, as plain values."""
        return (
            self.subject.kind.value,
            self.subject.name,
            self.rule.value,
            sorted(self.accounts),
            self.additions.thing_type,
            list(self.additions.thing_groups),
            sorted(self.additions.attributes.items()),
            self.may_follow,
            self.problem,
        )


def digest(entries: Iterable[Entry]) -> str:
    """A hash of what these entries say, independent of their order; removed entries do not count."""
    contents = sorted(json.dumps(entry.content) for entry in entries if entry.rule is not EntryRule.REMOVED)
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:16]


@value
class Enrollment:
    """What the list says about one device: its entries, and whether an operator approved it in this account."""

    entries: tuple[Entry, ...] = ()
    account_id: str = ""  # the account that it connects to
    approved: bool = False

    @property
    def digest(self) -> str:
        """A hash of the entries; held decisions carry it, so that a change causes a new evaluation."""
        return digest(self.entries)

    def refuse_unlisted(self, rules: CaRules) -> None:
        """Refuse the device unless its entries, an approval or the CA's rule allow it.

        Raises Rejected (ENTRY_DENIES, ENTRY_UNUSABLE, OTHER_ACCOUNT, NOT_LISTED, AWAITING_APPROVAL).
        """
        self.refuse_denied()
        self._refuse_unusable(rules)
        self._refuse_elsewhere()
        if self._allowing or self.approved:
            return
        match rules.enrollment:
            case EnrollmentRule.LISTED:
                raise Rejected(Reason.NOT_LISTED, f"CA {rules.name} admits listed devices only, and no entry allows it")
            case EnrollmentRule.APPROVE:
                raise Rejected(Reason.AWAITING_APPROVAL, f"CA {rules.name} admits it once an operator approves it")

    def refuse_denied(self) -> None:
        """Refuse the device when any entry denies it.

        Raises Rejected(ENTRY_DENIES).
        """
        for entry in self.entries:
            if entry.rule is EntryRule.DENY:
                raise Rejected(Reason.ENTRY_DENIES, f"the entry of {entry.subject} denies it")

    def _refuse_unusable(self, rules: CaRules) -> None:
        for entry in self.entries:
            if entry.problem:
                raise Rejected(Reason.ENTRY_UNUSABLE, f"the entry of {entry.subject} cannot be used: {entry.problem}")
        if problem := self.additions.problem(rules):
            raise Rejected(Reason.ENTRY_UNUSABLE, f"its entries request what the rules do not offer: {problem}")

    def _refuse_elsewhere(self) -> None:
        for entry in self._allowing:
            if entry.accounts and self.account_id not in entry.accounts:
                belongs = " or ".join(entry.accounts)
                raise Rejected(
                    Reason.OTHER_ACCOUNT, f"{entry.subject} belongs to account {belongs}; let it connect there"
                )

    @property
    def additions(self) -> Additions:
        """What the allowing entries give the device; the certificate's entry wins over the thing's."""
        from_thing_to_certificate = sorted(
            self._allowing, key=lambda entry: entry.subject.kind is SubjectKind.CERTIFICATE
        )
        return reduce(lambda so_far, entry: entry.additions.over(so_far), from_thing_to_certificate, Additions())

    @property
    def may_follow(self) -> bool:
        """Whether an entry allows a new certificate to take over the thing name early."""
        return any(entry.may_follow for entry in self._allowing)

    @property
    def _allowing(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.rule is EntryRule.ALLOW)


NO_ENTRIES = Enrollment()
