"""Reads the lists of devices that makers and factories deliver: bytes in, rows out.

    for item in reading.read_files([Path("manifest.json")], Signers()):
        ...     # a Row, a Refusal (a row that cannot be used, and why) or a Skipped (what is no device)

A form is recognized by its content. Each module here reads one form, one row at a time, so a file may be longer than
the memory. A file that cannot be read as a whole raises UnusableManifest. Nothing here knows the fleet or AWS: what a
row becomes is decided by its caller (jitrctl/device/enrollment_rows.py).

A list never holds a private key: a file with one is refused, and nothing of it appears in a message.
"""
