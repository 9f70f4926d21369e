"""Names the folder of the local AWS in a checkout, and the fleet file in it."""

from __future__ import annotations

LOCAL = ".local"
FLEET_FILE = "fleet.toml"  # in the checkout, too
