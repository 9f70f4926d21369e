"""The fixture of all tests here."""

from tests.prove.proving_world import world

__all__ = ["world"]
