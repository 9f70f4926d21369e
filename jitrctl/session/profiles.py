"""AWS profiles as botocore reads them: one session for each, whoever uses it, so that a code is asked for once.

Fifty accounts behind one profile, with a role in each, are opened with one code; what AWS gives for a code is kept
where the AWS CLI keeps it, under ~/.aws/cli/cache, so that the next command does not ask again, nor this one after
`aws … --profile` was given a code.
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

_CODES = 3  # for one profile, whatever is behind it and whatever was answered; as sudo does
_SIX_DIGITS = re.compile("[0-9]{6}")  # as botocore's model of STS has it, but for digits of other scripts

# API models are read once for the process.
_loader = Loader()
_Surroundings = frozenset[tuple[str, str]]
_kept: dict[tuple[str | None, _Surroundings], botocore.session.Session] = {}
_finding: WeakKeyDictionary[botocore.session.Session, threading.Lock] = WeakKeyDictionary()
_failed: dict[botocore.session.Session, Exception] = {}  # why a session has no credentials: told to all
_asked: Counter[str] = Counter()  # codes, by profile


def session_of(profile: str | None, region: str) -> botocore.session.Session:
    """The session of a profile; None is what the environment says. For one thread at a time, as botocore asks.

    `region` is where roles that the profile names are assumed when it has no Region itself; the first who asks decides,
    so all are to say the same.

    Raises botocore's ProfileNotFound; AccessError when a code will be wanted, and this botocore would ask by itself.
    """
    surroundings = frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
    if (profile, surroundings) not in _kept:
        alike = next((one for (_, around), one in _kept.items() if around == surroundings), None)
        _kept[profile, surroundings] = _made(profile, region, alike)
    return _kept[profile, surroundings]


def find_credentials(session: botocore.session.Session) -> None:
    """Have the session find its credentials, which it then has; for many threads at a time, each session for itself.

    A profile's `credential_process` may take a second, and a code until it is typed. botocore asks for it once
    (botocore.credentials.create_mfa_serial_refresher) and tells whoever comes after that it does not ask again: here
    they are told what became of the code.

    Raises botocore's errors about credentials, also STS's; AccessError when a code was wanted, and not given. The same
    one may be raised in many threads.
    """
    with _finding[session]:
        try:
            if credentials := session.get_credentials():
                credentials.get_frozen_credentials()
        except RefreshWithMFAUnsupportedError as error:
            why = _failed.get(session, error)  # else what the code gave has run out
        except (BotoCoreError, ClientError, AccessError) as error:
            why = _failed[session] = error
        else:
            return
    raise why


def ask_again(session: botocore.session.Session) -> None:
    """Have the session's profile asked for a code again: `session_of` makes another. For one thread at a time.

    A session whose code AWS did not take is of no use any more, since botocore asks once for it; and neither is one for
    which what a code gave has run out.

    Raises AccessError when the profile was asked for as many codes as it may be.
    """
    for (profile, surroundings), one in tuple(_kept.items()):
        if one is session:  # else another thread has seen to it
            if _asked[_named(profile)] >= _CODES:
                raise _given_up(_named(profile))
            del _kept[profile, surroundings]


def _made(profile: str | None, region: str, alike: botocore.session.Session | None) -> botocore.session.Session:
    core = botocore.session.Session(profile=profile, event_hooks=_handlers(), include_builtin_handlers=False)
    if alike:
        # It would parse all profiles again; where botocore calls this something else, it does.
        core._config = alike.full_config  # type: ignore[attr-defined]  # noqa: SLF001
    core.register_component("data_loader", _loader)
    core.set_config_variable("region", core.get_scoped_config().get("region") or region)
    roles = core.get_component("credential_provider").get_provider("assume-role")
    roles.cache = _cache()
    _finding[core] = threading.Lock()
    name = _named(profile)
    if hasattr(roles, "_prompter"):
        roles._prompter = partial(_code, name)  # noqa: SLF001 -- no other way
    elif _wants_a_code(core.full_config["profiles"], name):
        raise AccessError(  # botocore would ask in whichever thread it is, over the progress and other questions
            f"profile {name} wants an MFA code, and jitrctl cannot ask for it with botocore {botocore.__version__}: "
            "install the botocore of constraints.txt, or have the credentials in the environment"
        )
    return core


@cache
def _handlers() -> HierarchicalEmitter:
    """The event handlers of botocore and ours, which every session would else register anew: 15 ms."""
    handlers = HierarchicalEmitter()
    botocore.session.Session(event_hooks=handlers).register("after-call", name_the_action)
    return handlers


def _wants_a_code(profiles: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether a profile, or the one whose credentials it uses, and so on, names an MFA device."""
    seen: set[str] = set()
    while name in profiles and name not in seen:
        if "mfa_serial" in profiles[name]:
            return True
        seen.add(name)
        name = profiles[name].get("source_profile", "")
    return False


def _named(profile: str | None) -> str:
    return profile or os.environ.get("AWS_PROFILE") or "default"


def _code(profile: str, prompt: str) -> str:
    """An MFA code; `prompt` is botocore's, and names the device.

    What cannot be one does not go to AWS, which has a sentence of its own for each way of being wrong, and botocore has
    more. It counts as asked all the same, so that there is an end.

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
    raise _given_up(profile)


def _given_up(profile: str) -> AccessError:
    return AccessError(
        f"profile {profile} is given up after three MFA codes: each counts once, so wait until the device shows "
        "another, then run it again"
    )


def _cache() -> JSONFileCache | dict[str, Any]:
    """Where roles' credentials are kept: with the AWS CLI's; for this process alone where nobody has a home."""
    home = os.path.expanduser("~")  # noqa: PTH111 -- Path.home() raises RuntimeError then
    return {} if home == "~" else _Cache(os.path.join(home, ".aws", "cli", "cache"))  # noqa: PTH118 -- as botocore's own


class _Cache(JSONFileCache):
    """botocore's, but what cannot be written is kept for this process, and what cannot be read is not there."""

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
        except OSError:  # a home that is read-only, or full
            self._unwritten[key] = value
        else:
            self._unwritten.pop(key, None)
