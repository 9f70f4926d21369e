"""Reads fleet.toml into checked values; the entry point is `jitr_fleet.parse.load`.

Works offline: it reads the file and the certificates and policies that it names, and never calls AWS.
"""
