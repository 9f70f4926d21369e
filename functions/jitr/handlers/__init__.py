"""Lambda entry points, one module per function.

A cold start makes some hundred thousand objects, nearly all to stay, and the garbage collector would look through them
again and again. So in Lambda it is off from here, which is imported before anything else of ours, until a function is
put together; what is there by then is never looked through again.
"""

import gc
import os
from collections.abc import Callable

IN_LAMBDA = "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ

if IN_LAMBDA:
    gc.disable()


def start(build: Callable[[], object]) -> None:
    """Put a function together, at init: it has the whole processor then, and a broken deployment takes no message.

    Raises what `build` raises.
    """
    try:
        build()
    finally:
        gc.freeze()
        gc.enable()
