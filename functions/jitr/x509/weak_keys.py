"""Recognizes RSA public keys whose private key can be computed, by the modulus alone.

There are two families:

- A modulus with a small factor (CA/Browser Forum Baseline Requirements §6.1.6: none below 752).
- ROCA, CVE-2017-15361: Infineon's library made primes of the form k*M + (65537^a mod M), M the product of the first
  primes, so that such a modulus is itself a power of 65537 modulo M. (Nemec, Sys, Svenda, Klinec, Matyas: The Return of
  Coppersmith's Attack, ACM CCS 2017, §2.)

Exponents are not checked: cryptography refuses 1 and even ones. An exponent of 3 is weak only with careless
verification, and devices in the field have it.
"""

import math
from functools import cache

_GENERATOR = 65_537
# The 38 odd primes of the published fingerprint, 3 to 167: those of the shortest keys' M, which divides all others.
ROCA_PRIMES = (
    *(3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71),
    *(73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167),
)
_SMALL_PRIMES = math.prod(n for n in range(2, 752) if all(n % divisor for divisor in range(2, math.isqrt(n) + 1)))


def why_weak(modulus: int) -> str | None:
    """Why the private key can be computed; None for a key that is not known to be weak."""
    if math.gcd(modulus, _SMALL_PRIMES) != 1:
        return "its modulus has a small factor"
    if is_roca(modulus):
        return "it was made by a faulty library (ROCA, CVE-2017-15361), so the private key can be computed from it"
    return None


def is_roca(modulus: int) -> bool:
    """Whether the modulus is a power of 65537 modulo the product of ROCA_PRIMES.

    It searches the discrete logarithm prime by prime (Pohlig and Hellman): each prime gives it modulo the order of
    65537, and all of them have to agree. One in 2^154 random moduli passes.
    """
    exponent, order = 0, 1
    for prime in ROCA_PRIMES:
        powers = _powers(prime)
        found = powers.get(modulus % prime)
        if found is None:
            return False
        common = math.gcd(order, len(powers))
        if (found - exponent) % common:
            return False
        # Combines both congruences: the Chinese remainder theorem, for orders that share factors.
        step = (found - exponent) // common * pow(order // common, -1, len(powers) // common)
        exponent += order * (step % (len(powers) // common))
        order = math.lcm(order, len(powers))
    return True


@cache
def _powers(prime: int) -> dict[int, int]:
    """The powers of 65537 modulo a prime, and their exponents."""
    powers: dict[int, int] = {}
    power = 1
    while power not in powers:
        powers[power] = len(powers)
        power = power * _GENERATOR % prime
    return powers
