"""What AWS IoT logs, as `doctor` and `fleet status` tell: the default level, and events that have one of their own."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import botocore.session
import pytest

from jitrctl.status.iot_logging import iot_logging

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage

MODEL = botocore.session.get_session().get_service_model("iot")


class Iot:
    """AWS IoT that has these logging options; events are answered only to who asks for them."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.meta = SimpleNamespace(service_model=MODEL)
        self._options = options

    def get_v2_logging_options(self, *, verbose: bool = False) -> dict[str, Any]:
        return {name: one for name, one in self._options.items() if verbose or name != "eventConfigurations"}


def events(**levels: str) -> list[dict[str, str]]:
    return [{"eventType": event, "logLevel": level} for event, level in levels.items()]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"defaultLogLevel": "ERROR"}, "ERROR"),
        ({"defaultLogLevel": "ERROR", "eventConfigurations": events(Connect="ERROR")}, "ERROR"),
        (
            {"defaultLogLevel": "ERROR", "eventConfigurations": events(Publish="DISABLED", Connect="INFO")},
            "ERROR, but Connect INFO, Publish DISABLED",
        ),
        ({"defaultLogLevel": "DISABLED", "eventConfigurations": events(Connect="WARN")}, "DISABLED, but Connect WARN"),
        ({"defaultLogLevel": "DISABLED", "eventConfigurations": events(Connect="DISABLED")}, None),
        ({"defaultLogLevel": "DISABLED"}, None),
        ({"defaultLogLevel": "INFO", "disableAllLogs": True, "eventConfigurations": events(Connect="INFO")}, None),
        ({}, None),
    ],
)
def test_events_levels_of_their_own_are_told_beside_the_default(options: dict[str, Any], said: str | None) -> None:
    assert iot_logging(cast("Stage", SimpleNamespace(iot=Iot(options)))) == said
