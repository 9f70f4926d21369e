"""What an environment keeps of certificates that it has read: little, however large they are."""

import gc
import tracemalloc
from collections.abc import Iterator

from jitr.admission.checks import read_certificate
from tests.support.cases.der import PRINTABLE, SEQUENCE, as_pem, attribute, distinguished_name, signed, tbs_with, tlv
from tests.support.cases.mutation import fuzzed_ca, shapes
from tests.support.differential.odd_extensions import SAN, extension, extensions

_MOST = 2 * 2**20  # bytes; all ten of these would take 7 MB


def largest() -> Iterator[str]:
    """As large as AWS IoT takes them: by names in the extension, or in a subject that the second reader reads."""
    base, ca = shapes()["P-256, no extensions"], fuzzed_ca()
    for number in range(5):
        uris = tlv(SEQUENCE, *(tlv(0x86, b"%d:%d" % (number, one)) for one in range(4000)))
        yield as_pem(signed(tbs_with(base, extensions=extensions(extension(SAN, uris))), authority=ca))
        subject = distinguished_name(
            *([attribute(b"\x55\x04\x0b", b"%d_%d" % (number, one), kind=PRINTABLE)] for one in range(2300))
        )
        yield as_pem(signed(tbs_with(base, subject=subject), authority=ca))


def test_the_largest_certificates_that_there_are_leave_little_in_memory() -> None:
    written = list(largest())
    assert all(30_000 < len(pem) <= 65_536 for pem in written)
    read_certificate(written[0])
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for pem in written:
        read_certificate(pem)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept < _MOST


def test_a_large_certificate_is_read_once_in_an_attempt() -> None:
    pem = next(largest())
    assert read_certificate(pem) is read_certificate(pem)
