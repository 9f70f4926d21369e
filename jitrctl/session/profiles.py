"""Makes one botocore session for each AWS profile, shared by all its accounts, so that an MFA code is asked for once.

Fifty accounts of one profile, with a role in each, are opened with one code. The credentials are cached where the AWS
CLI caches them (~/.aws/cli/cache), so neither the next command nor the AWS CLI asks again.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError, RefreshWithMFAUnsupportedError
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader
from botocore.utils import JSONFileCache

from jitrctl.errors import AccessError
from jitrctl.prompts import ask
from jitrctl.session.aws_errors import name_the_action

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODES = 3  # for each profile, valid or not; as sudo does
_SIX_DIGITS = re.compile("[0-9]{6}")  # as STS's model, but ASCII digits only

# API models are read once for the process.
_loader = Loader()
_Surroundings = frozenset[tuple[str, str]]
_kept: dict[tuple[str | None, _Surroundings], botocore.session.Session] = {}
_finding: WeakKeyDictionary[botocore.session.Session, threading.Lock] = WeakKeyDictionary()
_failed: dict[botocore.session.Session, Exception] = {}  # why a session has no credentials
_asked: Counter[str] = Counter()  # codes, by profile


def session_of(profile: str | None, region: str) -> botocore.session.Session:
    """The session of a profile; None is the environment's. For one thread at a time, as botocore demands.

    `region` is where the profile's roles are assumed when it has no Region; only the first call's counts, so all
    callers must pass the same.

    Raises botocore's ProfileNotFound; AccessError when a code is needed and this botocore would ask for it itself.
    """
    surroundings = frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
    if (profile, surroundings) not in _kept:
        alike = next((one for (_, around), one in _kept.items() if around == surroundings), None)
        _kept[profile, surroundings] = _make_session(profile, region, alike)
    return _kept[profile, surroundings]


def find_credentials(session: botocore.session.Session) -> None:
    """Have the session load its credentials; safe in many threads, with one lock for each session.

    A profile's `credential_process` may take a second, and an MFA code until it is typed. botocore asks for a code once
    (botocore.credentials.create_mfa_serial_refresher) and raises an error in later threads; these get the first
    thread's error instead.

    Raises botocore's errors about credentials, also STS's; AccessError when a code was needed and not given. The same
    error may be raised in many threads.
    """
    with _finding[session]:
        try:
            if credentials := session.get_credentials():
                credentials.get_frozen_credentials()
        except RefreshWithMFAUnsupportedError as error:
            why = _failed.get(session, error)  # else the credentials of the code have expired
        except (BotoCoreError, ClientError, AccessError) as error:
            why = _failed[session] = error
        else:
            return
    raise why


def ask_again(session: botocore.session.Session) -> None:
    """Drop the session, so that `session_of` makes another and asks for a code again. For one thread at a time.

    botocore asks once in a session. So a session whose code AWS refused, or whose credentials have expired, is of no
    further use.

    Raises AccessError when the profile's number of codes is used up.
    """
    for (profile, surroundings), one in tuple(_kept.items()):
        if one is session:  # else another thread has dropped it
            if _asked[_profile_name(profile)] >= _CODES:
                raise _codes_used_up(_profile_name(profile))
            del _kept[profile, surroundings]


def _make_session(profile: str | None, region: str, alike: botocore.session.Session | None) -> botocore.session.Session:
    core = botocore.session.Session(profile=profile, event_hooks=_handlers(), include_builtin_handlers=False)
    if alike:
        # Share the parsed profiles; without this private attribute they are only parsed again.
        core._config = alike.full_config  # type: ignore[attr-defined]  # noqa: SLF001
    core.register_component("data_loader", _loader)
    core.set_config_variable("region", core.get_scoped_config().get("region") or region)
    roles = core.get_component("credential_provider").get_provider("assume-role")
    roles.cache = _cache()
    _finding[core] = threading.Lock()
    name = _profile_name(profile)
    if hasattr(roles, "_prompter"):
        roles._prompter = partial(_ask_code, name)  # noqa: SLF001 -- no other way
    elif _wants_a_code(core.full_config["profiles"], name):
        raise AccessError(  # botocore would ask in this thread, over the progress and other questions
            f"profile {name} wants an MFA code, and jitrctl cannot ask for it with botocore {botocore.__version__}: "
            "install the botocore of constraints.txt, or have the credentials in the environment"
        )
    return core


@cache
def _handlers() -> HierarchicalEmitter:
    """The event handlers of botocore and jitrctl; registering them for each session would take 15 ms."""
    handlers = HierarchicalEmitter()
    botocore.session.Session(event_hooks=handlers).register("after-call", name_the_action)
    return handlers


def _wants_a_code(profiles: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether a profile, or a source profile of it, names an MFA device."""
    seen: set[str] = set()
    while name in profiles and name not in seen:
        if "mfa_serial" in profiles[name]:
            return True
        seen.add(name)
        name = profiles[name].get("source_profile", "")
    return False


def _profile_name(profile: str | None) -> str:
    return profile or os.environ.get("AWS_PROFILE") or "default"


def _ask_code(profile: str, prompt: str) -> str:
    """An MFA code; `prompt` is botocore's, and names the device.

    An answer that is no code is not sent to AWS, but counts, so that the questions end.

    Raises AccessError when none is given.
    """
    before = "Another code is wanted, since each counts once. " if _asked[profile] else ""
    while _asked[profile] < _CODES:
        _asked[profile] += 1
        answer = ask(
            f"{before}Profile {profile}: {prompt}",
            otherwise=f"profile {profile} wants an MFA code, and there is nobody to ask: run `aws sts "
            f"get-caller-identity --profile {profile}` in a terminal, then this again",
        )
        code = "".join(answer.split())  # devices show 123 456
        if _SIX_DIGITS.fullmatch(code):
            return code
        before = "An MFA code is six digits. "
    raise _codes_used_up(profile)


def _codes_used_up(profile: str) -> AccessError:
    return AccessError(
        f"profile {profile} is given up after three MFA codes: each counts once, so wait until the device shows "
        "another, then run it again"
    )


def _cache() -> JSONFileCache | dict[str, Any]:
    """The cache for roles' credentials: the AWS CLI's; without a home directory, for this process only."""
    home = os.path.expanduser("~")  # noqa: PTH111 -- Path.home() raises RuntimeError then
    return {} if home == "~" else _Cache(os.path.join(home, ".aws", "cli", "cache"))  # noqa: PTH118 -- as botocore's own


class _Cache(JSONFileCache):
    """botocore's cache; entries that cannot be written are kept for this process, unreadable ones are missing."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._unwritten: dict[str, Any] = {}

    def __contains__(self, key: object) -> bool:
        try:
            self[str(key)]
        except KeyError:
            return False
        return True

    def __getitem__(self, key: str) -> Any:
        return self._unwritten[key] if key in self._unwritten else super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        try:
            super().__setitem__(key, value)
        except OSError:  # a read-only or full file system
            self._unwritten[key] = value
        else:
            self._unwritten.pop(key, None)
