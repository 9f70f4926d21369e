"""The fixture of all tests here."""

from tests.support.prove.proving_world import world

__all__ = ["world"]
