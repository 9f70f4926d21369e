"""Every command of jitrctl: whether it reads, acts, keeps CAs or works on this machine alone; with arguments to run it.

`{device}` stands for a device's PEM file, `{id}` for its certificate's id, `{event}` for a stored event, `{out}` and
`{survey}` for a file to write.
"""

from __future__ import annotations

READING: dict[str, list[str]] = {
    "jitrctl ca csr": ["--ca", "factory", "-o", "{out}"],
    "jitrctl ca plan": [],
    "jitrctl ca status": ["--count"],
    "jitrctl crl show": [],
    "jitrctl device list": [],
    "jitrctl device show": ["{device}"],
    "jitrctl device where": ["{device}"],
    "jitrctl dlq list": [],
    "jitrctl dlq show": ["0"],
    "jitrctl doctor": ["{device}"],
    "jitrctl enrollment list": [],
    "jitrctl enrollment show": ["sensor-0001"],
    "jitrctl fleet devices": [],
    "jitrctl fleet expiring": [],
    "jitrctl fleet quotas": [],
    "jitrctl fleet status": [],
    "jitrctl fleet survey": ["{survey}"],
    "jitrctl fleet try-rules": ["--sample", "2"],
}
ACTING: dict[str, list[str]] = {
    "jitrctl ca accept-rejections": ["factory", "--note", "not ours", "--yes"],
    "jitrctl ca pause": ["--yes"],
    "jitrctl ca resume": [],
    "jitrctl device approve": ["{device}"],
    "jitrctl device deny": ["{device}", "--yes"],
    "jitrctl device release": ["{device}", "--yes"],
    "jitrctl device remove": ["{device}", "--yes"],
    "jitrctl device deactivate": ["{device}", "--yes"],
    "jitrctl device revoke": ["{device}", "--yes"],
    "jitrctl enrollment allow": ["sensor-0001", "--yes"],
    "jitrctl enrollment deny": ["sensor-0001", "--yes"],
    "jitrctl enrollment remove": ["sensor-0001", "--yes"],
    "jitrctl replay": ["{event}"],
    "jitrctl sweep": [],
}
# What changes CAs and publishes CRLs; the rest needs more of a situation than one line can make.
KEEPING_CAS: dict[str, list[str]] = {
    "jitrctl ca apply": ["--yes"],
}
KEEPING_CAS_BY_OTHER_TESTS = {
    "jitrctl ca adopt",
    "jitrctl ca retire",
    "jitrctl ca revoke",
    "jitrctl ca rotate",
    "jitrctl ca switch-mode",
    "jitrctl crl approve",
    "jitrctl crl put",
}
# Acting commands likewise; what they call is among what others call.
BY_OTHER_TESTS = {
    "jitrctl fleet adopt apply",
    "jitrctl device adopt",
    "jitrctl device import",
    "jitrctl device reconcile",
    "jitrctl device retire",
    "jitrctl dlq redrive",
    "jitrctl dlq drop",
    "jitrctl enrollment import",
    "jitrctl fleet copy-denials",
}
# Under a policy of its own, policies/operators/prove.json: tests/prove/test_policy.py.
PROVING = {"jitrctl prove"}
# What must have been done to the device before, since otherwise a command finds nothing to do; by who may act.
BEFORE: dict[str, list[str]] = {
    "jitrctl device release": ["device", "deny", "{device}", "--yes"],
    "jitrctl device remove": ["device", "deny", "{device}", "--yes"],
}
OFFLINE = {
    "jitrctl fleet adopt plan",
    "jitrctl ca create",
    "jitrctl ca verification",
    "jitrctl demo",
    "jitrctl device issue",
    "jitrctl fleet check",
    "jitrctl local connect",
    "jitrctl local deploy",
    "jitrctl local down",
    "jitrctl local issue",
    "jitrctl local status",
    "jitrctl local up",
    "jitrctl verify",
}
