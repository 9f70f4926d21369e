"""Plans a CA's rotation and retires the old CA: finds the devices that depend on it, and the obstacles.

The fleet file says which CA succeeds which (`succeeds`). A CA's rotation has three parts: the successor is registered
beside the old CA in every account that has it; the makers issue from the successor, and each device rotates to its next
certificate; when no device depends on the old CA any more, it is retired.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitr.decisions import Outcome
from jitr.errors import CertificateUnknown
from jitr.iot_models import Status
from jitr.rules import is_source
from jitr_fleet.choices import RegisteredBy
from jitrctl.ca import registry
from jitrctl.errors import Refused, Unusable
from jitrctl.session.stage import known_ca

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from jitr.aws.certificate_pages import Page
    from jitr.iot_models import ListedCertificate
    from jitr.record import Record
    from jitr_fleet.model import Ca, Fleet, Origin
    from jitrctl.ca.plan import FoundCa
    from jitrctl.session.stage import Stage

_BATCH = 100  # BatchGetItem's most
_LIVE = (Status.ACTIVE, Status.PENDING_ACTIVATION)
_MOST_DESCRIBED = 250  # 30 s of the account's DescribeCertificate quota
# If the CA were removed from the file at once, the stack would delete its topic rule, and first connections were lost.
_LET_GO = (
    'the stack registers it: say registered_by = "jitrctl" in this account, deploy, so that the stack lets go of it, '
    "and run this again"
)
_NAMED = 5  # devices named in a refusal; --json has them all


@dataclass(frozen=True, slots=True)
class Succession:
    """A CA of the fleet and its successor."""

    old: Ca
    new: Ca


def successions(fleet: Fleet, names: Sequence[str]) -> tuple[Succession, ...]:
    """The successions of the old CAs with these names; without names, all.

    Raises Unusable when there is none, or a name is unknown.
    """
    for name in names:
        known_ca(fleet, name)
    by_id = {ca.certificate_id: ca for ca in fleet.cas}
    found = [Succession(by_id[ca.succeeds], ca) for ca in fleet.cas if ca.succeeds in by_id]
    chosen = tuple(one for one in found if not names or one.old.name in names)
    if not chosen:
        whom = " or ".join(names) if names else "another"
        raise Unusable(
            f"no CA of {fleet.path} succeeds {whom}: describe the new CA there, with succeeds = "
            f'"{names[0] if names else fleet.cas[0].name}", give it to the accounts, and deploy'
        )
    return chosen


def has_ca(stage: Stage, ca: Ca) -> bool:
    """Whether the fleet file gives a CA to the stage's account."""
    return any(one.ca.name == ca.name for one in stage.account.cas)


def not_given(stage: Stage, succession: Succession) -> str:
    """The obstacle when the fleet file gives the account only the old CA."""
    return (
        f"the fleet file gives this account {succession.old.name}, and not {succession.new.name}: add "
        f"ca.{succession.new.name} to [account.{stage.account.name}], and deploy its stack"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A certificate under a CA that is ACTIVE, or pending; INACTIVE, if these were asked for."""

    certificate_id: str
    status: Status
    thing_name: str | None  # that it has, or requests
    followed_by: str | None  # id of the successor: the sweep retires this one after the overlap

    def __str__(self) -> str:
        text = f"{self.thing_name or 'a certificate'} ({self.certificate_id} {self.status}"
        return f"{text}, followed by {self.followed_by})" if self.followed_by else f"{text})"


@dataclass(slots=True, kw_only=True)
class Dependents:
    """The certificates that depend on a CA in a stage."""

    found: list[Dependent] = field(default_factory=list)
    unknown: int = 0  # live certificates of the account whose CA is not known


def dependents(stage: Stage, ca: Origin, *, with_inactive: bool = False) -> Dependents:
    """The certificates under a CA, or of a source, that are ACTIVE, or pending and not refused; newest first.

    First those that AWS lists under the CA. Then, of all others in the account, those whose record names the CA; or,
    without such a record, those that it signed: of these at most _MOST_DESCRIBED are described. A source's certificates
    are those whose record names it.

    `with_inactive` also those that are INACTIVE; without a record, only if AWS lists them under the CA.

    Raises Unavailable, botocore's errors.
    """
    depending, listed, described = Dependents(), set[str](), 0
    wanted = (*_LIVE, Status.INACTIVE) if with_inactive else _LIVE
    is_of_source = is_source(ca.certificate_id)
    under_ca = iter(()) if is_of_source else stage.paced_iot.certificates_of(ca.certificate_id)
    for some, records in _read(stage, under_ca, wanted):
        listed.update(one.certificate_id for one in some)
        depending.found += _select_dependents(some, records)
    for some, records in _read(stage, stage.paced_iot.certificates(), wanted, without=listed):
        named = {one.certificate_id: _recorded_ca(records.get(one.certificate_id)) for one in some}
        for one in some:
            is_asked = not is_of_source and described < _MOST_DESCRIBED
            if is_asked and named[one.certificate_id] is None and one.status in _LIVE:
                described += 1
                named[one.certificate_id] = _signer(stage, one.certificate_id, ca)
        if not is_of_source:
            depending.unknown += sum(named[one.certificate_id] is None for one in some if one.status in _LIVE)
        its_own = [one for one in some if named[one.certificate_id] == ca.certificate_id]
        depending.found += _select_dependents(its_own, records)
    return depending


def _read(
    stage: Stage, pages: Iterator[Page], wanted: Collection[Status], *, without: Collection[str] = ()
) -> Iterator[tuple[list[ListedCertificate], dict[str, Record]]]:
    """The certificates of these pages that have one of these statuses, with their records, in batches."""
    for page in pages:
        chosen = [one for one in page.certificates if one.status in wanted and one.certificate_id not in without]
        for start in range(0, len(chosen), _BATCH):
            some = chosen[start : start + _BATCH]
            yield some, _records(stage, some)


def _select_dependents(some: Sequence[ListedCertificate], records: Mapping[str, Record]) -> Iterator[Dependent]:
    for one in some:
        record = records.get(one.certificate_id)
        if not _was_rejected(one, record):
            yield _dependent(one, record)


def _recorded_ca(record: Record | None) -> str | None:
    return record.ca_certificate_id if record else None


def _signer(stage: Stage, certificate_id: str, ca: Origin) -> str:
    """The id of the CA that AWS names, or that signed the certificate; empty for another's CA or a deleted certificate.

    If several CAs have the key, it is `ca` when that is among them: the device may depend on it.
    """
    try:
        device = stage.paced_iot.describe(certificate_id)
    except CertificateUnknown:
        return ""
    return ca.certificate_id if ca.certificate_id in device.possible_cas else device.ca_certificate_id or ""


def _records(stage: Stage, listed: Sequence[ListedCertificate]) -> dict[str, Record]:
    """The records of these; empty when there is no stack."""
    try:
        return stage.registry.recall(one.certificate_id for one in listed)
    except stage.dynamodb.exceptions.ResourceNotFoundException:
        return {}


def _was_rejected(listed: ListedCertificate, record: Record | None) -> bool:
    """Whether a pending certificate was rejected and left pending (`on_reject = "leave"`)."""
    return (
        listed.status is Status.PENDING_ACTIVATION
        and record is not None
        and record.decision is not None
        and record.decision.outcome is Outcome.REJECTED
    )


def _dependent(listed: ListedCertificate, record: Record | None) -> Dependent:
    decision = record.decision if record else None
    return Dependent(
        certificate_id=listed.certificate_id,
        status=listed.status,
        thing_name=(decision.thing_name or decision.requested_name) if decision else None,
        followed_by=record.replaced_by if record else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaRetirement:
    """A CA to retire in one stage: how it is registered, and what depends on it."""

    ca: Ca
    found: FoundCa | None
    dependents: tuple[Dependent, ...]
    unknown: int = 0  # live certificates whose CA is not known
    by_stack: bool = False  # the stage's stack registers it

    @property
    def obstacle(self) -> str | None:
        """Why it must not be retired yet; None when it may."""
        name = self.ca.name
        if self.found is None:
            return None
        if not self.dependents:
            return _LET_GO if self.by_stack else None
        many = len(self.dependents)
        named = ", ".join(map(str, self.dependents[:_NAMED])) + (f" and {many - _NAMED} more" if many > _NAMED else "")
        return (
            f"{many} live device{'s depend' if many > 1 else ' depends'} on {name}: {named}; wait until they have "
            "rotated, or end those that will not: `jitrctl device retire | deactivate | deny`"
        )

    def steps(self, *, delete: bool) -> tuple[str, ...]:
        """The steps, in words."""
        if self.found is None:
            return ()
        return (
            *(("disable auto-registration",) if self.found.registers_automatically else ()),
            *(("set it INACTIVE",) if self.found.active else ()),
            *(("delete it",) if delete else ()),
        )


def inspect_retirement(stage: Stage, ca: Ca) -> CaRetirement:
    """Read how a CA is registered in a stage, with every device that depends on it.

    Raises Unavailable, botocore's errors.
    """
    found = registry.find(stage, ca)
    by_stack = any(one.ca.name == ca.name and one.registered_by is RegisteredBy.STACK for one in stage.account.cas)
    who = dependents(stage, ca) if found else Dependents()
    return CaRetirement(ca=ca, found=found, dependents=tuple(who.found), unknown=who.unknown, by_stack=by_stack)


def retire(stage: Stage, one: CaRetirement, *, delete: bool) -> None:
    """Retire a CA in a stage: disable auto-registration, check for new devices, set it INACTIVE, delete it if wanted.

    Steps that are done already are skipped, so an interrupted retirement can be repeated.

    Raises Refused when a device was registered meanwhile; auto-registration is then enabled again. Unavailable,
    botocore's errors.
    """
    ca = one.ca
    if one.found is None:
        return
    if one.found.registers_automatically:
        registry.set_auto_registration(stage, ca, on=False)
        if late := dependents(stage, ca).found:
            registry.set_auto_registration(stage, ca, on=True)
            raise Refused(f"a device has come meanwhile, {late[0]}: {ca.name} was left as it is")
    if one.found.active:
        registry.deactivate(stage, ca)
    if delete:
        registry.delete(stage, ca)
