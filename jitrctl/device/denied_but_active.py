"""Finds devices that are ACTIVE although an enrollment entry denies them: an entry has no effect on ACTIVE devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitr.admission.enrollment import Subject, SubjectKind
from jitr.errors import CertificateUnknown
from jitr.iot_models import Status
from jitr.record import Record
from jitrctl.device.order_conflicts import find_twins, wait_out_claim
from jitrctl.device.search import list_attached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitr.aws.iot import AwsIot
    from jitrctl.session.stage import Stage

_AT_ONCE = 100  # BatchGetItem


def list_still_active(stage: Stage, subject: Subject) -> list[str]:
    """The ids of the ACTIVE certificates that a subject names, in one stage.

    Call it after the entry is written: a claim that was made before it may still be on its way to ACTIVE. Such a claim
    is waited for, 90 seconds at most; after the write no other claim can succeed.

    Raises Unavailable.
    """
    ids = _of_thing(stage, subject.name) if subject.kind is SubjectKind.THING else {subject.name}
    records = stage.registry.recall(ids) if ids else {}
    twins = {
        twin_id
        for certificate_id, record in records.items()
        for twin_id in find_twins(certificate_id, record, iot=stage.aws_iot, rules=stage.rules)
    } - ids
    records |= stage.registry.recall(twins) if twins else {}
    for certificate_id, record in records.items():
        wait_out_claim(stage.registry, certificate_id, record)
    return sorted(certificate_id for certificate_id in records if _is_active(stage.aws_iot, certificate_id))


def select_active(stage: Stage, certificate_ids: Sequence[str]) -> list[str]:
    """Those of these certificates that are ACTIVE in one stage, whoever made them so; for many, so it takes turns.

    Call it after their verdicts are written: claims that were made before are waited for, as above. Twins are not
    looked for.

    Raises Unavailable.
    """
    for start in range(0, len(certificate_ids), _AT_ONCE):
        for certificate_id, record in stage.registry.recall(certificate_ids[start : start + _AT_ONCE]).items():
            wait_out_claim(stage.registry, certificate_id, record)
    return [one for one in certificate_ids if _is_active(stage.paced_iot, one)]


def select_known(stage: Stage, subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects that this stage has a record of: most of a long list of denials never connected.

    Raises Unavailable.
    """
    known: list[Subject] = []
    for start in range(0, len(subjects), _AT_ONCE):
        some = subjects[start : start + _AT_ONCE]
        owned = stage.registry.owners(one.name for one in some if one.kind is SubjectKind.THING)
        records = stage.registry.recall(one.name for one in some if one.kind is SubjectKind.CERTIFICATE)
        seen = {name for name, record in records.items() if record != Record()}
        known += [one for one in some if one.name in (owned if one.kind is SubjectKind.THING else seen)]
    return known


def _of_thing(stage: Stage, thing_name: str) -> set[str]:
    owner = stage.registry.owner(thing_name)
    return list_attached(stage, thing_name) | ({owner.certificate_id} if owner else set())


def _is_active(iot: AwsIot, certificate_id: str) -> bool:
    try:
        return iot.describe(certificate_id).status is Status.ACTIVE
    except CertificateUnknown:
        return False
