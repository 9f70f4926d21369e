"""AWS profiles as botocore reads them: one session for each, whoever uses it, so that a code is asked for once.

Fifty accounts behind one profile, with a role in each, are opened with one code; what AWS gives for a code is kept
where the AWS CLI keeps it, under ~/.aws/cli/cache, so that the next command does not ask again, nor this one after
`aws … --profile` was given a code.
"""

from __future__ import annotations

import os
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import botocore.session
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader
from botocore.utils import JSONFileCache

from jitrctl.asking import ask
from jitrctl.errors import AccessError
from jitrctl.explaining import name_the_action

if TYPE_CHECKING:
    from collections.abc import Mapping

# API models are read once for the process.
_loader = Loader()
_Surroundings = frozenset[tuple[str, str]]
_kept: dict[tuple[str | None, _Surroundings], botocore.session.Session] = {}
_finding: WeakKeyDictionary[botocore.session.Session, threading.Lock] = WeakKeyDictionary()
_asked_again: set[str] = set()  # profiles
_unanswered: dict[str, str] = {}  # profiles, and what whoever asked was told


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

    A profile's `credential_process` may take a second.

    Raises botocore's errors about credentials.
    """
    with _finding[session]:
        session.get_credentials()


def ask_again(session: botocore.session.Session) -> None:
    """Have the session's profile asked for a code again: `session_of` makes another. For one thread at a time.

    botocore asks once for a session (botocore.credentials.create_mfa_serial_refresher): one whose code AWS did not take
    is of no use any more, and neither is one for which what a code gave has run out.

    Raises AccessError when the last question had no answer: whoever asked was told so, and the others are, too.
    """
    for (profile, surroundings), one in tuple(_kept.items()):
        if one is session:  # else another thread has seen to it
            if _named(profile) in _unanswered:
                raise AccessError(_unanswered[_named(profile)])
            _asked_again.add(_named(profile))
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
    """An MFA code; `prompt` is botocore's, and names the device."""
    before = "Another code is wanted, since each counts once. " if profile in _asked_again else ""
    try:
        return ask(
            f"{before}Profile {profile}: {prompt}",
            otherwise=f"profile {profile} wants an MFA code, and there is nobody to ask: run `aws sts "
            f"get-caller-identity --profile {profile}` in a terminal, then this again",
        )
    except AccessError as error:
        _unanswered[profile] = str(error)
        raise


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
