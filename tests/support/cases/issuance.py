"""Is the CA the fleet's, as it should be in this account, and did it issue the certificate?"""

import tempfile
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from jitr.admission.issuers import find_issuer
from jitr.errors import Reason
from tests.support.cases.case import admitted, refused
from tests.support.cases.der import as_pem, der_of, signed, tbs_with
from tests.support.cases.issuing import (
    DAY,
    NOW,
    SECOND,
    Application,
    Authority,
    SigningKey,
    applying,
    certificate_id,
    ec_key,
    factory,
    issue_ca,
    name,
    openssl,
    rsa_key,
    rules_for,
)


@refused(Reason.CA_UNKNOWN)
def ca_of_no_account() -> Application:
    """AWS names a CA that fleet.toml does not list for this account."""
    return applying().with_device(ca_certificate_id="f" * 64)


@refused(Reason.CA_UNKNOWN)
def no_ca() -> Application:
    """The certificate was registered without a CA."""
    return applying().with_device(ca_certificate_id=None)


@refused(Reason.CA_UNKNOWN)
def ca_deleted() -> Application:
    """The CA was deleted from the account since it signed the device in."""
    return replace(applying(), ca=None)


@refused(Reason.CA_AMBIGUOUS)
def two_cas_of_one_key() -> Application:
    """AWS names no CA, and two of the account's have the same name and key: one was renewed."""
    return unnamed_beside_renewed(issue_ca(key=ec_key(owner="renewed")).leaf())


def unnamed_beside_renewed(pem: str, *, authority: Authority | None = None) -> Application:
    """A device whose CA AWS does not name, in an account with that CA and with another one of its name and key."""
    authority = authority or issue_ca(key=ec_key(owner="renewed"))
    renewed = rules_for(issue_ca(key=authority.key), name="renewed").cas
    application = applying(pem, authority=authority)
    rules = replace(application.rules, cas=(*application.rules.cas, *renewed))
    device = replace(application.device, ca_certificate_id=None)
    return replace(application, rules=rules, device=find_issuer(device, rules))


@refused(Reason.CA_DIFFERS)
def another_ca_registered() -> Application:
    """AWS shows another certificate for the CA than fleet.toml names: same name and key, issued anew."""
    return applying().with_ca(pem=issue_ca().pem)


@refused(Reason.CA_DIFFERS)
def registered_ca_unreadable() -> Application:
    """What AWS shows for the CA is not a certificate."""
    return applying().with_ca(pem="-")


@refused(Reason.CA_DIFFERS)
def ca_without_basic_constraints() -> Application:
    """The root does not say that it is a CA."""
    authority = issue_ca(is_ca=None)
    return applying(authority.leaf(), authority=authority)


@refused(Reason.CA_DIFFERS)
def ca_that_says_it_is_none() -> Application:
    """The root says CA:FALSE."""
    authority = issue_ca(is_ca=False)
    return applying(authority.leaf(), authority=authority)


@refused(Reason.CA_DIFFERS)
def ca_of_version_1() -> Application:
    """The root is an X.509 v1 certificate, which cannot say that it is a CA."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        openssl(folder, "genrsa", "-out", "ca.key", "2048")
        openssl(folder, *["req", "-new", "-key", "ca.key", "-out", "ca.csr", "-subj", "/CN=Acme-root"])
        openssl(folder, *["x509", "-req", "-in", "ca.csr", "-signkey", "ca.key", "-out", "ca.pem", "-days", "1024"])
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        assert isinstance(key, SigningKey)
        authority = Authority((folder / "ca.pem").read_text(), key)
    return applying(authority.leaf(), authority=authority)


@refused(Reason.CA_NOT_VALID_NOW)
def ca_expired() -> Application:
    """The root ended a second ago."""
    authority = issue_ca(ends=NOW - SECOND)
    return applying(authority.leaf(), authority=authority)


@refused(Reason.CA_NOT_VALID_NOW)
def ca_not_yet_valid() -> Application:
    """The root begins in a second."""
    authority = issue_ca(begins=NOW + SECOND)
    return applying(authority.leaf(), authority=authority)


@admitted
def ca_in_its_first_second() -> Application:
    """The root begins now."""
    authority = issue_ca(begins=NOW)
    return applying(authority.leaf(), authority=authority)


@admitted
def ca_in_its_last_second() -> Application:
    """The root ends with this second, of which a part has passed."""
    authority = issue_ca(ends=NOW)
    return applying(authority.leaf(), authority=authority, now=NOW + 0.9 * SECOND)


@refused(Reason.CA_INACTIVE)
def ca_inactive() -> Application:
    """An operator set the CA INACTIVE."""
    return applying().with_ca(active=False)


@refused(Reason.CA_WRONG_MODE)
def ca_in_sni_only_mode() -> Application:
    """The CA is registered in SNI_ONLY mode, and fleet.toml declares DEFAULT."""
    return applying().with_ca(mode="SNI_ONLY")


@refused(Reason.CA_WRONG_MODE)
def ca_in_default_mode() -> Application:
    """The CA is registered in DEFAULT mode, and fleet.toml declares SNI_ONLY."""
    return applying().with_rules(certificate_mode="SNI_ONLY")


@refused(Reason.NOT_ISSUED_BY_CA)
def signed_by_an_impostor() -> Application:
    """The issuer's name is the CA's, the signature is somebody else's."""
    return applying(factory().leaf(signer=ec_key(owner="impostor")))


@refused(Reason.NOT_ISSUED_BY_CA)
def signed_by_another_kind_of_key() -> Application:
    """The issuer's name is the CA's, the signature is an RSA one, and the CA's key is not."""
    return applying(factory().leaf(signer=rsa_key(owner="impostor")))


@refused(Reason.ISSUER_NAME_DIFFERS)
def issuer_of_another_name() -> Application:
    """The CA's key signed, but the certificate names another issuer."""
    return applying(factory().leaf(issuer=name([(NameOID.COMMON_NAME, "Acme other CA")])))


@refused(Reason.NOT_ISSUED_BY_CA)
def signed_by_itself() -> Application:
    """The device signed its own certificate, and calls its issuer what it calls itself."""
    return applying(factory().leaf(issuer=name([(NameOID.COMMON_NAME, "sensor-0001")]), signer=ec_key()))


@refused(Reason.NOT_ISSUED_BY_CA)
def changed_after_signing() -> Application:
    """The common name was changed after the CA had signed."""
    return applying(as_pem(der_of(factory().leaf()).replace(b"sensor-0001", b"sensor-0002")))


@refused(Reason.ENCODING_REFUSED)
def two_signature_algorithms() -> Application:
    """The part that is signed names SHA-256, the certificate around it SHA-384 (RFC 5280 §4.1.1.2)."""
    ecdsa_with_sha384 = bytes.fromhex("300a06082a8648ce3d040303")
    return applying(as_pem(signed(tbs_with(), algorithm=ecdsa_with_sha384)))


@refused(Reason.NOT_ISSUED_BY_CA)
def issued_by_the_other_ca() -> Application:
    """Another CA of the fleet issued it, not the one that AWS names."""
    other = issue_ca("Acme other CA", key=ec_key(owner="other ca"))
    pem = other.leaf()
    application = applying(pem)
    rules = replace(application.rules, cas=(*application.rules.cas, *rules_for(other, name="other").cas))
    return replace(application, rules=rules).with_device(certificate_id=certificate_id(pem))


@admitted
def ca_renewed_with_its_key() -> Application:
    """The CA was issued anew with the same name and key, and the device's certificate is from before."""
    return applying(factory().leaf(begins=NOW - 2 * DAY), authority=issue_ca(begins=NOW - DAY))
