"""Says what to do about the reason for which a device was refused or is held: commands to paste, where there are some.

Which command helps can depend on more than the reason: on what the enrollment entries say, on who owns the thing name.
That is read here, when it is needed. Every command names the whole certificate id, the account and the Region.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from jitr.admission.enrollment import Entry, EntryRule, Subject, SubjectKind
from jitr.decisions import Outcome
from jitr.errors import Basis, Reason
from jitr.iot_models import Status
from jitr.rules import OnReplacement, is_source
from jitrctl.status.stage_commands import aws_command, deploy_command, restore_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jitr.decisions import Decision
    from jitr.owners import Owner
    from jitr.rules import CaRules
    from jitrctl.doctor.context import DeviceContext

_NEW_CERTIFICATE = "issue the device a new certificate, with a new key"
_HELP = "see {reason} in docs/rejections.md"


def cure_decision(case: DeviceContext, made: Decision) -> str:
    """What to do about a decision that keeps the certificate out."""
    if made.reason is None:
        return f"have the device connect again, or `jitrctl sweep {case.options}`"
    cure = _WRITERS[made.reason](case, made) if made.reason in _WRITERS else cure_reason(case, made.reason)
    if made.outcome is Outcome.REJECTED and _NEW_CERTIFICATE not in cure:
        return f"{cure}{_at_once(case)}"
    return cure


def cure_reason(case: DeviceContext, reason: Reason) -> str:
    """What to do about a reason that the certificate and the fleet file alone give."""
    if reason in _PLAIN:
        return _PLAIN[reason]
    if reason in _CAUSE_GONE:
        return _cause_is_gone(case)
    if reason.final and reason.rests_on is Basis.RULES:
        ca = case.origin.name
        return (
            f"if it is one of yours, correct the rules of ca.{ca} in the fleet file, and deploy: "
            f"`{deploy_command(case.stage)}`; for all that were refused like it: `jitrctl device release "
            f"--rejected-for {reason.name} --ca {ca} {case.options}`"
        )
    if reason.final and reason.rests_on is Basis.CERTIFICATE:
        return _NEW_CERTIFICATE
    return _HELP.format(reason=reason.name)


def _cause_is_gone(case: DeviceContext) -> str:
    return (
        f"the links above are good, so its cause is gone: the device comes in by itself at its next evaluation; at "
        f"once: `jitrctl device release {case.device} {case.options}`, and have the device connect again"
    )


def release_command(case: DeviceContext) -> str:
    """The command that has a refused certificate evaluated again at its next connect."""
    found = case.stage_certificate
    is_revoked = found.registered is not None and found.registered.status is Status.REVOKED
    revoked = " --revoked" if found.record.was_revoked_or_deactivated or is_revoked else ""
    return f"`jitrctl device release {case.device}{revoked} {case.options}`"


def release_and_return(case: DeviceContext) -> str:
    """The commands that have a certificate evaluated again at once: registered without a CA, it is imported again."""
    again = f"import it again: `{_import_command(case)}`" if case.source else "have the device connect again"
    return f"{release_command(case)}, and {again}"


def reconcile_command(case: DeviceContext) -> str:
    """The command that gives an ACTIVE certificate the thing, groups and policy of the rules."""
    return f"`jitrctl device reconcile {case.device} {case.options}`"


def _cure_ambiguous(case: DeviceContext, _: Decision) -> str:
    cas = " and ".join(f"ca.{one.ca.name}" for one in case.possible)
    return (
        f"the certificate fits {cas} alike, and AWS IoT does not name one: remove one of them from "
        f"[account.{case.stage.account.name}] in the fleet file and deploy (`{deploy_command(case.stage)}`); then the "
        f"next sweep, or `jitrctl sweep {case.options}`, has the device evaluated under the other one. Devices that "
        "were activated keep their CA"
    )


LEFT_PENDING = (
    "find out why AWS IoT left it pending: its log group AWSIotLogsV2 says what of the template it could not make"
)


def _cure_under_template(case: DeviceContext, _: Decision) -> str:
    if case.ca.is_held:
        take_over = f"jitrctl ca adopt {case.ca.name} --take-over {case.options}"
        return f"{LEFT_PENDING}; or have jitr take the CA over: `{take_over}`"
    return _cause_is_gone(case)


def _cure_not_listed(case: DeviceContext, made: Decision) -> str:
    return f"if it is one of yours: `jitrctl enrollment allow {_thing(case, made)}`; it comes in when it connects again"


def _cure_denied(case: DeviceContext, made: Decision) -> str:
    denying = [one for one in _entries(case, made) if one.rule is EntryRule.DENY]
    if not denying:
        return "no entry denies it any more"
    allows = [f"`jitrctl enrollment allow {one.subject.name} --lift-denials`" for one in denying]
    says = "; ".join(
        f"the entry of {one.subject} is by {one.by}" + (f" ({one.note!r})" if one.note else "") for one in denying
    )
    return f"{says}: ask them; if it may come in, {' and '.join(allows)}"


def _cure_elsewhere(case: DeviceContext, made: Decision) -> str:
    accounts = {account.id: account.name for account in case.stage.fleet.accounts}
    texts = [
        f"`{_allow(one, accounts=[*(accounts.get(each, each) for each in one.accounts), case.stage.account.name])}`"
        for one in _entries(case, made)
        if one.rule is EntryRule.ALLOW and one.accounts and case.stage.account.id not in one.accounts
    ]
    where = "point the device at the endpoint of the account that it belongs to"
    if not texts:
        return f"{where}; no entry names another account any more: have the device connect again"
    return f"{where}; or let it in here, too: {' and '.join(texts)}"


def _cure_unusable(case: DeviceContext, made: Decision) -> str:
    words = [one.subject.name for one in _entries(case, made)] or [_thing(case, made)]
    return (
        f"`jitrctl enrollment show {words[0]}` shows the entry; write it again, which checks it first: "
        f"`jitrctl enrollment allow {words[0]}`; or add the type or group that it gives to extra_types or extra_groups "
        f"in the fleet file, and deploy: `{deploy_command(case.stage)}`"
    )


def _cure_awaiting(case: DeviceContext, _: Decision) -> str:
    return f"`jitrctl device approve {case.device} {case.options}`; it comes in when it connects again"


def _cure_not_a_rotation(case: DeviceContext, made: Decision) -> str:
    """By what makes it no rotation: the time of issue, the CA, or the life that the old certificate has left."""
    owner, rules = case.owner_of(_thing(case, made)), case.stage.rules.ca(made.ca_certificate_id or "")
    if owner is None or rules is None or owner.certificate_id == case.certificate_id:
        return f"nothing owns the name now: have the device connect again, or `jitrctl sweep {case.options}`"
    return _cure_rotation(case, owner, rules, twin_id=made.twin_id)


def _cure_rotation(case: DeviceContext, owner: Owner, rules: CaRules, *, twin_id: str | None) -> str:
    shows = f"`jitrctl device show {owner.certificate_id}` shows the other one"
    if owner.certificate_id == twin_id:
        return f"it is one certificate with its signature written differently: have the device use the other; {shows}"
    if case.certificate.not_before <= owner.issued_at:
        later = f"have the device use its later certificate, which has the name; {shows}"
        remove = f"`jitrctl device remove {owner.certificate_id} {case.options}`{_at_once(case)}"
        return f"{later}. If that one is the wrong one: {remove}"
    if owner.ca_certificate_id not in (rules.certificate_id, rules.succeeds):
        return f"{shows}{_cure_other_issuer(case, owner, rules)}"
    if rules.on_replacement is OnReplacement.REJECT:
        return _cure_replacement(case, None)
    comes_in = "the next sweep evaluates it again" if rules.is_source else "it comes in when it connects again"
    return (
        f"two devices may have one name; {shows}. If this is a rotation before its time: `{_allow_to_follow(case)}`; "
        f"{comes_in}"
    )


def _cure_other_issuer(case: DeviceContext, owner: Owner, rules: CaRules) -> str:
    """By where both certificates are from: what lets one follow the other (docs/migrate.md, who may follow whom)."""
    same = ". If it is the same device:"
    if rules.is_source:
        return f"{same} import it again with `{_import_command(case, '--may-follow')}`"
    if not owner.ca_certificate_id or is_source(owner.ca_certificate_id):
        return f"{same} `{_allow_to_follow(case)}`; it comes in when it connects again"
    old = next((ca.name for ca in case.stage.fleet.cas if ca.certificate_id == owner.ca_certificate_id), None)
    succeeds = (
        f'if ca.{rules.name} is the successor of ca.{old}: succeeds = "{old}" under [ca.{rules.name}] in the fleet '
        f"file, and `{deploy_command(case.stage)}`; if only this device changes its CA"
        if old
        else "if this is the same device, with a certificate of another CA"
    )
    return f"; {succeeds}: `jitrctl device remove {owner.certificate_id} {case.options}`{_at_once(case)}"


def _allow_to_follow(case: DeviceContext) -> str:
    """The order that lets the certificate follow another, with all that its entry gives."""
    subject = Subject(SubjectKind.CERTIFICATE, case.certificate_id)
    found = case.read_entries([subject]).get(subject)
    return _allow(found or Entry(subject=subject, rule=EntryRule.ALLOW), may_follow=True)


def _cure_replacement(case: DeviceContext, made: Decision | None) -> str:
    ca = case.origin.name
    owner = case.owner_of(_thing(case, made)) if made else None
    remove = f"; or end the other one: `jitrctl device remove {owner.certificate_id} {case.options}`" if owner else ""
    return (
        f'if devices of ca.{ca} may change certificates, set on_replacement = "rotate" there, and deploy: '
        f"`{deploy_command(case.stage)}`{remove}"
    )


def _cure_taken(case: DeviceContext, made: Decision) -> str:
    thing = _thing(case, made)
    return (
        f"if thing {thing} is not this device's, give one of the two another name; if it is, with its old certificate: "
        f"`jitrctl device adopt {thing} {case.options}`{_at_once(case)}, and it can follow as a rotation"
    )


def _cure_verdict(case: DeviceContext, made: Decision) -> str:
    verdict = case.stage_certificate.record.verdict
    if verdict is None and made.twin_id:
        return (
            "an operator shut out this certificate with its signature written differently; to undo that: "
            f"`jitrctl device release {made.twin_id} --revoked {case.options}`"
        )
    return f"if it is to be let in: {release_and_return(case)}"


def _cure_missing_target(case: DeviceContext, _: Decision) -> str:
    deploy = f"deploy the stack, which makes it again: `{restore_command(case.stage)}`"
    return f"{deploy}{_at_once(case)}; find out who deleted it"


def _cure_request(case: DeviceContext, made: Decision) -> str:
    policies = aws_command(case.stage, f"iot list-principal-things --principal {_arn(case)}")
    return (
        f"remove what the detail names; `{policies}` shows what the certificate is attached to; then "
        f"`jitrctl device release {made.certificate_id} {case.options}`, and have the device connect again"
    )


def _cure_crl(case: DeviceContext, _: Decision) -> str:
    ca = case.origin.name
    return f"publish the CA's present CRL: `jitrctl crl put {ca}.crl --ca {ca} {case.options}`, with its file"


def _cure_hook_refused(case: DeviceContext, _: Decision) -> str:
    return (
        "ask the owners of the CA's hook; it is asked again at the ordinary intervals, or at once: "
        f"{release_and_return(case)}"
    )


def _cure_hook_failed(case: DeviceContext, _: Decision) -> str:
    return (
        "repair the hook's function, as the detail says; it is asked again at the ordinary intervals, or at once: "
        f"{release_and_return(case)}"
    )


_WRITERS: dict[Reason, Callable[[DeviceContext, Decision], str]] = {
    Reason.CA_AMBIGUOUS: _cure_ambiguous,
    Reason.NOT_LISTED: _cure_not_listed,
    Reason.ENTRY_DENIES: _cure_denied,
    Reason.OTHER_ACCOUNT: _cure_elsewhere,
    Reason.ENTRY_UNUSABLE: _cure_unusable,
    Reason.AWAITING_APPROVAL: _cure_awaiting,
    Reason.NOT_A_ROTATION: _cure_not_a_rotation,
    Reason.REPLACEMENT_REFUSED: _cure_replacement,
    Reason.THING_TAKEN: _cure_taken,
    Reason.OPERATOR_VERDICT: _cure_verdict,
    Reason.TARGET_MISSING: _cure_missing_target,
    Reason.REQUEST_REFUSED: _cure_request,
    Reason.LIMIT_EXCEEDED: _cure_request,
    Reason.HOOK_REFUSED: _cure_hook_refused,
    Reason.HOOK_FAILED: _cure_hook_failed,
    Reason.CA_HAS_TEMPLATE: _cure_under_template,
    Reason.CRL_MISSING: _cure_crl,
    Reason.CRL_STALE: _cure_crl,
    Reason.CRL_UNUSABLE: _cure_crl,
}
# Held for something that an earlier link checks: if that were still so, doctor would have stopped there.
_CAUSE_GONE = frozenset({Reason.CA_UNKNOWN, Reason.CA_INACTIVE, Reason.CA_WRONG_MODE, Reason.CA_NOT_VALID_NOW})
_PLAIN = {
    Reason.WAS_REVOKED: "find out why it was revoked, and whether that was a mistake",
    Reason.REVOKED_BY_CA: f"ask the CA why; if the device may operate, {_NEW_CERTIFICATE}",
    Reason.SUSPENDED_BY_CA: "ask the CA why; the device comes in when the CA publishes a CRL without it",
}


def _thing(case: DeviceContext, made: Decision) -> str:
    return made.requested_name or made.thing_name or case.connects_as


def _at_once(case: DeviceContext) -> str:
    """How a held device is evaluated before its time, after something changed that is not about its certificate."""
    return f"; then {release_and_return(case)}"


def _import_command(case: DeviceContext, *more: str) -> str:
    """The command that imports the device, from its file where that was given."""
    file = case.device if case.file else "FILE"
    source = ("--source", case.source.name) if case.source else ()
    return " ".join(["jitrctl device import", file, *more, *source, case.options])


def _arn(case: DeviceContext) -> str:
    registered = case.stage_certificate.registered
    return registered.device.arn if registered else case.arn("iot", f"cert/{case.certificate_id}")


def _entries(case: DeviceContext, made: Decision) -> Iterable[Entry]:
    """The entries about the device: its certificate's, its twin's and its thing name's."""
    certificates = [one for one in (case.certificate_id, made.twin_id) if one]
    subjects = [Subject(SubjectKind.CERTIFICATE, one) for one in certificates]
    return case.read_entries([*subjects, Subject(SubjectKind.THING, _thing(case, made))]).values()


def _allow(entry: Entry, *, accounts: Iterable[str] = (), may_follow: bool = False) -> str:
    """The command that writes an entry again, with all that it gives, and these accounts."""
    gives = entry.additions
    words = [
        *(word for account in accounts for word in ("--belongs-to", account)),
        *(("--thing-type", gives.thing_type) if gives.thing_type else ()),
        *(word for group in gives.thing_groups for word in ("--group", group)),
        *(word for name, value in gives.attributes.items() for word in ("--attribute", f"{name}={value}")),
        *(("--may-follow",) if may_follow or entry.may_follow else ()),
    ]
    return shlex.join(["jitrctl", "enrollment", "allow", entry.subject.name, *words])
