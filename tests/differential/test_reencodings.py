"""Outside the signed part a certificate has one encoding, or it would have many ids."""

import pytest

from jitr.errors import Rejected
from jitr.x509.certificate import Certificate
from jitr.x509.signature_twin import twin_id
from tests.support.cases.catalogue import CASES, Case
from tests.support.cases.der import der_of
from tests.support.cases.reencoding import TWIN, reencodings


@pytest.mark.parametrize("case", [case for case in CASES if case.expected is None], ids=str)
def test_no_reencoding_of_an_admitted_certificate_is_read_but_its_twin(case: Case) -> None:
    application = case.make()
    assert application.ca
    ca = Certificate.from_pem(application.ca.pem)
    der = der_of(application.device.pem)
    taken = {}
    for how, other in reencodings(der, ca.public_key).items():
        try:
            read = Certificate.from_der(other)
        except Rejected:
            continue
        if read.is_issued_by(ca):
            taken[how] = read.fingerprint
    twin = twin_id(Certificate.from_der(der), ca)
    assert taken == ({TWIN: twin} if twin else {})
