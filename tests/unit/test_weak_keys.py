"""Weak RSA keys: ROCA's structure is found wherever it is, and nowhere else."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.x509.weak_keys import ROCA_PRIMES, is_roca, why_weak
from tests.support.cases.issuing import rsa_key
from tests.support.cases.weakness import PRIMES_IN_M, first_primes, roca_modulus


@pytest.mark.parametrize("bits", [512, 1024, 2048, 4096])
def test_a_key_made_by_the_faulty_library_is_found(bits: int) -> None:
    modulus = roca_modulus(bits)
    assert modulus.bit_length() == bits
    assert is_roca(modulus)
    assert "CVE-2017-15361" in str(why_weak(modulus))


def test_the_fingerprints_primes_are_those_of_the_shortest_keys() -> None:
    assert (2, *ROCA_PRIMES) == first_primes(PRIMES_IN_M[512])


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_key_of_openssl_is_not_weak(bits: int) -> None:
    assert why_weak(rsa_key(bits).public_key().public_numbers().n) is None


@given(st.integers(2**2047, 2**2048 - 1))
def test_a_number_at_random_has_not_the_structure(number: int) -> None:
    assert not is_roca(number)


@given(st.integers(0, 2**70), st.integers(0, 2**1800))
def test_every_power_of_65537_modulo_the_primes_has_the_structure(exponent: int, multiple: int) -> None:
    product = math.prod(ROCA_PRIMES)
    assert is_roca(pow(65_537, exponent, product) + multiple * product)


def test_a_power_modulo_every_single_prime_that_is_none_modulo_their_product_has_not_the_structure() -> None:
    """The short fingerprint, prime by prime, would find this one; the logarithms contradict each other."""
    dice = random.Random(1)  # noqa: S311 -- the same number every time
    number, product = 0, 1
    for prime in ROCA_PRIMES:
        power = pow(65_537, dice.randrange(prime), prime)
        number += product * ((power - number) * pow(product, -1, prime) % prime)
        product *= prime
    assert all(number % prime in {pow(65_537, e, prime) for e in range(prime)} for prime in ROCA_PRIMES)
    assert not is_roca(number)


@pytest.mark.parametrize("factor", [2, 3, 743, 751])
def test_a_modulus_with_a_small_factor_is_weak(factor: int) -> None:
    assert why_weak(factor * first_prime_from(2**2040)) == "its modulus has a small factor"


def test_the_least_factor_that_is_not_small_is_757() -> None:
    assert why_weak(757 * first_prime_from(2**2040)) is None


def first_prime_from(number: int) -> int:
    """The next number without small factors, which is all that matters here."""
    product = math.prod(first_primes(200))
    return next(candidate for candidate in range(number, number + 10_000) if math.gcd(candidate, product) == 1)
