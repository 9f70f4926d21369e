"""Reads a CA under JITP in one stage, makes its block of fleet.toml, and compares a sample of its devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr_fleet.names import partition_of
from jitr_fleet.policy import BUILT_IN_POLICY
from jitr_fleet.problems import show
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.jitp.block import StagePlace, make_block
from jitrctl.jitp.fleet_text import AccountEntry, account_text, ca_text, check_block, fleet_text
from jitrctl.jitp.registered_ca import describe_ca, read_policies, read_template
from jitrctl.jitp.sample import Comparison
from jitrctl.jitp.target import name_for
from jitrctl.jitp.template import translate

if TYPE_CHECKING:
    from jitr.rules import Rules
    from jitrctl.jitp.block import CaBlock
    from jitrctl.jitp.fleet_text import CheckedBlock
    from jitrctl.jitp.registered_ca import JitpTemplate, RegisteredCa
    from jitrctl.jitp.sample import SampledDevice
    from jitrctl.jitp.target import TargetCa
    from jitrctl.jitp.template import Translation
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What `ca adopt` found in one stage."""

    ca: RegisteredCa
    template: JitpTemplate
    checked: CheckedBlock
    entry: AccountEntry
    rules_of: str  # whose rules the sample is compared under, in words
    differing: tuple[str, ...]  # keys in which the fleet file's block of this CA is not the template's
    sample: tuple[SampledDevice, ...]
    is_listed: bool  # AWS IoT lists the CA's certificates; else the sample is of what the CA signed, of the account's

    @property
    def block(self) -> CaBlock:
        return self.checked.block

    @property
    def toml(self) -> str:
        """What to write into the fleet file; the whole file, where there is none."""
        if not self.entry.is_written:
            return fleet_text(self.checked.fleet.name, self.block, self.entry)
        return f"{ca_text(self.block)}\n{account_text(self.block, self.entry)}"

    @property
    def files(self) -> dict[str, str]:
        """The files to write, by path: the block, or the whole fleet file where there is none; certificate, policy."""
        block, unused = self.block, bool(self.checked.policy_problems)
        texts = {f"ca-{block.name}.toml" if self.entry.is_written else "fleet.toml": self.toml}
        texts[block.certificate_path] = self.ca.pem
        if block.policy:
            texts[block.unused_policy_path if unused else block.policy_path] = block.policy
        return texts


def inspect_jitp(stage: Stage, target: TargetCa, *, is_written: bool, sample: int) -> Adoption:
    """Read one CA of a stage; `is_written`: the fleet file has the stage's account.

    Raises Refused when it is not registered or has no template; Unavailable, botocore's errors.
    """
    ca = describe_ca(stage.iot, target.certificate_id)
    if ca is None:
        raise Refused(
            f"CA {target.name or target.certificate_id} is not registered here: `jitrctl ca plan` says what jitr needs"
        )
    template = read_template(stage.iot, ca)
    found = translate(template.body)
    documents = read_policies(stage.iot, [one.name for one in found.policies if one.name])
    place = StagePlace(partition=partition_of(stage.region) or "aws", region=stage.region, account_id=stage.account.id)
    name = target.name or name_for(ca.pem, frozenset(one.name for one in stage.fleet.origins))
    entry = _entry(stage, name, ca, is_written=is_written)
    block = make_block(name, found, documents, place, existing=not _is_of_stack(stage, found))
    if ca.mode == "DEFAULT":
        block = block.with_remark(
            "the CA is in mode DEFAULT, for which the fleet file asks for a verification certificate: `jitrctl ca "
            f"csr --account {stage.account.name} --ca {name}` makes the request, once the block is in the fleet file"
        )
    checked = check_block(stage.fleet.name, block, entry, ca.pem)
    rules, policy, whose = _rules(stage, target, checked)
    compared = Comparison(
        stage.iot, AwsIot(stage.iot, Unpaced(), clock=now, rules=rules), rules, ca.certificate_id, policy, place
    )
    devices, is_listed = compared.run(sample) if sample else ((), True)
    return Adoption(
        ca=ca,
        template=template,
        checked=checked,
        entry=entry,
        rules_of=whose,
        differing=_differing(target, checked),
        sample=devices,
        is_listed=is_listed,
    )


def _is_of_stack(stage: Stage, found: Translation) -> bool:
    """Whether another CA or source has one of these made by the stack; the fleet file wants one `existing` of all."""
    wanted = {("type", found.thing_type), ("billing group", found.billing_group)} - {
        ("type", None),
        ("billing group", None),
    }
    wanted |= {("group", one) for one in found.thing_groups}
    for one in stage.fleet.origins:
        has = {("type", one.thing_type), ("billing group", one.billing_group)}
        has |= {("type", other) for other in one.extra_types}
        has |= {("group", other) for other in (*one.thing_groups, *one.extra_groups)}
        if wanted & has and not one.existing:
            return True
    return False


def _entry(stage: Stage, name: str, ca: RegisteredCa, *, is_written: bool) -> AccountEntry:
    account = stage.account
    registration: dict[str, Any] = {"mode": ca.mode}
    if ca.mode == "DEFAULT":
        registration["verification_certificate"] = f"certs/{account.name}-{name}-verification.pem"
    registration["jitp"] = True
    keys: dict[str, Any] = {"id": account.id, "regions": [stage.region]}
    if account.profile:
        keys["profile"] = account.profile
    return AccountEntry(name=account.name, keys=keys, registration=registration, is_written=is_written)


def _rules(stage: Stage, target: TargetCa, checked: CheckedBlock) -> tuple[Rules, str, str]:
    """The rules for the sample, the document of the devices' policy, and whose they are."""
    if target.declared and stage.rules.ca(target.certificate_id):
        policy = target.declared.policy or BUILT_IN_POLICY
        return stage.rules, policy.read_text(encoding="utf-8"), f"[ca.{target.name}] of {stage.fleet.path}"
    fleet = checked.fleet
    account = fleet.accounts[0]
    text = checked.block.policy if "policy" in checked.block.keys else None
    return (
        fleet.rules(account, stage.region),
        text or BUILT_IN_POLICY.read_text(encoding="utf-8"),
        f"the block [ca.{checked.block.name}]",
    )


def _differing(target: TargetCa, checked: CheckedBlock) -> tuple[str, ...]:
    """What JITP gives a device and the fleet file's block of this CA does not, or the reverse, key by key."""
    if target.declared is None:
        return ()
    (wanted,) = checked.fleet.cas
    pairs = {
        "thing_name": (target.declared.thing_name, wanted.thing_name),
        "thing_type": (target.declared.thing_type, wanted.thing_type),
        "thing_groups": (sorted(target.declared.thing_groups), sorted(wanted.thing_groups)),
        "attributes": (dict(target.declared.attributes), dict(wanted.attributes)),
        "billing_group": (target.declared.billing_group, wanted.billing_group),
    }
    return tuple(
        f"{key} is {_describe_value(ours)}, and the template's {_describe_value(theirs)}"
        for key, (ours, theirs) in pairs.items()
        if ours != theirs
    )


def _describe_value(one: Any) -> str:
    written = "none" if one in (None, [], {}) else str(one)
    return written if written.isprintable() else show(written)
