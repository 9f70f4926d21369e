"""PEM as it is found: text around it, header lines inside, and what it is not."""

import pytest

from jitr.errors import Reason, Rejected
from jitr.x509.pem import Encrypted, decode, without_headers
from tests.support.cases.der import der_of
from tests.support.cases.issuing import factory

PEM = factory().leaf()
BEGIN, _, REST = PEM.partition("\n")


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "\n",
        "Comment: x\n",
        "Comment: x\n\n",
        "A: 1\nB: 2\n goes on\n\n",
        "A: 1\nB: 2\n\n",
        "\nA: 1\n\n",
        "A: MIIBAgMEBQYH\n\n",
        "Proc-Type: 4,CLEAR\n\n",
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_header_lines_inside_a_block_are_passed_over(headers: str, line_end: str) -> None:
    assert decode(f"{BEGIN}\n{headers}{REST}".replace("\n", line_end)) == der_of(PEM)


def test_text_around_the_block_is_passed_over() -> None:
    assert decode(f"Bag Attributes\n  friendlyName: a -- b\n{PEM}\nbye: now\n") == der_of(PEM)


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        ("", "PEM has no blocks"),
        (PEM * 2, "PEM has 2 blocks"),
        (PEM.replace("CERTIFICATE", "PUBLIC KEY"), "block is not a certificate"),
        (PEM.partition("-----END")[0], "has no END line"),
        (f"{BEGIN}\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\n{REST}", "is encrypted"),
        (f"{BEGIN}\n-{REST}", "is not base64"),
        (f"{BEGIN}\nBjörn\n{REST}", "is not base64"),
        (f"{BEGIN}\nComment: x\n-----END CERTIFICATE-----", ""),
    ],
)
def test_what_is_no_certificate_in_pem_is_said_in_words(pem: str, said: str) -> None:
    if not said:
        assert decode(pem) == b""
        return
    with pytest.raises(Rejected, match=said) as refusal:
        decode(pem)
    assert refusal.value.reason is Reason.UNREADABLE


def test_what_has_no_header_lines_is_left_as_it_is() -> None:
    assert without_headers(" MIIB\n AA==\n") == " MIIB\n AA==\n"
    with pytest.raises(Encrypted):
        without_headers("proc-type: 4, encrypted\n\nAA==")
