"""RSA keys whose private half anybody could work out; made here, by the very fault that made them in the field."""

import math
import random
from functools import cache

from jitr.errors import Reason
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import issued_with, rsa_key_of
from tests.support.cases.issuing import Application, applying, factory, rsa_key

# Nemec et al., The Return of Coppersmith's Attack, table 1: M is the product of so many of the first primes.
PRIMES_IN_M = {512: 39, 1024: 71, 2048: 126, 3072: 126, 4096: 225}


@refused(Reason.KEY_WEAK)
def roca() -> Application:
    """An RSA key of 2048 bits as Infineon's library made them (CVE-2017-15361)."""
    return issued_with(key=rsa_key_of(roca_modulus(2048)))


@refused(Reason.KEY_WEAK)
def roca_4096() -> Application:
    """One of 4096 bits, for which the library multiplied more primes."""
    return issued_with(key=rsa_key_of(roca_modulus(4096)))


@admitted
def nearly_roca() -> Application:
    """A sound key, of which one prime has ROCA's structure and the other has not."""
    numbers = rsa_key().private_numbers()
    return issued_with(key=rsa_key_of(roca_prime(1024, random.Random(7)) * numbers.p))  # noqa: S311 -- no secret


@refused(Reason.KEY_WEAK)
def even_modulus() -> Application:
    """A modulus that 2 divides."""
    return issued_with(key=rsa_key_of(rsa_key().public_key().public_numbers().n - 1))


@refused(Reason.UNREADABLE)
def even_exponent() -> Application:
    """An exponent of 4, for which there is no private one; cryptography takes it for no key."""
    return issued_with(key=rsa_key_of(rsa_key().public_key().public_numbers().n, 4))


@refused(Reason.UNREADABLE)
def exponent_1() -> Application:
    """An exponent of 1, with which nothing is encrypted at all; cryptography takes it for no key."""
    return issued_with(key=rsa_key_of(rsa_key().public_key().public_numbers().n, 1))


@admitted
def exponent_3() -> Application:
    """An exponent of 3, as old devices have it: `openssl genrsa -3`."""
    return issued_with(key=rsa_key_of(rsa_key().public_key().public_numbers().n, 3))


@refused(Reason.KEY_OF_THE_CA)
def key_of_its_ca() -> Application:
    """The CA issued a certificate for its own key."""
    return applying(factory().leaf(key=factory().key))


@cache
def roca_modulus(bits: int) -> int:
    """The product of two primes with ROCA's structure, always the same; its private key is thrown away."""
    dice = random.Random(bits)  # noqa: S311 -- a key that is meant to be weak
    return roca_prime(bits // 2, dice) * roca_prime(bits // 2, dice)


def roca_prime(bits: int, dice: random.Random) -> int:
    """A prime k*M + (65537^a mod M)."""
    product = math.prod(first_primes(PRIMES_IN_M[2 * bits]))
    while True:
        about = dice.randrange(
            3 << (bits - 2), 1 << bits
        )  # the upper quarter, so that two make a modulus of full length
        candidate = about - about % product + pow(65_537, dice.getrandbits(256), product)
        if candidate.bit_length() == bits and is_probably_prime(candidate):
            return candidate


@cache
def first_primes(count: int) -> tuple[int, ...]:
    primes: list[int] = []
    candidate = 2
    while len(primes) < count:
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
        candidate += 1
    return tuple(primes)


def is_probably_prime(number: int) -> bool:
    """Miller and Rabin, with the first twelve primes as bases; what a small prime divides needs no power."""
    if any(number % prime == 0 for prime in first_primes(500)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_may_be_prime(number, base, odd, twos) for base in first_primes(12))


def _may_be_prime(number: int, base: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, number)
    return power in (1, number - 1) or any(pow(power, 2**twice, number) == number - 1 for twice in range(1, twos))
