"""Proves that a device can connect under its CA's policy, in each stage, before anything is deployed.

For each policy file, with a made-up device of each of its CAs: a connection under its thing's name, one publish, one
subscription and what comes by it. A policy under which no device connects is refused, and so is an ARN of an account or
Region where the policy is not deployed. What a policy leaves out, or what cannot be decided here, is a note.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from jitr.frozen import value
from jitr_fleet.authorization.trial import PolicyTrial, TrialDevice, try_device
from jitr_fleet.authorization.wildcards import matches
from jitr_fleet.model import Account, Fleet, Origin
from jitr_fleet.names import partition_of
from jitr_fleet.permissions import texts
from jitr_fleet.policy import BUILT_IN_POLICY, PLACEHOLDERS, PolicyFile
from jitr_fleet.policy_findings import PolicyFinding, describe_trial
from jitr_fleet.problems import Problem, show
from jitr_fleet.sample_device import SampleDevice, make_up_device

if TYPE_CHECKING:
    from pathlib import Path

_FIELDS = (("partition", 1), ("Region", 3), ("account", 4))  # of an ARN, with their positions
_ARN_PARTS = 6


@value
class PolicyPlace:
    """A stage in which a policy is deployed."""

    name: str  # account/Region
    fields: tuple[str, str, str]  # partition, Region, account id: what an ARN has there

    def fill(self, text: str) -> str:
        """Put the stage's values in place of the placeholders, as the stack does."""
        for placeholder, filling in zip(PLACEHOLDERS, self.fields, strict=True):
            text = text.replace(placeholder, filling)
        return text

    def arn(self, resource: str) -> str:
        partition, region, account = self.fields
        return f"arn:{partition}:iot:{region}:{account}:{resource}"


@value
class PolicyProof:
    """What a policy file lets the CAs' devices do."""

    file: PolicyFile
    problems: tuple[Problem, ...]  # no device could connect, or a statement is about no stage
    notes: tuple[Problem, ...]  # a device may do less than may be meant, or it cannot be decided here
    device: str  # the thing name that was tried: of the first CA, in the first stage
    trial: PolicyTrial


def prove_fleet(fleet: Fleet) -> tuple[PolicyProof, ...]:
    """Prove the policy of every CA of a fleet that was loaded: the one that it names, else the one that jitr brings.

    An installation without this repository's files does not have the latter.
    """
    named: dict[Path, list[Origin]] = {}
    for ca in fleet.origins:
        if ca.policy or BUILT_IN_POLICY.is_file():
            named.setdefault((ca.policy or BUILT_IN_POLICY).resolve(), []).append(ca)
    sources = {one.name for one in fleet.sources}
    files = [
        PolicyFile.read(cas[0].policy or BUILT_IN_POLICY, names, sources.intersection(names))
        for cas in named.values()
        for names in [tuple(ca.name for ca in cas)]
    ]
    return prove_policies(fleet, files)


def prove_policies(fleet: Fleet, files: Iterable[PolicyFile]) -> tuple[PolicyProof, ...]:
    """Prove each file for every CA that names it, in every stage that has the CA; nothing where no stage has one."""
    return tuple(proof for file in files if (proof := _prove(fleet, file)))


def _prove(fleet: Fleet, file: PolicyFile) -> PolicyProof | None:
    cases = [
        (one.name, policy_place(account, region))
        for account in fleet.accounts
        for one in account.origins
        if one.name in file.cas
        for region in account.regions
    ]
    if not cases:
        return None
    devices = {ca.name: make_up_device(ca) for ca in fleet.origins if ca.name in file.cas}
    places = list(dict.fromkeys(place for _, place in cases))
    # In stages whose own ARNs the policy has alike, devices of the same names get equally far.
    alike = {place: tuple(not _find_foreign_fields(arn, [place]) for arn in _list_arns(file)) for place in places}
    tried: dict[Any, tuple[PolicyTrial, list[tuple[PolicyFinding, PolicyFinding]]]] = {}
    # What several devices show is one finding: it names the first of them.
    merged: dict[PolicyFinding, tuple[PolicyFinding, list[tuple[str, PolicyPlace]]]] = {}
    for ca, place in cases:
        key = (devices[ca].thing_name, tuple(devices[ca].context.items()), alike[place])
        if key not in tried:
            trial, findings = _try(file, devices[ca], place)
            tried[key] = trial, [(_generalize(one, devices[ca], place), one) for one in findings]
        for general, finding in tried[key][1]:
            _, those = merged.setdefault(general, (finding, []))
            those.append((ca, place))
    found = [
        *_find_misplaced(file, places),
        *(
            (
                finding.refused,
                file.problem(finding.line, f"{_describe_where(those, cases)}{finding.text}", finding.cure),
            )
            for finding, those in merged.values()
        ),
    ]
    found.sort(key=lambda one: one[1].line)
    return PolicyProof(
        file=file,
        problems=tuple(one for refused, one in found if refused),
        notes=tuple(one for refused, one in found if not refused),
        device=devices[cases[0][0]].thing_name,
        trial=next(iter(tried.values()))[0],
    )


def _generalize(finding: PolicyFinding, device: SampleDevice, place: PolicyPlace) -> PolicyFinding:
    """The finding without the names of the made-up device and of its stage."""
    text = finding.text
    for number, name in enumerate((place.arn(""), device.thing_name)):
        text = text.replace(name, f"<{number}>")
    return dataclasses.replace(finding, text=text)


def policy_place(account: Account, region: str) -> PolicyPlace:
    """The stage of an account in a Region."""
    return PolicyPlace(name=f"{account.name}/{region}", fields=(partition_of(region) or "aws", region, account.id))


def _describe_where(those: list[tuple[str, PolicyPlace]], every: list[tuple[str, PolicyPlace]]) -> str:
    """Say in which stages, and for which CAs, a finding holds, before it; nothing when it holds everywhere."""
    places, cas = ({place.name: None for _, place in those}, {f"ca.{ca}": None for ca, _ in those})
    said = []
    if len(cas) < len({ca for ca, _ in every}):
        said.append(f"for {', '.join(cas)}")
    if len(places) < len({place for ca, place in every if f"ca.{ca}" in cas}):
        said.append(f"in {', '.join(places)}")
    return f"{' '.join(said)} " if said else ""


def _list_arns(file: PolicyFile) -> list[str]:
    return [
        resource
        for statement in file.statements
        for key in ("Resource", "NotResource")
        for _, resource in texts(statement, key)
    ]


def _find_foreign_fields(arn: str, places: list[PolicyPlace]) -> list[tuple[str, str]]:
    """The fields of an ARN, with what stands there, that are none of these stages'."""
    parts = arn.split(":", _ARN_PARTS - 1)
    if len(parts) < _ARN_PARTS:  # `*`, or cut short by one: all fields are left open
        return []
    return [
        (name, parts[position])
        for number, (name, position) in enumerate(_FIELDS)
        if not any(matches(place.fill(parts[position]), place.fields[number]) for place in places)
    ]


def _find_misplaced(file: PolicyFile, places: list[PolicyPlace]) -> Iterable[tuple[bool, Problem]]:
    """Report ARNs of accounts and Regions where the policy is not deployed (refused), or not everywhere (a note)."""
    for number, statement in enumerate(file.statements):
        for key in ("Resource", "NotResource"):
            for at, arn in texts(statement, key):
                elsewhere = [place for place in places if _find_foreign_fields(arn, [place])]
                if not elsewhere:
                    continue
                refused = len(elsewhere) == len(places)
                foreign = _find_foreign_fields(arn, places) or _find_foreign_fields(arn, elsewhere[:1])
                what = " and ".join(f"the {name} {show(text)}" for name, text in foreign)
                where = "where this policy is not deployed" if refused else "so it is about nothing in "
                where += "" if refused else ", ".join(place.name for place in elsewhere)
                text = f"{file.describe(number)} names {what}, {where}"
                cure = f"write {' and '.join(f'<{name.lower()}>' for name, _ in foreign)} there"
                yield refused, file.problem(file.line(number, *at), text, cure)


def _try(file: PolicyFile, sample: SampleDevice, place: PolicyPlace) -> tuple[PolicyTrial, list[PolicyFinding]]:
    documents = [fill_document(file.document, place.fill)]
    device = TrialDevice(client_id=sample.thing_name, context=sample.context, arn=place.arn)
    trial = try_device(documents, device)
    return trial, describe_trial(file, trial, documents, device, sample.own_names)


def fill_document(written: Any, fill: Callable[[str], str]) -> Any:
    """A document with the stage's values in its texts."""
    if isinstance(written, str):
        return fill(written)
    if isinstance(written, list):
        return [fill_document(one, fill) for one in written]
    return {key: fill_document(one, fill) for key, one in written.items()} if isinstance(written, dict) else written
