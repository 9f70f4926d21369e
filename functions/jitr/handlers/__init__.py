"""Lambda entry points, one module per function.

A cold start creates some hundred thousand objects, nearly all of them permanent, and the garbage collector would scan
them repeatedly. So in Lambda it is disabled from here, the first module of jitr that is imported, until the function is
built. Objects that exist by then are never scanned again.
"""

import gc
import os
from collections.abc import Callable

IN_LAMBDA = "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ

if IN_LAMBDA:
    gc.disable()


def start(build: Callable[[], object]) -> None:
    """Build a function at init: there it has the whole processor, and a broken deployment receives no message.

    Raises what `build` raises.
    """
    try:
        build()
    finally:
        gc.freeze()
        gc.enable()
