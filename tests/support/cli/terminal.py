"""Standard output that is a terminal; its width is the environment's COLUMNS."""

from io import StringIO


class Terminal(StringIO):
    """What a command prints on a terminal."""

    def isatty(self) -> bool:
        return True
