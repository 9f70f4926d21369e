"""Plans the take-over of a CA from JITP in one stage, and its undoing: what is left to do, or why it may not be begun.

While the template is on the CA, jitr's rule for it stands disabled, and the functions decide on none of its devices
(the key `jitp`). A plan rests on what is there, so that the same order does what an earlier run has left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitrctl.ca import registry
from jitrctl.ca.plan import RuleState, adopt_command, revoked_obstacle
from jitrctl.clock import now
from jitrctl.errors import Refused
from jitrctl.jitp.kept_template import KeptState, KeptTemplates
from jitrctl.jitp.registered_ca import describe_ca, read_template
from jitrctl.rules.deployed import NotReadable, read_deployed_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr_fleet.model import Ca
    from jitrctl.jitp.kept_template import KeptTemplate
    from jitrctl.jitp.registered_ca import RegisteredCa
    from jitrctl.session.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """A take-over, or its undoing, in one stage: what is there, and what is to be done."""

    ca: Ca
    found: RegisteredCa
    kept: KeptTemplate | None
    config: Mapping[str, str] = field(hash=False)  # the template's, on the CA or kept
    body: str
    steps: tuple[str, ...]
    is_key_set: bool  # the fleet file says `jitp`
    is_rule_on: bool


def plan_take_over(stage: Stage, ca: Ca) -> TakeOver:
    """What is left to do until jitr decides on the CA's devices.

    Raises Refused when that cannot be begun, with the cure; Unavailable, botocore's errors.
    """
    found, rule, kept = _inspect(stage, ca)
    body = kept.body if kept else ""
    config: Mapping[str, str] = kept.config if kept else {}
    steps = []
    if found.has_template:
        if rule is RuleState.ENABLED:
            name = stage.names.rule(ca.name)
            disable = f"disable it, `aws iot disable-topic-rule --rule-name {name}`, then this again"
            raise Refused(
                f"topic rule {name} is enabled while the template is on the CA, so jitr and JITP both act: "
                f"{disable if _is_key_set(stage, ca) else _write_key(stage, ca)}"
            )
        template = read_template(stage.iot, found)
        body, config, role = template.body, found.config, template.role_arn
        undo_needs = f", which needs iam:PassRole on {role}" if role and "roleArn" in config else ""
        steps.append(f"take the provisioning template off the CA; it is kept for --undo{undo_needs}")
    if found.has_template or not found.registers_automatically:
        steps.append("see that auto-registration is on, and enable it if it is not")
    if rule is RuleState.DISABLED:
        steps.append(f"enable topic rule {stage.names.rule(ca.name)}")
    unfinished = kept is not None and kept.state is KeptState.TAKING
    if found.has_template:
        _refuse_unheld(stage, ca)
    if steps or unfinished:
        steps.append("wait a minute for what JITP has begun, then start the sweep, for devices that became pending")
    return TakeOver(
        ca=ca,
        found=found,
        kept=kept,
        config=config,
        body=body,
        steps=tuple(steps),
        is_key_set=_is_key_set(stage, ca),
        is_rule_on=rule is RuleState.ENABLED,
    )


def plan_undo(stage: Stage, ca: Ca) -> TakeOver:
    """What is left to do until the template is on the CA again.

    Raises Refused when something else was changed meanwhile, with the cure; Unavailable, botocore's errors.
    """
    found, rule, kept = _inspect(stage, ca)
    if kept is None or not kept.config:
        raise Refused(
            f"no template of CA {ca.name} is kept here: it was not taken off by `jitrctl ca adopt --take-over`"
        )
    is_on_again = found.has_template and dict(found.config) == dict(kept.config)
    if kept.state is KeptState.UNDONE and is_on_again and rule is RuleState.DISABLED:
        return TakeOver(
            ca=ca,
            found=found,
            kept=kept,
            config=kept.config,
            body=kept.body,
            steps=(),
            is_key_set=_is_key_set(stage, ca),
            is_rule_on=False,
        )
    _refuse_changed(stage, ca, found, kept)
    _refuse_unheld(stage, ca)
    steps = [f"disable topic rule {stage.names.rule(ca.name)}"] if rule is RuleState.ENABLED else []
    if not found.has_template:
        steps.append("put the kept provisioning template on the CA again")
    if not found.registers_automatically:
        steps.append("enable auto-registration")
    return TakeOver(
        ca=ca,
        found=found,
        kept=kept,
        config=kept.config,
        body=kept.body,
        steps=(*steps, "see that it is there"),
        is_key_set=True,
        is_rule_on=rule is RuleState.ENABLED,
    )


def kept_templates(stage: Stage, ca: Ca) -> KeptTemplates:
    """What the stage's registry keeps of a CA's template."""
    return KeptTemplates(
        stage.dynamodb,
        stage.names.registry_table,
        ca.certificate_id,
        stage.caller,
        now,
        command=adopt_command(ca.name, stage_options(stage)),
    )


def stage_options(stage: Stage) -> str:
    """The options that choose this stage."""
    return f"--account {stage.account.name} --region {stage.region}"


def _refuse_changed(stage: Stage, ca: Ca, found: RegisteredCa, kept: KeptTemplate) -> None:
    """Refuse to undo what is no longer as --take-over left it."""
    if found.has_template and dict(found.config) != dict(kept.config):
        raise Refused(
            f"another template was put on CA {ca.name} since {kept.by} took the kept one off, and nothing was changed: "
            "take it off first if the kept one is meant"
        )
    if kept.state is KeptState.TAKEN:
        if not found.registers_automatically:
            raise Refused(
                f"auto-registration of CA {ca.name} was disabled since the take-over, and nothing was changed: "
                f"{_by_hand(stage, ca)}"
            )
        if kept.modified_at and found.modified_at and _seconds(found.modified_at) != _seconds(kept.modified_at):
            raise Refused(
                f"CA {ca.name} was changed {found.modified_at:%Y-%m-%d %H:%M:%S}Z, after the take-over, and nothing "
                f"was changed now: {_by_hand(stage, ca)}"
            )
    if name := kept.config.get("templateName"):
        try:
            stage.iot.describe_provisioning_template(templateName=name)
        except stage.iot.exceptions.ResourceNotFoundException as error:
            raise Refused(
                f"the provisioning template {name} was deleted since, and nothing was changed: make it again, then "
                f"this again; `{adopt_command(ca.name, stage_options(stage))} --json` has its body"
            ) from error


def _by_hand(stage: Stage, ca: Ca) -> str:
    """How the template is put back where `--undo` refuses: the rule is disabled first, so that not both act."""
    disable = f"aws iot disable-topic-rule --rule-name {stage.names.rule(ca.name)} --region {stage.region}"
    put = (
        f"aws iot update-ca-certificate --certificate-id {ca.certificate_id} --registration-config file://kept.json "
        f"--new-auto-registration-status ENABLE --region {stage.region}"
    )
    return (
        f"if the template is still meant, deploy jitp = true in ca.{ca.name} of [account.{stage.account.name}], then "
        f"`{disable}`, then `{put}`; `{adopt_command(ca.name, stage_options(stage))} > kept.json` makes that file"
    )


def _seconds(moment: Any) -> int:
    return int(moment.timestamp())


def _inspect(stage: Stage, ca: Ca) -> tuple[RegisteredCa, RuleState, KeptTemplate | None]:
    """The CA, its rule and what is kept of it.

    Raises Refused when the CA cannot be taken over as it is.
    """
    found = describe_ca(stage.iot, ca.certificate_id)
    if found is None:
        raise Refused(f"CA {ca.name} is not registered here: `jitrctl ca apply` registers it")
    if revocation := registry.read_revoked(stage).get(ca.certificate_id):
        raise Refused(f"CA {ca.name}: {revoked_obstacle(ca.name, revocation)}")
    if not found.active:
        active = f"aws iot update-ca-certificate --certificate-id {ca.certificate_id} --new-status ACTIVE"
        raise Refused(
            f"CA {ca.name} is INACTIVE here, so none of its devices can register: `{active}`, then this again"
        )
    rule = registry.find_rule(stage, ca)
    if rule not in (RuleState.ENABLED, RuleState.DISABLED):
        raise Refused(f"topic rule {stage.names.rule(ca.name)} is {rule}: {_write_key(stage, ca)}")
    return found, rule, kept_templates(stage, ca).read()


def _refuse_unheld(stage: Stage, ca: Ca) -> None:
    """Refuse unless the fleet file and the deployed function say that a template is on the CA: jitr holds meanwhile."""
    if not _is_key_set(stage, ca):
        raise Refused(f"the fleet file does not say that a template is on CA {ca.name}: {_write_key(stage, ca)}")
    try:
        deployed = read_deployed_rules(stage).ca(ca.certificate_id)
    except NotReadable as error:
        raise Refused(f"whether the function `register` holds the CA's devices cannot be read: {error}") from error
    if deployed is None or not deployed.jitp:
        raise Refused(
            f"the deployed function does not know that a template is on CA {ca.name}: {_write_key(stage, ca)}"
        )


def _write_key(stage: Stage, ca: Ca) -> str:
    return f"write jitp = true into ca.{ca.name} of [account.{stage.account.name}], deploy, then this again"


def _is_key_set(stage: Stage, ca: Ca) -> bool:
    return any(one.ca.name == ca.name and one.jitp for one in stage.account.cas)
