"""Is the signature made with SHA-256 or better? Weak ones come from openssl; cryptography makes them no more."""

import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS

from jitr.errors import Reason
from jitr.rules import CheckMode
from tests.support.cases.case import admitted, refused
from tests.support.cases.issuing import Application, Authority, applying, factory, issue_ca, openssl, rsa_key
from tests.support.cases.ordinary import applying_by_openssl


def by_openssl(*options: str) -> Application:
    """A device whose certificate `openssl x509 -req` signed with these options."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        root = "req -x509 -newkey rsa:2048 -nodes -keyout rootCA.key -out rootCA.pem -days 1024 -subj"
        openssl(folder, *root.split(), "/O=Acme/CN=Acme root")
        return applying_by_openssl(folder, *options)


def rsa_authority() -> Authority:
    return issue_ca(key=rsa_key(owner="ca"))


@refused(Reason.SIGNATURE_ALGORITHM_REFUSED)
def md5() -> Application:
    """RSA with MD5, which is not even verified."""
    return by_openssl("-md5")


@refused(Reason.SIGNATURE_ALGORITHM_REFUSED)
def sha1() -> Application:
    """RSA with SHA-1, which is not even verified."""
    return by_openssl("-sha1")


@refused(Reason.SIGNATURE_ALGORITHM_REFUSED)
def sha1_observed() -> Application:
    """RSA with SHA-1 where the check `signature` is off: whether the CA issued it cannot be said all the same."""
    return by_openssl("-sha1").with_rules(checks={"signature": CheckMode.OFF})


@refused(Reason.SIGNATURE_ALGORITHM_REFUSED)
def sha224() -> Application:
    """RSA with SHA-224."""
    return by_openssl("-sha224")


@refused(Reason.SIGNATURE_ALGORITHM_REFUSED)
def ecdsa_with_sha224() -> Application:
    """ECDSA with SHA-224."""
    return applying(factory().leaf(digest=hashes.SHA224()))


@refused(Reason.SIGNATURE_ALGORITHM_REFUSED)
def ripemd() -> Application:
    """RSA with RIPEMD-160, which is known here by its number only."""
    return by_openssl("-ripemd160")


@refused(Reason.SIGNATURE_ALGORITHM_REFUSED)
def pss_with_sha1() -> Application:
    """RSASSA-PSS with SHA-1."""
    return by_openssl("-sha1", "-sigopt", "rsa_padding_mode:pss")


@refused(Reason.SIGNATURE_ALGORITHM_REFUSED)
def pss_with_a_weak_mask() -> Application:
    """RSASSA-PSS with SHA-256, and a mask made with SHA-1."""
    return by_openssl("-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_mgf1_md:sha1")


@refused(Reason.NOT_ISSUED_BY_CA)
def weak_and_somebody_elses() -> Application:
    """RSA with SHA-1, by an issuer of another name."""
    application = by_openssl("-sha1")
    strange = applying(application.device.pem, now=application.now)
    assert x509.load_pem_x509_certificate(application.device.pem.encode()).issuer != factory().subject
    return strange


@admitted
def pss_with_sha256() -> Application:
    """RSASSA-PSS with SHA-256 throughout."""
    return by_openssl("-sha256", "-sigopt", "rsa_padding_mode:pss")


@admitted
def pss_with_sha512() -> Application:
    """RSASSA-PSS with SHA-512 throughout."""
    authority = rsa_authority()
    padding = PSS(MGF1(hashes.SHA512()), PSS.DIGEST_LENGTH)
    return applying(authority.leaf(digest=hashes.SHA512(), padding=padding), authority=authority)


@admitted
def rsa_with_sha384() -> Application:
    """RSA with SHA-384."""
    authority = rsa_authority()
    return applying(authority.leaf(digest=hashes.SHA384()), authority=authority)


@admitted
def ecdsa_with_sha512() -> Application:
    """ECDSA with SHA-512."""
    return applying(factory().leaf(digest=hashes.SHA512()))
