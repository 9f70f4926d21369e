"""Enrollment: which devices the fleet expects, and what its entries say about each.

An entry speaks of a thing name or of a certificate id. Both are read for every device, and decided on like this:

    1  any entry that denies            ENTRY_DENIES, for good
    2  any entry that cannot be used    ENTRY_UNUSABLE: held, so that nobody gets in by a slip
    3  any entry that allows            in, if every one that names accounts names this one; else OTHER_ACCOUNT
    4  no entry                         the CA's rule: open, listed (NOT_LISTED) or approve (AWAITING_APPROVAL)

An operator's approval of the certificate in this account counts as an entry that allows it, and lifts no denial. Where
both entries give the device something of its own, the certificate's wins, since it speaks of one certificate alone.

Azure DPS takes the most specific entry that there is, so a disabled device entry blocks while its group goes on. Here
every denial blocks: a stolen certificate stays out, whatever its name is allowed.
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
    """What an entry speaks of."""

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
    """What an entry says about its subject."""

    ALLOW = "allow"
    DENY = "deny"
    REMOVED = "removed"  # nothing, any more; who removed it, and why, is kept


@value
class Entry:
    """One entry of the list, with who wrote it, when and why."""

    subject: Subject
    rule: EntryRule
    accounts: tuple[str, ...] = ()  # account ids that the device belongs to; none named: any
    additions: Additions = field(default_factory=Additions)
    may_follow: bool = False  # a new certificate may follow the one that owns the thing name, before its end is near
    problem: str | None = None  # why it cannot be used: written by hand, or by a later version
    by: str = ""  # the caller's ARN
    at: datetime | None = None
    note: str = ""

    @property
    def says(self) -> tuple[object, ...]:
        """All that a decision can depend on, in plain values."""
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
    """Names what these entries say, in whatever order; removed ones say nothing."""
    said = sorted(json.dumps(entry.says) for entry in entries if entry.rule is not EntryRule.REMOVED)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


@value
class Enrollment:
    """All that is known about one device: its entries, and whether an operator approved it here."""

    entries: tuple[Entry, ...] = ()
    account_id: str = ""  # where it wants to come in
    approved: bool = False

    @property
    def digest(self) -> str:
        """Names what the entries say; held decisions carry it, so that they are made again when it changes."""
        return digest(self.entries)

    def refuse_unlisted(self, rules: CaRules) -> None:
        """Let the device in, by its entries or by the CA's rule.

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
            raise Rejected(Reason.ENTRY_UNUSABLE, f"its entries ask for what cannot be given: {problem}")

    def _refuse_elsewhere(self) -> None:
        for entry in self._allowing:
            if entry.accounts and self.account_id not in entry.accounts:
                belongs = " or ".join(entry.accounts)
                raise Rejected(
                    Reason.OTHER_ACCOUNT, f"{entry.subject} belongs to account {belongs}; let it connect there"
                )

    @property
    def additions(self) -> Additions:
        """What the allowing entries give the device, the certificate's over the thing's."""
        from_thing_to_certificate = sorted(
            self._allowing, key=lambda entry: entry.subject.kind is SubjectKind.CERTIFICATE
        )
        return reduce(lambda so_far, entry: entry.additions.over(so_far), from_thing_to_certificate, Additions())

    @property
    def may_follow(self) -> bool:
        """Whether an entry says that a new certificate may follow the one that owns the thing name."""
        return any(entry.may_follow for entry in self._allowing)

    @property
    def _allowing(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.rule is EntryRule.ALLOW)


NO_ENTRIES = Enrollment()
