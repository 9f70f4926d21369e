"""The twin's id: what the same certificate is called once its ECDSA signature is written differently."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from jitr.x509.certificate import Certificate
from jitr.x509.signature_twin import _ORDERS, twin_id
from tests.support.cases.issuing import Authority, certificate_id, ec_key, factory, issue_ca, rsa_key
from tests.support.cases.twins import twin_of

CURVES = [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1]


@pytest.fixture(params=CURVES, ids=lambda curve: curve.name)
def authority(request: pytest.FixtureRequest) -> Authority:
    return issue_ca(key=ec_key(request.param, owner="ca"))


def order(authority: Authority) -> int:
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    return _ORDERS[authority.key.curve.name]


@pytest.mark.parametrize("_again", range(8))  # a signature's length varies
def test_the_twin_of_a_certificate_is_as_good_and_named_beforehand(authority: Authority, _again: int) -> None:
    ca, pem = Certificate.from_pem(authority.pem), authority.leaf()
    certificate, twin = Certificate.from_pem(pem), Certificate.from_pem(twin_of(pem, order(authority)))
    assert twin.is_issued_by(ca), "or it would be no threat"
    assert twin.fingerprint != certificate.fingerprint
    assert twin_id(certificate, ca) == twin.fingerprint
    assert twin_id(twin, ca) == certificate.fingerprint


def test_under_an_rsa_key_there_is_no_twin() -> None:
    authority = issue_ca(key=rsa_key(owner="ca"))
    assert twin_id(Certificate.from_pem(authority.leaf()), Certificate.from_pem(authority.pem)) is None


def test_a_signature_that_is_none_of_the_cas_curve_has_no_twin() -> None:
    """As of a certificate that names this CA, and was signed by somebody else."""
    ca = Certificate.from_pem(factory().pem)
    assert twin_id(Certificate.from_pem(factory().leaf(signer=rsa_key(owner="other"))), ca) is None
    larger = factory().leaf(signer=ec_key(ec.SECP521R1, owner="other"))
    assert twin_id(Certificate.from_pem(larger), ca) is None
    assert certificate_id(larger)
