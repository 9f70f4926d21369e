"""The checks of admission, one function each: it returns, or raises Rejected with its Reason.

check_list.py has their order, procedure.py runs them and applies their modes.
"""

from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from jitr.admission import naming
from jitr.admission.enrollment import NO_ENTRIES, Enrollment
from jitr.admission.identity import identity_of
from jitr.errors import Misconfigured, Reason, Rejected
from jitr.frozen import value
from jitr.iot_models import CaRegistration, DeviceRegistration
from jitr.rules import CaRules, CheckMode
from jitr.x509.certificate import Certificate
from jitr.x509.crl import CrlProblem, RevocationList, Revocations
from jitr.x509.extensions import PROCESSED, UNDERSTOOD, UNDERSTOOD_WITH_REVOCATION, extension_name
from jitr.x509.weak_keys import why_weak

_STRONG_HASHES = frozenset({"sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"})
_BROKEN_HASHES = frozenset({"md5", "sha1"})  # collisions are practical, so a signature proves nothing
_CLIENT_PURPOSES = frozenset(
    oid.dotted_string for oid in (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
)


@value
class CheckInput:
    """The input of a check."""

    device: DeviceRegistration
    certificate: Certificate
    ca: CaRegistration | None  # what AWS says of the CA that the certificate names; None when it knows no such CA
    rules: CaRules
    now: datetime
    revocations: Revocations = None  # what is published as the CA's CRL
    enrollment: Enrollment = NO_ENTRIES


# AWS IoT accepts 64 KiB of PEM, which takes 400 KB of memory as a value; ordinary certificates: 2 KiB, and 5 KB.
_ORDINARY = 8192  # characters
_keep_many = lru_cache(maxsize=64)(Certificate.from_pem)
_keep_few = lru_cache(maxsize=2)(Certificate.from_pem)


def read_certificate(pem: str) -> Certificate:
    """Read a certificate; the last few are cached, since a function reads the same CAs again and again.

    Raises Rejected(UNREADABLE, ENCODING_REFUSED).
    """
    return _keep_many(pem) if len(pem) <= _ORDINARY else _keep_few(pem)


def fleet_ca(rules: CaRules) -> Certificate:
    """A CA's certificate, from the rules.

    Raises Misconfigured.
    """
    try:
        return read_certificate(rules.certificate_pem)
    except Rejected as error:
        # The deployment is wrong, not the device.
        raise Misconfigured(
            f"the certificate of CA {rules.name} in the rules cannot be read: {error.detail}"
        ) from error


def check_identity(check_input: CheckInput) -> None:
    """(1) AWS does not document that the id is the fingerprint, so a difference is curable."""
    if check_input.certificate.fingerprint != check_input.device.certificate_id:
        raise Rejected(
            Reason.FINGERPRINT_MISMATCH,
            f"AWS IoT describes certificate {check_input.certificate.fingerprint} under another id",
        )


def check_issuance(check_input: CheckInput) -> None:
    """(2) The CA as it is registered in this account, then its signature."""
    rules, registered = check_input.rules, check_input.ca
    if registered is None:
        raise Rejected(Reason.CA_UNKNOWN, f"CA {rules.name} is not registered in this account and Region any more")
    declared = fleet_ca(rules)
    try:
        differs = read_certificate(registered.pem).fingerprint != declared.fingerprint
    except Rejected:
        differs = True
    if differs:
        raise Rejected(
            Reason.CA_DIFFERS,
            f"the registered CA certificate is not the one that fleet.toml names {rules.name}",
        )
    if not declared.is_ca():
        raise Rejected(
            Reason.CA_DIFFERS, f"the certificate of CA {rules.name} does not say CA:TRUE in basicConstraints"
        )
    if not declared.not_before <= check_input.now.replace(microsecond=0) <= declared.not_after:
        raise Rejected(
            Reason.CA_NOT_VALID_NOW,
            f"CA {rules.name} is valid from {declared.not_before:%Y-%m-%d} to {declared.not_after:%Y-%m-%d}",
        )
    if not registered.active:
        raise Rejected(Reason.CA_INACTIVE, f"CA {rules.name} is INACTIVE in this account; activate it")
    if registered.mode != rules.certificate_mode:
        raise Rejected(
            Reason.CA_WRONG_MODE,
            f"CA {rules.name} is registered in mode {registered.mode}, fleet.toml declares {rules.certificate_mode}",
        )
    _refuse_other_issuer(check_input.certificate, declared, rules)


def _refuse_other_issuer(certificate: Certificate, ca: Certificate, rules: CaRules) -> None:
    """Raise Rejected unless the certificate names the CA as its issuer and the CA's key signed it."""
    is_named = certificate.names_as_issuer(ca)
    if is_named and (not certificate.signature.hashes or _BROKEN_HASHES.intersection(certificate.signature.hashes)):
        _refuse_weak_signature(certificate)  # it proves nothing, in every mode of the check `signature`
    if not certificate.is_signed_by(ca):
        raise Rejected(Reason.NOT_ISSUED_BY_CA, f"CA {rules.name} did not issue this certificate")
    if not is_named:
        raise Rejected(
            Reason.ISSUER_NAME_DIFFERS,
            f"CA {rules.name} signed it, but it names as its issuer {naming.quote(certificate.issuer)}, "
            f"not {naming.quote(ca.subject)}",
        )


def check_validity(check_input: CheckInput) -> None:
    """(3) RFC 5280 §4.1.2.5: notBefore and notAfter are both inclusive, in whole seconds; `now` is cut to seconds.

    A lifetime is notAfter - notBefore: `openssl -days 365` makes `365d`. The CA/Browser Forum counts the last second
    too; that would refuse such a certificate under maximum_life = "365d".
    """
    certificate, rules, now = check_input.certificate, check_input.rules, check_input.now.replace(microsecond=0)
    if now < certificate.not_before:
        raise Rejected(Reason.NOT_YET_VALID, f"not valid before {_time(certificate.not_before)}, now {_time(now)}")
    if now > certificate.not_after:
        raise Rejected(Reason.EXPIRED, f"not valid after {_time(certificate.not_after)}, now {_time(now)}")
    minimum = timedelta(seconds=rules.minimum_remaining_life)
    if certificate.not_after - now < minimum:
        raise Rejected(
            Reason.EXPIRES_TOO_SOON,
            f"not valid after {_time(certificate.not_after)}, the rules require {_duration(minimum)} of remaining life",
        )
    life = certificate.not_after - certificate.not_before
    if rules.maximum_life is not None and life > timedelta(seconds=rules.maximum_life):
        raise Rejected(
            Reason.LIVES_TOO_LONG,
            f"it is valid for {_duration(life)}, the rules allow {_duration(timedelta(seconds=rules.maximum_life))}",
        )


def check_key(check_input: CheckInput) -> None:
    """(4) Keys that NIST SP 800-57 and AWS IoT both accept (RSA from 2048 bits, P-256 to P-521), and not the CA's."""
    certificate, rules = check_input.certificate, check_input.rules
    key = certificate.key
    if isinstance(certificate.public_key, RSAPublicKey):
        least, greatest = rules.rsa_bits
        if not least <= key.bits <= greatest:
            raise Rejected(Reason.KEY_SIZE_REFUSED, f"an RSA key of {key.bits} bits, allowed are {least} to {greatest}")
        if why := why_weak(certificate.public_key.public_numbers().n):
            raise Rejected(Reason.KEY_WEAK, f"the RSA key is weak: {why}")
    elif key.algorithm != "EC" or key.curve not in rules.curves:
        allowed = ", ".join(("RSA", *rules.curves))
        raise Rejected(Reason.KEY_TYPE_REFUSED, f"a key of type {key}, allowed are {allowed}")
    if not rules.is_source and certificate.public_key == fleet_ca(rules).public_key:
        raise Rejected(Reason.KEY_OF_THE_CA, f"the public key is that of CA {rules.name}; a device needs its own key")


def check_signature(check_input: CheckInput) -> None:
    """(5) NIST SP 800-131A disallows SHA-1 for signatures; SHA-224 gives less than 128 bits of security.

    For RSASSA-PSS the mask's hash counts as well. The CA's self-signature proves nothing and is not checked.
    """
    _refuse_weak_signature(check_input.certificate)


def _refuse_weak_signature(certificate: Certificate) -> None:
    signature = certificate.signature
    weak = [name for name in signature.hashes if name not in _STRONG_HASHES]
    if weak or not signature.hashes:
        what = f"{signature.algorithm} with {weak[0]}" if weak else signature.algorithm
        raise Rejected(Reason.SIGNATURE_ALGORITHM_REFUSED, f"signed by {what}, SHA-256 or better is required")


def check_extensions(check_input: CheckInput) -> None:
    """(6) RFC 5280 §4.2, for the extensions that are present; a certificate without extensions passes.

    An unreadable extension is refused if it is critical, or if every X.509 verifier has to process it; OpenSSL refuses
    such a certificate too. Other damaged extensions are ignored.

    anyExtendedKeyUsage passes as client authentication: it restricts nothing (§4.2.1.12), and the check is meant
    against certificates that were issued for another purpose.
    """
    extensions = check_input.certificate.extensions
    if extensions.problem:
        raise Rejected(Reason.EXTENSIONS_UNREADABLE, extensions.problem)
    for oid in (*PROCESSED, *extensions.critical) if extensions.unreadable else ():
        if why := extensions.unreadable.get(oid):
            raise Rejected(Reason.EXTENSIONS_UNREADABLE, f"{extension_name(oid)} cannot be read: {why}")
    if extensions.is_ca:
        raise Rejected(Reason.IS_A_CA, "basicConstraints says CA:TRUE: this certificate can issue others")
    if extensions.signs is False:
        raise Rejected(Reason.KEY_USAGE_REFUSED, "keyUsage has no digitalSignature, which TLS requires of a client")
    if extensions.purposes is not None and not extensions.purposes & _CLIENT_PURPOSES:
        raise Rejected(
            Reason.EXTENDED_KEY_USAGE_REFUSED,
            f"extKeyUsage has no clientAuth, only {', '.join(sorted(extensions.purposes)[:5]) or 'an empty list'}",
        )
    understood = UNDERSTOOD
    if check_input.rules.mode_of("revocation") is CheckMode.ENFORCE:
        understood |= UNDERSTOOD_WITH_REVOCATION
    unknown = [oid for oid in extensions.critical if oid not in understood]
    if unknown:
        raise Rejected(
            Reason.CRITICAL_EXTENSION_UNKNOWN, f"extension {unknown[0]} is critical, and not supported by jitr"
        )


def check_subject(check_input: CheckInput) -> None:
    """(7) Each naming field of the CA exactly once and fully matching; no value that widens a policy."""
    naming.refuse_policy_wildcards(check_input.rules, check_input.certificate)
    naming.check_naming_fields(check_input.rules, check_input.certificate)


def check_names(check_input: CheckInput) -> None:
    """(7, names) The names that provisioning will use can be made, and are legal."""
    identity_of(check_input.rules, check_input.certificate)


def check_revocation(check_input: CheckInput) -> None:
    """(8) RFC 5280 §6.3.3. A final revocation counts however old the list is; everything else needs a list in force."""
    crl, name = check_input.revocations, check_input.rules.name
    if crl is None:
        raise Rejected(Reason.CRL_MISSING, f"no CRL of CA {name} is published in this account and Region")
    if isinstance(crl, CrlProblem):
        raise Rejected(Reason.CRL_UNUSABLE, f"the CRL of CA {name} cannot be used: {crl.why}")
    refuse_listed(crl, check_input.certificate, name)
    issued = _issued(crl, name)
    if not crl.covers(check_input.certificate):
        raise Rejected(
            Reason.CRL_UNUSABLE,
            f"the CRL of CA {name} is limited to {', '.join(sorted(crl.distribution_points))!a}, "
            "and the certificate does not name that as its distribution point",
        )
    now = check_input.now.replace(microsecond=0)
    if now > crl.next_update:
        raise Rejected(Reason.CRL_STALE, f"{issued} is out of date since its nextUpdate, {_time(crl.next_update)}")
    if now < crl.this_update:
        raise Rejected(Reason.CRL_STALE, f"{issued} is not in force yet, now {_time(now)}")


def refuse_listed(crl: RevocationList, certificate: Certificate, ca_name: str) -> None:
    """Refuse a certificate that the CRL of its CA lists, whether the CRL is in force or not.

    Raises Rejected(REVOKED_BY_CA), Rejected(SUSPENDED_BY_CA).
    """
    if reason := crl.reason_of(int(certificate.serial, 16)):
        why = Reason.REVOKED_BY_CA if reason.is_for_good else Reason.SUSPENDED_BY_CA
        raise Rejected(why, f"{_issued(crl, ca_name)} lists the certificate: {reason.name}")


def check_enrollment(check_input: CheckInput) -> None:
    """(9) The entries of the thing name and of the certificate, or the CA's rule: see enrollment.py."""
    check_input.enrollment.refuse_unlisted(check_input.rules)


def _issued(crl: RevocationList, ca_name: str) -> str:
    return f"the CRL of CA {ca_name}, issued {_time(crl.this_update)},"


def _duration(span: timedelta) -> str:
    days, seconds = span.days, span.seconds
    return f"{days} days" if not seconds else f"{days} days and {seconds} s" if days else f"{seconds} s"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
