"""A terminal at which MFA codes are asked for, and what AWS says of a code."""

import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

CONFIG = """\
[profile base]
aws_access_key_id = testing
aws_secret_access_key = testing
[profile acme-dev]
source_profile = base
role_arn = arn:aws:iam::111111111111:role/operator
mfa_serial = arn:aws:iam::999999999999:mfa/ann
[profile acme-prod]
source_profile = base
role_arn = arn:aws:iam::222222222222:role/operator
mfa_serial = arn:aws:iam::999999999999:mfa/ann
"""
# An account behind a profile that other accounts are behind, too.
BEHIND = """\
[account.a{number}]
id = "{number}"
regions = ["eu-central-1"]
profile = "acme-dev"
role_arn = "arn:aws:iam::{number}:role/operator"
ca.factory = {{ mode = "SNI_ONLY" }}
"""


class Screen:
    """A terminal, its progress, and what is asked on it."""

    def __init__(self) -> None:
        self.is_terminal = True
        self.is_shown = False
        self.asked: list[str] = []
        self.said: list[str] = []
        self.codes: list[str] = []  # the first answers

    def status(self, _: str) -> Any:
        self.start()
        return nullcontext(SimpleNamespace(update=lambda _: None, stop=self.stop, start=self.start))

    def start(self) -> None:
        self.is_shown = True

    def stop(self) -> None:
        self.is_shown = False

    def print(self, text: str, **_: Any) -> None:
        self.said.append(text)

    def getpass(self, question: str) -> str:
        assert threading.current_thread() is threading.main_thread()
        assert not self.is_shown
        self.asked.append(question)
        return self.codes.pop(0) if self.codes else "123456"


A_STRAY_KEY = UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid continuation byte")
