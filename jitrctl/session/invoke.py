"""Invokes a stage's functions directly, past their queue or schedule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jitrctl.errors import Refused
from jitrctl.session.aws_errors import explain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitrctl.session.stage import Stage

# The read timeout exceeds the longest function timeout (the sweep: 600 s); a slow call is never repeated.
_PATIENT = Config(read_timeout=620, retries={"mode": "standard", "total_max_attempts": 1})


def invoke(stage: Stage, function: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Invoke a function and wait for its answer.

    Raises Refused with the error of the function or of Lambda.
    """
    try:
        answer = stage.access.client("lambda", _PATIENT).invoke(
            FunctionName=function, Payload=json.dumps(payload).encode()
        )
        said = json.loads(answer["Payload"].read())
    except (ClientError, BotoCoreError) as error:
        raise Refused(f"function {function} cannot be invoked: {explain(error)}") from error
    if answer.get("FunctionError"):
        raise Refused(
            f"{said.get('errorType')}: {said.get('errorMessage')}; its log is {stage.names.log_group(function)}"
        )
    return dict(said)


def start_sweep(stage: Stage) -> bool:
    """Ask the sweep to begin now, without waiting for it; otherwise its schedule starts it.

    A failure is a warning: what the sweep is to find is written, and it is found in any case.
    """
    try:
        stage.lambda_.invoke(
            FunctionName=stage.names.sweep_function, InvocationType="Event", Payload=json.dumps({}).encode()
        )
    except (BotoCoreError, ClientError) as error:
        stage.warnings.append(f"the sweep could not be started ({explain(error)}): its schedule starts it")
        return False
    return True
