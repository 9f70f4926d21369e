"""Where jitr and openssl do not agree on a certificate, and why that is so.

Every difference belongs under one of these reasons; of what openssl refuses and jitr admits, under one of
compared.Cure. differences.txt names each single oddity besides.
"""

import re

# The answers of this version are listed; see test_openssl.py for what happens under another one.
OPENSSL = "3.0"

# Other encodings of a certificate around its signed part that openssl verifies: each is another certificate id under
# the same signature, a way around every denial and revocation (encoding.py). jitr takes the twin alone, by its id.
REENCODINGS = (
    "algorithm: OID with a long length",
    "algorithm: length in one byte more",
    "algorithm: length left open",
    "bit string: in one part",
    "bit string: length in one byte more",
    "bit string: length left open",
    "certificate: NULL follows",
    "certificate: a byte follows",
    "certificate: it stands there twice",
    "certificate: length in one byte more",
    "certificate: length in two bytes more",
    "certificate: length left open",
    "certificate: tag in the long form",
)

# openssl reads and verifies it, and jitr does not read it: its words → the reason.
NOT_READ = {
    r".*(\(BER\)|more bytes than it needs)(; outside the signed .*)?": "BER in the signed part: readers may not agree",
    r"validity, not(Before|After): .*": "a time that RFC 5280 does not have: openssl refuses it once it looks at times",
    r"version: .*": "a version that X.509 does not have",
    r".*its value is of ASN\.1 type 0x\w\w, which is no string": "no string: openssl takes any type in a name",
    r"(subject|issuer): a relative name is empty": "RFC 5280 §4.1.2.4 has no empty ones",
    r"public key: .*": "a key that cryptography cannot load; openssl does not look at the key of a leaf",
    r"\w+ cannot be read: bytes follow the element": "openssl passes over bytes behind an extension's value",
    r"keyUsage cannot be read: an element of type 0x24 .*": "an extension's value in parts is BER",
    r"cRLDistributionPoints cannot be read: .*": "a distribution point that openssl passes over",
}

_LOOSE_SIGNATURE = "made to fail: its signature has unused bits"
_OUTER_ALGORITHM = "its outer algorithm is not the signed one; openssl loads it, and verifies none such"
_DSA = "a DSA key that takes its parameters from its CA, which AWS IoT has none of"

# As NOT_READ, of certificates that openssl loads as they are, and that nobody could verify: file → the reason.
VECTORS_NOT_READ = {
    "PKITS_data/certs/BadSignedCACert.crt": _LOOSE_SIGNATURE,
    "PKITS_data/certs/DSAParametersInheritedCACert.crt": _DSA,
    "PKITS_data/certs/InvalidDSASignatureTest6EE.crt": _LOOSE_SIGNATURE,
    "PKITS_data/certs/ValidDSAParameterInheritanceTest5EE.crt": _DSA,
    "badasn1time.pem": "an offset in its time, which RFC 5280 does not have",
    "custom/invalid_version.pem": "a version that X.509 does not have",
    "custom/mismatch_inner_outer_sig_algorithm.der": _OUTER_ALGORITHM,
    "custom/rsa_pss_cert_invalid_mgf.der": _OUTER_ALGORITHM,
    "custom/rsa_pss_cert_no_sig_params.der": _OUTER_ALGORITHM,
    "custom/rsa_pss_cert_unsupported_mgf_hash.der": _OUTER_ALGORITHM,
    "custom/unsupported_subject_public_key_info.pem": "a key of a type that nobody knows",
    "e-trust.ru.der": "a key of a Russian standard, which cryptography does not load",
    "v1_cert.pem": _OUTER_ALGORITHM,
}


def reason_not_read(why: str) -> str | None:
    """Why jitr does not read what openssl verifies, by jitr's own words; None: that is not listed."""
    return next((reason for words, reason in NOT_READ.items() if re.fullmatch(words, why)), None)
