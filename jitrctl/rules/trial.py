"""Compares the fleet file's rules with the deployed ones: which registered certificates would be decided differently.

A sample of the registered certificates is evaluated under both, with the functions' own code, each as of its
registration time. What is not in the rules is left out: CRLs, enrollment entries, hooks.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from jitr.admission.applicant import Applicant
from jitr.admission.check_list import UNREAD_OFFLINE
from jitr.admission.identity import Identity
from jitr.admission.procedure import examine
from jitr.aws.certificate_pages import MOST_ON_PAGE
from jitr.errors import Basis, CertificateUnknown, Reason, Rejected
from jitr.iot_models import Status
from jitrctl.clock import now
from jitrctl.rules.deployed import NotReadable, read_deployed_rules
from jitrctl.verify import as_declared, empty_crl, without_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from jitr.aws.iot import AwsIot
    from jitr.iot_models import DeviceRegistration
    from jitr.rules import Rules
    from jitr_fleet.model import Ca, CaDeployment
    from jitrctl.session.stage import Stage

ADMITTED = "admitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionChange:
    """A certificate on which the fleet file decides differently."""

    ca: str
    certificate_id: str
    status: Status
    before: str  # "admitted", or the reason
    after: str
    detail: str  # the reason's detail, or what of the identity changes
    is_refused: bool  # admitted before, refused after, for a reason that rests on the rules

    @property
    def breaks(self) -> bool:
        """Whether an ACTIVE device would be refused."""
        return self.is_refused and self.status is Status.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The result in one stage."""

    looked_at: Counter[str]  # certificates, by CA
    changes: tuple[DecisionChange, ...]
    unlisted: tuple[str, ...]  # CAs without a list in AWS: their devices were sampled from the whole account
    unread: str | None  # why the deployed rules could not be read; ACTIVE then counts as admitted


def try_rules(stage: Stage, cas: Sequence[CaDeployment], sample: int) -> Trial:
    """Evaluate a sample of each CA's certificates under the deployed rules and under the fleet file.

    Raises Unavailable, botocore's errors.
    """
    deployed, unread = None, None
    try:
        deployed = read_deployed_rules(stage)
    except NotReadable as error:
        unread = str(error)
    looked_at: Counter[str] = Counter()
    changes = []
    unlisted = []
    for ca, devices, is_listed in _devices(stage, [one.ca for one in cas], sample):
        unlisted += [ca.name] if devices and not is_listed else []
        for device in devices:
            looked_at[ca.name] += 1
            if change := compare(device, ca.name, deployed, stage.rules):
                changes.append(change)
    return Trial(looked_at=looked_at, changes=tuple(changes), unread=unread, unlisted=tuple(unlisted))


def _devices(stage: Stage, cas: Sequence[Ca], sample: int) -> Iterator[tuple[Ca, list[DeviceRegistration], bool]]:
    """A sample of each CA's devices, and whether AWS lists them under it; else they are of a sample of the account."""
    listed = [
        sample_ids(partial(stage.iot.list_certificates_by_ca, caCertificateId=ca.certificate_id), sample) for ca in cas
    ]
    known = {one for chosen in listed for one in chosen}
    others: list[DeviceRegistration] | None = None
    for ca, chosen in zip(cas, listed, strict=True):
        if chosen:
            yield ca, _under(ca, _describe_all(stage.paced_iot, chosen)), True
            continue
        if others is None:
            of_account = sample_ids(stage.iot.list_certificates, sample)
            others = _describe_all(stage.paced_iot, [one for one in of_account if one not in known])
        signed = [one for one in others if ca.certificate_id in (one.ca_certificate_id, *one.possible_cas)]
        yield ca, _under(ca, signed), False


def _under(ca: Ca, devices: Iterable[DeviceRegistration]) -> list[DeviceRegistration]:
    return [replace(one, ca_certificate_id=ca.certificate_id) for one in devices]


def _describe_all(iot: AwsIot, certificate_ids: Iterable[str]) -> list[DeviceRegistration]:
    """The registrations of these certificates, without those deleted since they were listed."""
    found = []
    for one in certificate_ids:
        with suppress(CertificateUnknown):
            found.append(iot.describe(one))
    return found


def compare(device: DeviceRegistration, ca: str, deployed: Rules | None, rules: Rules) -> DecisionChange | None:
    """How the rules decide on a certificate differently from the deployed ones; None when they do not."""
    at = now() if device.status is Status.PENDING_ACTIVATION else device.created_at
    after = judge(device, rules, at)
    before = judge(device, deployed, at) if deployed else None
    if before is None:
        # All that is known of the deployed rules is that they admitted the ACTIVE ones.
        if device.status is not Status.ACTIVE or isinstance(after, Identity):
            return None
        return _change(device, ca, ADMITTED, after)
    if isinstance(before, Identity) and isinstance(after, Identity):
        differing = _describe_difference(before, after)
        return _change(device, ca, ADMITTED, differing) if differing else None
    said = ADMITTED if isinstance(before, Identity) else before.reason.name
    if isinstance(after, Rejected) and after.reason.name == said:
        return None
    return _change(device, ca, said, after)


def judge(device: DeviceRegistration, rules: Rules, at: datetime) -> Identity | Rejected:
    """Evaluate a device under these rules: its identity, or its refusal; without entries, CRLs and hooks."""
    ca = rules.ca(device.ca_certificate_id or "")
    examination = examine(
        Applicant.of(device, without_checks(UNREAD_OFFLINE.keys() - {"revocation"}, rules)),
        as_declared(ca) if ca else None,
        revocations=empty_crl(at),
        now=at,
    )
    try:
        return examination.admit().identity
    except Rejected as refusal:
        return refusal


def _change(device: DeviceRegistration, ca: str, before: str, after: Identity | Rejected | str) -> DecisionChange:
    reason: Reason | None = after.reason if isinstance(after, Rejected) else None
    if isinstance(after, Rejected):
        detail = after.detail
    else:
        detail = after if isinstance(after, str) else f"as thing {after.thing_name}"
    return DecisionChange(
        ca=ca,
        certificate_id=device.certificate_id,
        status=device.status,
        before=before,
        after=reason.name if reason else ADMITTED,
        detail=detail,
        is_refused=before == ADMITTED and reason is not None and reason.rests_on is Basis.RULES,
    )


def _describe_difference(before: Identity, after: Identity) -> str:
    """What of an admitted device's identity changes, in words; empty when nothing does."""
    parts: dict[str, tuple[Any, Any]] = {
        "thing": (before.thing_name, after.thing_name),
        "type": (before.thing_type, after.thing_type),
        "groups": (sorted(before.thing_groups), sorted(after.thing_groups)),
        "attributes": (dict(before.attributes), dict(after.attributes)),
        "billing group": (before.billing_group, after.billing_group),
        "first shadow": (before.shadow, after.shadow),
    }
    return "; ".join(f"{name} {new} instead of {old}" for name, (old, new) in parts.items() if old != new)


def sample_ids(list_page: Callable[..., Any], most: int) -> list[str]:
    """The ids of the newest and of the oldest certificates of a list, half of each; all, if there are no more."""
    newest = list(_list_ids(list_page, most, ascending=False))
    if len(newest) < most:
        return newest
    chosen = dict.fromkeys(newest[: most - most // 2])
    for one in _list_ids(list_page, most, ascending=True):
        if len(chosen) == most:
            break
        chosen.setdefault(one)
    return list(chosen)


def _list_ids(list_page: Callable[..., Any], most: int, *, ascending: bool) -> Iterator[str]:
    marker: dict[str, str] = {}
    left = most
    while left > 0:
        answer = list_page(pageSize=min(left, MOST_ON_PAGE), ascendingOrder=ascending, **marker)
        for one in answer["certificates"][:left]:
            yield str(one["certificateId"])
        left -= len(answer["certificates"])
        if "nextMarker" not in answer:
            return
        marker = {"marker": answer["nextMarker"]}
