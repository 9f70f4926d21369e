"""Decides which of a thing's certificates is its present one, and which old ones are still in use in other stages.

Pure: works on the views of search.py. A rotation is known only where the device connected with its new certificate. In
every other stage the old one stays ACTIVE, and no sweep retires it. This is shown, never acted upon: the device may
connect there again, with either certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitr.errors import NAME_LOST
from jitr.iot_models import Status
from jitr.rules import OnReplacement
from jitrctl.terminal import short

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jitr.owners import Owner
    from jitrctl.device.search import DeviceView, StageCertificate
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """An old certificate that is ACTIVE or pending in one stage, while its successor is in another."""

    stage: Stage
    thing_name: str
    certificate_id: str
    status: Status  # ACTIVE or PENDING_ACTIVATION
    followed_by: str  # certificate id
    followed_in: Stage
    retiring: bool  # the stage knows of the rotation: its sweep retires the certificate after the overlap

    def __str__(self) -> str:
        text = (
            f"{self.stage}: the old certificate {short(self.certificate_id)} of {self.thing_name} is still "
            f"{self.status}; {short(self.followed_by)} follows it in {self.followed_in}"
        )
        return f"{text}, and the sweep retires the old one after the overlap" if self.retiring else text

    @property
    def order(self) -> str | None:
        """The command that ends it, once the device no longer needs it there; None when the sweep does."""
        if self.retiring:
            return None
        return (
            f"jitrctl device retire {self.certificate_id} "
            f"--account {self.stage.account.name} --region {self.stage.region}"
        )


def present_owners(views: Mapping[Stage, DeviceView]) -> dict[str, tuple[Stage, Owner]]:
    """For each thing, the owner whose certificate was issued last, and the first stage that has this owner."""
    present: dict[str, tuple[Stage, Owner]] = {}
    for stage, view in views.items():
        for thing, owner in view.owners.items():
            if thing not in present or _age(owner) > _age(present[thing][1]):
                present[thing] = stage, owner
    return present


def follower(certificate_id: str, views: Mapping[Stage, DeviceView]) -> tuple[Stage, Owner] | None:
    """The owner that follows a certificate, and its stage; None when it is the present one, or shares the thing."""
    for thing, (where, owner) in present_owners(views).items():
        for stage, view in views.items():
            found = view.certificates.get(certificate_id)
            if found and not _shares(stage, owner) and _came_before(found, thing, owner):
                return where, owner
    return None


def left_behind(views: Mapping[Stage, DeviceView]) -> list[LeftBehind]:
    """The certificates that are ACTIVE or pending although a later one of the same thing has taken over somewhere."""
    return [
        LeftBehind(
            stage=stage,
            thing_name=thing,
            certificate_id=found.certificate_id,
            status=found.registered.status,
            followed_by=owner.certificate_id,
            followed_in=where,
            retiring=found.record.replaced_by is not None,
        )
        for thing, (where, owner) in present_owners(views).items()
        for stage, view in views.items()
        if not _shares(stage, owner)
        for found in view.certificates.values()
        if found.registered and _is_older(found, thing, owner)
    ]


def _is_older(found: StageCertificate, thing: str, owner: Owner) -> bool:
    """Whether a certificate was the thing's before the owner's, and is still in use."""
    registered = found.registered
    in_use = registered is not None and registered.status in (Status.ACTIVE, Status.PENDING_ACTIVATION)
    return in_use and _came_before(found, thing, owner)


def _came_before(found: StageCertificate, thing: str, owner: Owner) -> bool:
    registered = found.registered
    return (
        registered is not None
        and registered.certificate is not None
        and found.certificate_id != owner.certificate_id
        and thing in found.thing_names()
        # A second device under the same name is held: it was never the thing's.
        and not (found.record.decision and found.record.decision.reason in NAME_LOST)
        and registered.certificate.not_before <= owner.issued_at
    )


def _age(owner: Owner) -> tuple[datetime, datetime]:
    # As admission recognizes a rotation: issued later; on a tie, registered later.
    return owner.issued_at, owner.registered_at


def _shares(stage: Stage, owner: Owner) -> bool:
    """Whether the CA's rules let several certificates be one thing."""
    rules = stage.rules.ca(owner.ca_certificate_id)
    return rules is not None and rules.on_replacement is OnReplacement.SHARE
