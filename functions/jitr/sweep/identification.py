"""Finds out which CA issued a certificate from before jitr, and with which serial number, so that a CRL finds it.

A CRL names a certificate by its issuer and serial number, which no list of AWS IoT shows, and jitr has no record of
what it never decided on. So the daily full pass describes each ACTIVE certificate without a known serial number, once,
and records it as found, with the serial number. One that another CA issued is marked, so that it is described again
only when other CAs of the account publish CRLs. Where no CA's CRLs are asked for, nothing is described.

Before that the states of the CRLs say until when certificates are recorded: a CRL that was applied before then is
applied once more, as a whole.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from jitr.admission.checks import fleet_ca
from jitr.admission.issuers import with_recorded_ca
from jitr.aws.iot import AwsIot
from jitr.errors import CertificateUnknown, Rejected
from jitr.iot_models import DeviceRegistration, ListedCertificate, Status
from jitr.observed_status import observe
from jitr.record import Record
from jitr.rules import CaRules, CheckMode, Rules
from jitr.store.crl_state import CrlStates
from jitr.store.registry import Registry
from jitr.x509.certificate import Certificate

# By then a sweep that began has ended (infra/jitr_cdk/sweeping.py).
_LONGEST_SWEEP = timedelta(minutes=10)


class Identification:
    """Identifies certificates of one account and Region."""

    def __init__(
        self,
        *,
        rules: Rules,
        iot: AwsIot,
        registry: Registry,
        states: CrlStates,
        clock: Callable[[], datetime],
    ) -> None:
        self._rules = rules
        self._rules_digest = rules.digest
        self._iot = iot
        self._registry = registry
        self._states = states
        self._clock = clock
        self._asking = sorted(ca.certificate_id for ca in rules.cas if ca.crl_mode is not CheckMode.OFF)
        digest = hashlib.sha256("".join(self._asking).encode()).hexdigest()[:16]
        self._among = digest if self._asking else None

    def identify(
        self,
        listed: Iterable[ListedCertificate],
        records: Mapping[str, Record],
        *,
        time_is_left: Callable[[], bool],
    ) -> bool:
        """Identify those of the listed certificates that are ACTIVE and not identified yet.

        Returns False when there was no time for all: the same list is to be given again.

        Raises Unavailable.
        """
        unknown = [
            one.certificate_id
            for one in listed
            if one.status is Status.ACTIVE and self._is_unknown(records[one.certificate_id])
        ]
        if unknown:
            self.note_growth(self._asking)
        for certificate_id in unknown:
            if not time_is_left():
                return False
            self._identify(certificate_id, records[certificate_id])
        return True

    def note_growth(self, ca_certificate_ids: Iterable[str | None]) -> None:
        """Note that a CRL that was applied before now does not know all certificates of these CAs.

        Raises Unavailable.
        """
        growing = set(ca_certificate_ids)
        asking = [one for one in self._asking if one in growing]
        self._states.note_growth(asking, until=self._clock() + _LONGEST_SWEEP)

    def _is_unknown(self, record: Record) -> bool:
        if self._among is None or record.foreign_to == self._among or record.begun_at is not None:
            return False
        return record.issued_as is None and (record.decision is None or record.decision.serial is None)

    def _identify(self, certificate_id: str, record: Record) -> None:
        """Record one certificate as found, or mark it as another CA's."""
        try:
            device = with_recorded_ca(self._iot.describe(certificate_id), record)
        except CertificateUnknown:
            return
        if device.status is not Status.ACTIVE:
            return  # the list is older than this
        ca = self._rules.ca(device.ca_certificate_id)
        certificate = _read(device, ca)
        if ca is None or certificate is None or self._among is None:
            self._registry.note_foreign(certificate_id, self._among or "")
            return
        found = observe(
            device,
            record,
            ca_certificate_id=ca.certificate_id,
            ca=ca,
            rules_digest=self._rules_digest,
            now=self._clock(),
        )
        found = replace(found, serial=certificate.serial, subject=certificate.subject, issuer=certificate.issuer)
        self._registry.record_found(found, record)


def _read(device: DeviceRegistration, ca: CaRules | None) -> Certificate | None:
    """The certificate, if it can be read, and a CA whose CRLs are asked for signed it."""
    if ca is None or ca.crl_mode is CheckMode.OFF:
        return None
    try:
        certificate = Certificate.from_pem(device.pem)
    except Rejected:
        return None
    return certificate if certificate.is_signed_by(fleet_ca(ca)) else None
