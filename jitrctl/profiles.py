"""AWS profiles as botocore reads them: one session for each, whoever uses it, so that a code is asked for once.

Fifty accounts behind one profile, with a role in each, are opened with one code; what AWS gives for a code is kept
where the AWS CLI keeps it, under ~/.aws/cli/cache, so that the next command does not ask again, nor this one after
`aws … --profile` was given a code.
"""

from __future__ import annotations

import os
from functools import cache, partial
from pathlib import Path

import botocore.session
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader
from botocore.utils import JSONFileCache

from jitrctl.asking import ask
from jitrctl.explaining import name_the_action

# API models are read once for the process.
_loader = Loader()
_Surroundings = frozenset[tuple[str, str]]
_kept: dict[tuple[str | None, _Surroundings], botocore.session.Session] = {}


def session_of(profile: str | None, region: str) -> botocore.session.Session:
    """The session of a profile; None is what the environment says. For one thread at a time, as botocore asks.

    `region` is where roles that the profile names are assumed. Raises botocore's ProfileNotFound.
    """
    surroundings = frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
    if (profile, surroundings) not in _kept:
        alike = next((one for (_, around), one in _kept.items() if around == surroundings), None)
        _kept[profile, surroundings] = _made(profile, region, alike)
    return _kept[profile, surroundings]


def _made(profile: str | None, region: str, alike: botocore.session.Session | None) -> botocore.session.Session:
    core = botocore.session.Session(profile=profile, event_hooks=_handlers(), include_builtin_handlers=False)
    if alike:
        core._config = alike.full_config  # type: ignore[attr-defined]  # noqa: SLF001 -- it would parse all profiles again
    core.register_component("data_loader", _loader)
    core.set_config_variable("region", region)
    roles = core.get_component("credential_provider").get_provider("assume-role")
    roles.cache = JSONFileCache(str(Path.home() / ".aws" / "cli" / "cache"))  # as the AWS CLI does
    roles._prompter = partial(_code, profile or os.environ.get("AWS_PROFILE") or "default")  # noqa: SLF001 -- no other way
    return core


@cache
def _handlers() -> HierarchicalEmitter:
    """The event handlers of botocore and ours, which every session would else register anew: 15 ms."""
    handlers = HierarchicalEmitter()
    botocore.session.Session(event_hooks=handlers).register("after-call", name_the_action)
    return handlers


def _code(profile: str, prompt: str) -> str:
    """An MFA code; `prompt` is botocore's, and names the device."""
    return ask(
        f"Profile {profile}: {prompt}",
        otherwise=f"profile {profile} wants an MFA code, and there is nobody to ask: run `aws sts get-caller-identity "
        f"--profile {profile}` in a terminal, then this again",
    )
