"""Where jitr and openssl do not agree on a certificate, and why that is so.

Every difference belongs under one of these reasons. differences.txt names each single oddity besides.
"""

import re

# The answers of this version are listed; see test_openssl.py for what happens under another one.
OPENSSL = "3.0"

# Other encodings of a certificate around its signed part that openssl verifies: each is another certificate id under
# the same signature, a way around every denial and revocation (encoding.py). jitr takes the twin alone, by its id.
REENCODINGS = {
    "ECDSA": {},
    "RSA": {},
}

# openssl reads and verifies it, and jitr does not read it: its words → the reason.
NOT_READ = {
    r".*(\(BER\)|more bytes than it needs)": "BER where the CA signed: readers need not agree on where it ends",
    r"validity, not(Before|After): .*": "a time that RFC 5280 does not have: openssl refuses it once it looks at times",
    r"version: .*": "a version that X.509 does not have",
    r".*its value is of ASN\.1 type 0x\w\w, which is no string": "no string: openssl takes any type in a name",
    r"(subject|issuer): a relative name is empty": "RFC 5280 §4.1.2.4 has no empty ones",
    r"public key: .*": "a key that cryptography cannot load; openssl does not look at the key of a leaf",
    r"\w+ cannot be read: more follows than belongs there": "openssl passes over bytes behind an extension's value",
    r"keyUsage cannot be read: an element of type 0x24 .*": "an extension's value in parts is BER",
    r"cRLDistributionPoints cannot be read: .*": "a distribution point that openssl passes over",
}

# As NOT_READ, of certificates that openssl loads as they are, and that nobody could verify: file → the reason.
VECTORS_NOT_READ = {}


def reason_not_read(why: str) -> str | None:
    """Why jitr does not read what openssl verifies, by jitr's own words; None: that is not listed."""
    return next((reason for words, reason in NOT_READ.items() if re.fullmatch(words, why)), None)
