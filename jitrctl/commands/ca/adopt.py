"""`jitrctl ca adopt`: from JITP to JITR: a template's block of fleet.toml, and the take-over of the CA."""

from __future__ import annotations

import functools
from pathlib import Path  # noqa: TC003 -- Typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jitr_fleet.names import OWN_NAME, OWN_NAME_LENGTH
from jitrctl.commands.ca.kept_template import KeptOfCa, find_kept, kept_document, show_kept
from jitrctl.commands.ca.take_over import change_jitp
from jitrctl.errors import Unusable
from jitrctl.jitp.adoption import inspect_jitp
from jitrctl.jitp.sample import SAMPLE
from jitrctl.jitp.target import find_target, fleet_of_profile
from jitrctl.run import completion
from jitrctl.run.scope import Note, Scope, Yes, over_stages
from jitrctl.session.stage import only
from jitrctl.terminal import err, out, short, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitr_fleet.model import Fleet
    from jitrctl.jitp.adoption import Adoption
    from jitrctl.jitp.target import TargetCa
    from jitrctl.session.stage import Stage
    from jitrctl.terminal import Output

_NEW_FLEET, _NEW_ACCOUNT = "fleet", "main"


def _without_file(own: Mapping[str, Any], chosen: Mapping[str, Any]) -> Fleet | None:
    """The fleet of --profile, where there is no fleet file; None without that option."""
    if own["profile"] is None:
        return None
    if chosen["fleet"] or chosen["account"]:
        raise Unusable(
            "--profile is for an account without a fleet file: leave out --fleet and --account, or --profile"
        )
    if own["take_over"] or own["undo"]:
        raise Unusable(
            "--take-over and --undo need the fleet file and its stack: write it, deploy it, then say --account"
        )
    regions = chosen["region"] or []
    if len(regions) != 1:
        raise Unusable("--profile needs one --region: the one in which the CA is registered")
    return fleet_of_profile(_NEW_FLEET, _NEW_ACCOUNT, own["profile"], regions[0])


@functools.partial(over_stages, proven=False, one_stage=True, without_file=_without_file)
def adopt(
    scope: Scope,
    name: Annotated[
        str,
        typer.Argument(
            metavar="CA",
            help="Its name in the fleet file, its id, or the file of its certificate.",
            autocompletion=completion.cas,
        ),
    ],
    new_name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What the fleet file calls a CA that it does not have.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FOLDER", help="Write the block and its files into this folder.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", help="How many of the CA's devices to compare.", min=0, max=100)
    ] = SAMPLE,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", metavar="PROFILE", help="An AWS profile, if there is no fleet file yet; with --region."
        ),
    ] = None,
    note: Note = "",
    *,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the template off, and let jitr decide on the CA's devices.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put the template back that --take-over has taken off.")] = False,
    yes: Yes = False,
) -> None:
    """Adopt a CA of just-in-time provisioning (JITP): print its block of fleet.toml, or take it over (--take-over).

    The block does what the CA's template does. Below it comes what the template says that jitr does not, and, for some
    devices, what JITP made and what jitr would
    make. This changes nothing. --take-over takes the template off, once the stack is deployed with `jitp = true` in the
    CA's entry of the account; --undo puts it back. Where it was taken off, the template that is kept is printed.

    One account and one Region for each run.

    Example: jitrctl ca adopt factory --account dev

    jitrctl ca adopt factory --account dev --take-over
    """
    if new_name is not None and not (OWN_NAME.fullmatch(new_name) and len(new_name) <= OWN_NAME_LENGTH):
        raise Unusable(
            f"--name {new_name}: a name has lower-case letters, digits and single hyphens, a letter first, and at most "
            f"{OWN_NAME_LENGTH} characters"
        )
    if take_over and undo:
        raise Unusable("--take-over and --undo are opposites: choose one")
    target = find_target(scope.fleet, name, new_name)
    if target.declared and new_name not in (None, target.name):
        raise Unusable(f"--name is for a CA that the fleet file does not have, and it calls this one {target.name}")
    stage = _only_stage(scope, target)
    if not (take_over or undo):
        if note or yes:
            raise Unusable("--note and --yes are for --take-over and --undo: this reads, and changes nothing")
        _show_block(scope, stage, target, write, sample, is_written=profile is None)
        return
    if target.declared is None:
        raise Unusable(
            f"the fleet file does not have this CA: `jitrctl ca adopt {name}{scope.fleet_option}` prints the block to "
            "write into it"
        )
    if write:
        raise Unusable("--write is for the block, which --take-over and --undo do not make: leave one of them out")
    change_jitp(scope, stage, target.declared, note, sample=sample, undoes=undo, yes=yes)


def _only_stage(scope: Scope, target: TargetCa) -> Stage:
    """The stage that is meant: if the fleet file gives the CA to one alone, that.

    Raises AccessError.
    """
    having = [stage for stage in scope.stages if any(one.ca.name == target.name for one in stage.account.cas)]
    return only(having or scope.stages)


def _show_block(
    scope: Scope, stage: Stage, target: TargetCa, write: Path | None, sample: int, *, is_written: bool
) -> None:
    def inspect(stage: Stage) -> Adoption | KeptOfCa:
        kept = find_kept(stage, target.declared) if target.declared and not write else None
        return kept or inspect_jitp(stage, target, is_written=is_written, sample=sample)

    results = scope.across(inspect, doing="asking AWS IoT", stages=[stage])
    written: list[str] = []

    def show() -> None:
        (done,) = results.done
        if isinstance(done.value, KeptOfCa):
            show_kept(stage, done.value, scope.fleet_option)
            return
        screen = out if write else err
        if not write:
            out.print(done.value.toml, end="", markup=False, soft_wrap=True)
            screen.print()
        _explain(screen, done.value, written)
        screen.print(_next(scope, stage, target, done.value, written), markup=False, soft_wrap=True)

    if write:
        for done in results.done:
            if not isinstance(done.value, KeptOfCa):
                written += _write_files(write, done.value.files)

    def fields(one: Adoption | KeptOfCa) -> dict[str, Any]:
        return kept_document(one) if isinstance(one, KeptOfCa) else _document(one, written)

    scope.report(results, show=show, fields=fields)


def _next(scope: Scope, stage: Stage, target: TargetCa, found: Adoption, written: list[str]) -> str:
    """What an engineer does after this."""
    here = f"--account {stage.account.name} --region {stage.region}"
    order = f"jitrctl ca adopt {found.block.name} {here} --take-over{scope.fleet_option}"
    deployed = f"deploy the stack with jitp = true, then `{order}`."
    if target.declared:
        has_key = any(one.jitp for one in stage.account.cas if one.ca.name == target.name)
        return f"Next: once the stack is deployed with jitp = true, `{order}`." if has_key else f"Next: {deployed}"
    if written and not found.entry.is_written:
        return (
            "Next: choose the names of the fleet and of the account, which become names of resources, look through the "
            f"file, `jitrctl fleet check`, {deployed}"
        )
    if written:
        return f"Next: take them into the fleet file and its folder, `jitrctl fleet check`, {deployed}"
    return "Next: --write FOLDER writes this with the CA's certificate and the policy's document."


def _write_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write the files, and return their paths; nothing is written if one of them exists.

    Raises Unusable.
    """
    for path in files:
        if (folder / path).exists():
            raise Unusable(f"{folder / path} is there already, and was not changed: name another folder, or move it")
        for above in ((folder / path).parent, folder):
            if above.exists() and not above.is_dir():
                raise Unusable(f"{above} is no folder, and was not changed: name another folder, or move it")
    for path, text in files.items():
        try:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / path).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise Unusable(f"{folder / path} is there already, and was not changed: name another folder") from error
        except OSError as error:
            raise Unusable(f"{folder / path} cannot be written ({error.strerror}): name another folder") from error
    return [str(folder / path) for path in files]


def _explain(screen: Output, found: Adoption, written: list[str]) -> None:
    block = found.block
    whose = f"the provisioning template {found.template.name}" if found.template.name else "the CA's own template body"
    screen.print(f"CA {found.ca.certificate_id} ({found.ca.mode}), {whose}.", markup=False, soft_wrap=True)
    for path in written:
        screen.print(f"Written: {path}", markup=False, soft_wrap=True)
    _list(screen, "Not translated:", block.missing)
    if found.checked.policy_problems:
        where = next((one for one in written if one.endswith(".jitp.json")), block.unused_policy_path)
        _list(
            screen,
            f"The template's policy cannot be the fleet file's. Until {where} is mended and named with `policy`, "
            "devices get jitr's own:",
            found.checked.policy_problems,
        )
    _list(screen, "Decided in another way:", block.remarks)
    _list(screen, f"The fleet file's [ca.{block.name}] is not what the template does:", found.differing)
    if not found.is_listed:
        said = f"{len(found.sample) or 'none'} of the account's newest and oldest were signed by it"
        screen.print(f"AWS IoT lists no certificate under this CA; {said}.", soft_wrap=True)
    if not found.sample:
        return
    screen.print(f"What JITP made, and what jitr would make under {found.rules_of}:", markup=False, soft_wrap=True)
    screen.print(table(_rows(found)))


def _list(screen: Output, heading: str, lines: tuple[str, ...]) -> None:
    if lines:
        screen.print(heading, markup=False, soft_wrap=True)
    for line in lines:
        screen.print(f"  {line}", markup=False, soft_wrap=True)


def _rows(found: Adoption) -> list[dict[str, str]]:
    rows = []
    for one in found.sample:
        device = {"certificate": short(one.certificate_id), "thing": ", ".join(one.things) or "-"}
        if one.refused:
            rows.append({**device, "": "!", "what": "not admitted", "JITP": one.status.value, "jitr": one.refused})
        elif not one.differences:
            rows.append({**device, "": "=", "what": "all", "JITP": "", "jitr": ""})
        rows += [
            {**device, "": "!", "what": each.what, "JITP": each.jitp, "jitr": each.jitr} for each in one.differences
        ]
    return rows


def _document(found: Adoption, written: list[str]) -> dict[str, Any]:
    block = found.block
    return {
        "ca": block.name,
        "certificate_id": found.ca.certificate_id,
        "mode": found.ca.mode,
        "template": found.template.name,
        "role_arn": found.template.role_arn,
        "toml": found.toml,
        "policy": block.policy,
        "policy_problems": list(found.checked.policy_problems),
        "missing": list(block.missing),
        "remarks": list(block.remarks),
        "differing": list(found.differing),
        "files": written,
        "rules_of": found.rules_of,
        "sample": [
            {
                "certificate_id": one.certificate_id,
                "status": one.status.value,
                "things": list(one.things),
                "jitr_thing": one.jitr_thing,
                "refused": one.refused,
                "same": list(one.same),
                "differences": [{"what": each.what, "jitp": each.jitp, "jitr": each.jitr} for each in one.differences],
            }
            for one in found.sample
        ],
    }
