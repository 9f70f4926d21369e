"""Reads fleet.toml into a Fleet, or reports all of its problems at once.

    1  text      the file exists, and is UTF-8 and TOML; otherwise that is the only problem reported
    2  drafts    each key, by the tables of keys.py and the readers of values.py and names.py
    3  files     the certificates and policies that the file names: pem.py, policy.py
    4  checks    keys that have to agree: checks.py
    5  model     the Fleet
    6  stages    the quotas of AWS, and whether devices can connect under their policies: ceilings.py, policy_proof.py

The model is made only if there was no problem before.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from jitr.brake import BrakeLimits
from jitr.rules import source_id
from jitr.x509.certificate import Certificate
from jitr_fleet.ceilings import check_ceilings
from jitr_fleet.checks import check_agreement, registrations
from jitr_fleet.choices import BrakeMode, RegisteredBy
from jitr_fleet.keys import DOCUMENT, Draft, table
from jitr_fleet.model import (
    Account,
    Alarms,
    Ca,
    CaDeployment,
    Fleet,
    HubPlace,
    Metrics,
    Source,
    StackOptions,
    SweepSchedule,
)
from jitr_fleet.pem import (
    KEEP_CA,
    KEEP_VERIFICATION,
    check_ca,
    check_parameter,
    check_verification,
    pem_of,
    read_certificate,
)
from jitr_fleet.policy import PolicyFile, read_policies
from jitr_fleet.policy_proof import prove_policies
from jitr_fleet.problems import FleetError, KeyPosition, Problem, Report
from jitr_fleet.shadow import Shadows, read_shadows

__all__ = ["FleetError", "Problem", "load"]

_SYNTAX_LINE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")

# Certificates that could be read: of CAs by (ca,), of verifications by (account, ca).
Certificates = Mapping[tuple[str, ...], Certificate]


def load(path: Path, *, now: datetime | None = None, proven: bool = True) -> Fleet:
    """Read a fleet.toml and the files that it names, relative to its folder.

    Certificates must be valid at `now` (with a time zone; default: the present). Without `proven` verification
    certificates are not read, since they may still have to be made; no CaDeployment then has one.

    Raises FleetError with all problems.
    """
    text = _read_text(path)
    report = Report(path, text)
    root = KeyPosition(report)
    draft: Draft = table(DOCUMENT)(_parse_toml(path, text), root) or {}
    certificates = _read_files(draft, root, now=now or datetime.now(UTC), proven=proven)
    policies = read_policies(draft, root)
    shadows = read_shadows(draft, root)
    check_agreement(draft, root, proven=proven)
    report.refuse()
    fleet = _fleet(draft, path, certificates, policies, shadows)
    check_ceilings(fleet, root)
    for proof in prove_policies(fleet, policies):
        report.problems += proof.problems
    report.refuse()
    return fleet


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _file_error(path, 1, f"cannot be read ({error.strerror})", "give the path of a fleet.toml") from error
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _file_error(path, line, "is not UTF-8", "save it as UTF-8, the only encoding of TOML") from error


def _parse_toml(path: Path, text: str) -> object:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        said = str(error)
        end = text.count("\n") + (not text.endswith("\n"))
        match = _SYNTAX_LINE.search(said)
        line = int(match[1]) if match and match[1] else end
        what = said[: match.start()] if match else type(error).__name__
        raise _file_error(path, line, f"is not TOML ({what})", "correct the syntax, see toml.io") from error


def _file_error(path: Path, line: int, message: str, cure: str) -> FleetError:
    return FleetError([Problem(file=path, line=line, message=f"the file {message}", cure=cure)])


def _read_files(draft: Draft, root: KeyPosition, *, now: datetime, proven: bool) -> Certificates:
    folder = root.report.file.parent
    certificates: dict[tuple[str, ...], Certificate] = {}
    first: dict[str, str] = {}
    for name, ca in draft.get("ca", {}).items():
        place = root.at("ca", name, "certificate")
        certificate = read_certificate(folder / ca["certificate"], place, keep=KEEP_CA) if "certificate" in ca else None
        if certificate is None:
            continue
        certificates[name,] = certificate
        check_ca(certificate, folder / ca["certificate"], place, now=now)
        if first.setdefault(certificate.fingerprint, name) != name:
            place.problem(
                f"is the same certificate as ca.{first[certificate.fingerprint]}", "remove one of the two CAs"
            )
    for account, ca, registration in registrations(draft):
        written = registration.get("verification_certificate")
        if written is None or not proven:
            continue
        place = root.at("account", account, "ca", ca, "verification_certificate")
        certificate = read_certificate(folder / written, place, keep=KEEP_VERIFICATION)
        if certificate is not None:
            certificates[account, ca] = certificate
            check_verification(certificate, folder / written, place, ca=certificates.get((ca,)), now=now)
            default = draft.get("ca", {}).get(ca, {}).get("registered_by")
            if (registration.get("registered_by") or default) is RegisteredBy.STACK:
                check_parameter(certificate, folder / written, place)
    return certificates


def _fleet(
    draft: Draft, path: Path, certificates: Certificates, policies: tuple[PolicyFile, ...], shadows: Shadows
) -> Fleet:
    folder = path.parent
    variables = {ca: policy.variables() for policy in policies for ca in policy.cas}

    def read_from_files(kind: str, name: str) -> Draft:
        return {"policy_variables": variables.get(name, ()), "shadow": shadows.get((kind, name))}

    ids = {name: account["id"] for name, account in draft["account"].items()}
    cas = {
        name: _ca(name, {**ca, **read_from_files("ca", name)}, folder, certificates, ids)
        for name, ca in draft["ca"].items()
    }
    sources = {
        name: _source(name, {**source, **read_from_files("registered", name)}, folder)
        for name, source in (draft["registered"] or {}).items()
    }
    return Fleet(
        name=draft["fleet"]["name"],
        cas=tuple(cas.values()),
        sources=tuple(sources.values()),
        accounts=tuple(
            _account(name, account, folder, cas, sources, certificates) for name, account in draft["account"].items()
        ),
        sweep=SweepSchedule(**draft["sweep"]),
        alarms=Alarms(**draft["alarms"]),
        stack=StackOptions(**{**draft["stack"], "tags": MappingProxyType(draft["stack"]["tags"])}),
        hub=_hub(draft),
        metrics=Metrics(**draft["metrics"]),
        path=path,
    )


def _hub(draft: Draft) -> HubPlace | None:
    hub = draft["hub"]
    if hub is None:
        return None
    account = draft["account"][hub["account"]]
    return HubPlace(
        account=hub["account"],
        account_id=account["id"],
        region=hub["region"] or account["regions"][0],
        organization=hub["organization"],
    )


def _ca(name: str, draft: Draft, folder: Path, certificates: Certificates, ids: Mapping[str, str]) -> Ca:
    certificate, predecessor = certificates[name,], draft["succeeds"]
    replaced = {
        "certificate": certificate,
        "policy": draft["policy"] and folder / draft["policy"],
        "attributes": MappingProxyType(draft["attributes"]),
        "checks": MappingProxyType(draft["checks"]),
        "home": tuple(ids[account] for account in draft["home"]),
        "brake": _brake(draft["brake"]),
        "succeeds": certificates[predecessor,].fingerprint if predecessor else None,
    }
    return Ca(
        name=name,
        certificate_pem=pem_of(certificate),
        certificate_id=certificate.fingerprint,
        certificate_path=folder / draft["certificate"],
        **{**draft, **replaced},
    )


def _source(name: str, draft: Draft, folder: Path) -> Source:
    replaced = {
        "policy": draft["policy"] and folder / draft["policy"],
        "attributes": MappingProxyType(draft["attributes"]),
        "checks": MappingProxyType(draft["checks"]),
    }
    return Source(name=name, certificate_id=source_id(name), **{**draft, **replaced})


def _brake(draft: Draft) -> BrakeLimits | None:
    figures = {name: figure for name, figure in draft.items() if name != "mode"}
    return BrakeLimits(**figures) if draft["mode"] is BrakeMode.ON else None


def _account(
    name: str,
    draft: Draft,
    folder: Path,
    cas: Mapping[str, Ca],
    sources: Mapping[str, Source],
    certificates: Certificates,
) -> Account:
    registered = tuple(
        CaDeployment(
            ca=cas[ca],
            mode=registration["mode"],
            registered_by=registration["registered_by"] or cas[ca].registered_by,
            jitp=registration["jitp"],
            verification_certificate_pem=pem_of(certificates[name, ca]) if (name, ca) in certificates else None,
            verification_certificate_path=written and folder / written,
        )
        for ca, registration in draft["ca"].items()
        for written in [registration["verification_certificate"]]
    )
    own = {key: value for key, value in draft.items() if key not in ("ca", "registered")}
    taken = tuple(sources[source] for source in draft["registered"] or ())
    return Account(name=name, cas=registered, sources=taken, **own)
