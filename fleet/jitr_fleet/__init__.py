"""fleet.toml, read once into values that need no further checking: `fleet.parse.load` is the way in.

Works offline: it knows the file, the certificates and the policies beside it, and never AWS.
"""
