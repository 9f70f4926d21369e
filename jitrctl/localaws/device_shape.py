"""Decides what a try-out device's certificate holds, so that a CA's rules can identify the device by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jitr_fleet.model import Ca

_DAYS = 365
_A_DAY = 86_400  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceShape:
    """Subject and subjectAltName as openssl writes them, and the days of validity."""

    subject: str
    san: str | None
    days: int


def device_like(ca: Ca, name: str) -> DeviceShape:
    """A certificate with the name in each field that the CA's rules match, and a life within its limit."""
    common_name = f"/CN={name}"
    serial_number = f"/serialNumber={name}" if ca.serial_number else ""
    san = [f"URI:{name}"] if ca.san_uri else []
    san += [f"DNS:{name}"] if ca.san_dns else []
    return DeviceShape(
        subject=f"/O=Acme/OU=S1{serial_number}{common_name}",
        san=",".join(san) or None,
        days=_DAYS if ca.maximum_life is None else max(1, min(_DAYS, ca.maximum_life // _A_DAY)),
    )
