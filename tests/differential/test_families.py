"""Families of certificates, and a CA that only the second reader takes: admitted, and verified by openssl, too."""

from collections.abc import Callable

import pytest

from jitr.x509.certificate import Certificate
from tests.support.cases.der import der_of
from tests.support.cases.families import MAKERS, Family, issued_by_odd_ca, odd_ca
from tests.support.cases.issuing import factory
from tests.support.differential import openssl
from tests.support.differential.openssl import OpenSSL


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_family_is_verified_by_openssl_and_read_by_the_reader_it_says(make: Callable[[], Family]) -> None:
    family = make()
    said = openssl.ask({family.name: der_of(family.pem)}, factory().pem)
    assert said == {family.name: OpenSSL.VERIFIED}
    assert Certificate.from_pem(family.pem).was_read_again is family.is_read_again
    assert family.application.admit().thing_name


def test_what_an_odd_ca_issues_is_verified_by_openssl() -> None:
    authority = odd_ca()
    assert Certificate.from_pem(authority.pem).was_read_again
    pem = issued_by_odd_ca(authority)
    assert openssl.ask({"device": der_of(pem)}, authority.pem) == {"device": OpenSSL.VERIFIED}
    assert Certificate.from_pem(pem).encoded.issuer == Certificate.from_pem(authority.pem).encoded.subject
