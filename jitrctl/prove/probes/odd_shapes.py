"""Which odd certificate shapes does AWS register?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitr.x509 import der
from jitrctl.prove.probe import Expectation, Probe, Unanswered
from jitrctl.prove.run import SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jitrctl.prove.certificates import ProbeIdentity
    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_WAIT = 10.0  # seconds for a registration that may never come
_COMMON_NAME = bytes.fromhex("0603550403")
_ECDSA_SHA256 = bytes.fromhex("06082a8648ce3d040302")
_PRINTABLE, _SET = 0x13, 0x31
_BASIC_CONSTRAINTS, _OCTETS, _EXTENSIONS = bytes.fromhex("0603551d13"), 0x04, 0xA3


def _subject(text: bytes) -> bytes:
    attribute = der.encode(der.SEQUENCE, _COMMON_NAME, der.encode(_PRINTABLE, text))
    return der.encode(der.SEQUENCE, der.encode(_SET, attribute))


def _extensions(critical: bytes) -> bytes:
    constraints = der.encode(_OCTETS, der.encode(der.SEQUENCE))
    one = der.encode(der.SEQUENCE, _BASIC_CONSTRAINTS, der.encode(der.BOOLEAN, critical), constraints)
    return der.encode(_EXTENSIONS, der.encode(der.SEQUENCE, one))


# Shapes that jitr admits (docs/decisions/0009-second-reader.md), with the parts that make each.
_SHAPES: Mapping[str, Callable[[], Mapping[str, bytes]]] = {
    "X.509 v1": lambda: {"version": b"", "extensions": b""},
    "empty subject": lambda: {"subject": der.encode(der.SEQUENCE)},
    "& in PrintableString": lambda: {"subject": _subject(b"jitr & prove")},
    "negative serial number": lambda: {"serial": der.encode(der.INTEGER, b"\x80\x01")},
    "serial number 0": lambda: {"serial": der.encode(der.INTEGER, b"\0")},
    "BOOLEAN 01": lambda: {"extensions": _extensions(b"\x01")},
    "NULL behind ecdsa-with-SHA256": lambda: {
        "algorithm": der.encode(der.SEQUENCE, _ECDSA_SHA256, der.encode(der.NULL))
    },
}


def run(run: Run) -> Mapping[str, Json]:
    ca, place = run.ca(SNI_ONLY)
    found: dict[str, Json] = {}
    for shape, parts in _SHAPES.items():
        identity: ProbeIdentity = ca.issue_parts(run.name("odd"), run.time.now(), **parts())
        try:
            found[shape] = run.connect_new(place, identity, seconds=_WAIT) is not None
        except Unanswered as error:  # OpenSSL here may refuse to load the certificate, so no device can send it
            found[shape] = error
    return found


PROBE = Probe(
    name="odd-shapes",
    question="Which odd certificate shapes does AWS register?",
    method="Devices with odd certificates connect, each signed by the run's CA.",
    expects=tuple(
        Expectation(
            what=shape,
            assumed=True,
            otherwise="AWS refuses such devices itself: jitr never gets one, and docs/devices.md must say so",
        )
        for shape in _SHAPES
    ),
    run=run,
    makes=f"{len(_SHAPES)} devices",
    calls=150,
    seconds=60,
    not_local="ministack reads with cryptography, which refuses several (docs/divergences.md, odd-certificates-unread)",
)
