"""Finds the certificate that `jitrctl doctor` is about: in a file, or AWS IoT's, by name, id or serial number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jitr.decisions import Outcome
from jitr.errors import CertificateUnknown
from jitr_fleet.certificate_file import certificate_id_in
from jitrctl.certificate_files import names_file, read_file
from jitrctl.device.leftovers import present_owners
from jitrctl.device.search import parse_device, search
from jitrctl.errors import Refused
from jitrctl.session.fleet_option import with_fleet_option
from jitrctl.session.stage import choose

if TYPE_CHECKING:
    from jitrctl.device.search import DeviceView, StageCertificate
    from jitrctl.run.scope import Scope
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSubject:
    """A device's certificate, with its chain if it is from a file."""

    file: Path | None  # None: read from AWS IoT
    certificates: tuple[str, ...]  # PEM, at least one, the device's first


def find_subject(scope: Scope, word: str) -> DoctorSubject:
    """The certificate that a word means: a file, a certificate's id, a thing's name or a serial number.

    Raises Unusable when a file holds none; Refused when no account has such a certificate, or there are several.
    """
    if names_file(word) and not certificate_id_in(word):
        file = Path(word)
        return DoctorSubject(file=file, certificates=read_file(file).certificates)
    keys = parse_device(word)
    certificate_id = next(iter(keys.certificates)) if keys.certificates else _present_certificate(scope, word)
    return DoctorSubject(file=None, certificates=(_read_pem(scope, certificate_id),))


def _present_certificate(scope: Scope, word: str) -> str:
    """The one certificate of a device that none follows.

    Raises Refused.
    """
    views, failed, _ = search(scope, parse_device(word))
    for one in (*failed, *views.failed):
        raise Refused(f"{one.stage} cannot be asked which certificates {word} has ({one.error}): give the certificate")
    seen = {done.stage: done.value for done in views.done}
    known = {each.certificate_id for view in seen.values() for each in view.certificates.values() if each.is_known}
    present = {one for one in known if not _is_replaced(one, seen)} or known
    if len(present) != 1:
        owned = {owner.certificate_id for _, owner in present_owners(seen).values()}
        said = [f"`jitrctl doctor {one}`{', which has the name' if one in owned else ''}" for one in sorted(present)]
        asks = f"{word} has {len(present)} certificates, say which: {'; '.join(said)}"
        raise Refused(with_fleet_option(asks, scope.fleet_option))
    return present.pop()


def _is_replaced(certificate_id: str, views: dict[Stage, DeviceView]) -> bool:
    """Whether another certificate followed it, in any stage."""
    found = (view.certificates.get(certificate_id) for view in views.values())
    return any(one is not None and _was_followed(one) for one in found)


def _was_followed(found: StageCertificate) -> bool:
    decision = found.record.decision
    return found.record.replaced_by is not None or (decision is not None and decision.outcome is Outcome.REPLACED)


def _read_pem(scope: Scope, certificate_id: str) -> str:
    """The certificate as AWS IoT has it: in a stage of the scope, else in any other of the fleet.

    Raises Refused.
    """
    others = [one for one in choose(scope.fleet, (), ()) if str(one) not in {str(each) for each in scope.stages}]
    for stages in (scope.stages, tuple(others)):
        everywhere = replace(scope, stages=stages)
        asked = everywhere.across(lambda stage: _describe(stage, certificate_id), doing="reading the certificate")
        for done in asked.done:
            if done.value:
                return done.value
    raise Refused(f"no account has certificate {certificate_id}: give its file, or correct the id")


def _describe(stage: Stage, certificate_id: str) -> str | None:
    try:
        return stage.aws_iot.describe(certificate_id).pem
    except CertificateUnknown:
        return None
