"""The catalogue of certificates: every case there is, in files by what they are about."""

# Importing a file lists its cases.
from tests.support.cases import (
    enrollment,
    factories,
    families,
    issuance,
    keys,
    names,
    naming_fields,
    odd,
    ordinary,
    reading,
    revocation,
    signatures,
    subject,
    usage,
    validity,
    weakness,
)
from tests.support.cases.case import CASES, Case

__all__ = [
    "CASES",
    "Case",
    "enrollment",
    "factories",
    "families",
    "issuance",
    "keys",
    "names",
    "naming_fields",
    "odd",
    "ordinary",
    "reading",
    "revocation",
    "signatures",
    "subject",
    "usage",
    "validity",
    "weakness",
]
