"""What do DescribeCertificate and ListCertificatesByCA answer for a device under a CA, in each mode?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrctl.prove.probe import Expectation, Probe
from jitrctl.prove.run import DEFAULT, SNI_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.prove.probe import Json
    from jitrctl.prove.run import Run

_UNNAMED = "nothing breaks: jitr finds the CA among the account's by name and signature (docs/decisions/0011)"
_NAMED = "the CA's id"


def run(run: Run) -> Mapping[str, Json]:
    found: dict[str, Json] = {}
    for mode in (DEFAULT, SNI_ONLY):
        ca, place = run.ca(mode)
        device = run.register_device(mode, "described")
        described = device.describe()
        named = described.get("caCertificateId")
        found[f"caCertificateId, {mode}"] = {None: "left out", run.ca_id(ca, place): _NAMED}.get(named, named)
        found[f"certificateMode, {mode}"] = described.get("certificateMode", "left out")
        listed = place.iot.list_certificates_by_ca(
            caCertificateId=run.ca_id(ca, place), pageSize=100, ascendingOrder=False
        )["certificates"]
        found[f"ListCertificatesByCA, {mode}"] = any(one["certificateId"] == device.certificate_id for one in listed)
    return found


def _expected(mode: str) -> tuple[Expectation, ...]:
    return (
        Expectation(
            what=f"caCertificateId, {mode}",
            assumed=_NAMED,
            otherwise=_UNNAMED,
            switch="names_sni_only_cas" if mode == SNI_ONLY else "",
            to_switch=lambda found: found == _NAMED,
        ),
        Expectation(
            what=f"certificateMode, {mode}",
            assumed=mode,
            otherwise="admission's check of the CA's mode holds every device of this mode as WRONG_MODE",
        ),
        Expectation(
            what=f"ListCertificatesByCA, {mode}",
            assumed=True,
            otherwise="nothing breaks: the sweep reads ListCertificates; counts by CA then come from records",
            switch="lists_sni_only_by_ca" if mode == SNI_ONLY else "",
            to_switch=bool,
        ),
    )


PROBE = Probe(
    name="device-of-ca",
    question="Is a device under an SNI_ONLY CA described with its CA and mode, and listed under it, as one "
    "under DEFAULT?",
    method="Has a device register under each mode, describes it, and lists its CA's certificates.",
    expects=(*_expected(DEFAULT), *_expected(SNI_ONLY)),
    run=run,
    makes="2 devices",
    calls=70,
    seconds=10,
)
