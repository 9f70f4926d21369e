"""Step 3: everything that the checks need, read in the order in which it can be known, then the checks themselves.

    the CA as it is registered       AWS IoT, cached
    what is published as its CRL     S3, cached
    the entries of the device        its certificate's and its thing name's, in one call
    the checks                       pure: admission.py

Used by `register`, and by `jitrctl replay --dry-run`, which decides alike and changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from jitr.admission import Examination, examine, thing_name_of
from jitr.crls import Crls, Published
from jitr.decisions import Record
from jitr.enrollment import NO_ENTRIES, Enrollment
from jitr.enrollment_table import EnrollmentTable
from jitr.iot import AwsIot
from jitr.registrations import DeviceRegistration
from jitr.rules import CheckMode, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found, and what it rests on."""

    examination: Examination
    thing_name: str | None  # that the certificate asks for, also when it is refused
    crl: str | None  # names what was published as the CA's CRL (Published.version); None when it was not asked for
    enrollment: str | None  # names what the entries said (enrollment.digest); None when they were not read


class Examiner:
    """Examines the devices of one account and Region."""

    def __init__(
        self,
        *,
        account_id: str,
        rules: Rules,
        iot: AwsIot,
        crls: Crls,
        enrollment: EnrollmentTable,
        clock: Callable[[], datetime],
    ) -> None:
        self._account_id = account_id
        self._rules = rules
        self._iot = iot
        self._crls = crls
        self._enrollment = enrollment
        self._clock = clock

    def examine(self, device: DeviceRegistration, record: Record) -> Examined:
        """Read what the checks need, and run them.

        Raises Unavailable.
        """
        ca = self._iot.describe_ca(device.ca_certificate_id) if device.ca_certificate_id else None
        thing_name = thing_name_of(device, self._rules)
        published = self._published(device)
        enrollment = self._enrolled(device, thing_name, record)
        examination = examine(
            device,
            ca,
            self._rules,
            revocations=published.revocations if published else None,
            enrollment=enrollment or NO_ENTRIES,
            now=self._clock(),
        )
        return Examined(
            examination=examination,
            thing_name=thing_name,
            crl=published.version if published else None,
            enrollment=enrollment.digest if enrollment else None,
        )

    def _published(self, device: DeviceRegistration) -> Published | None:
        rules = self._rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None
        return self._crls.of(rules) if rules and rules.mode_of("revocation") is not CheckMode.OFF else None

    def _enrolled(self, device: DeviceRegistration, thing_name: str | None, record: Record) -> Enrollment | None:
        rules = self._rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None
        if rules is None or rules.mode_of("enrollment") is CheckMode.OFF:
            return None
        return Enrollment(
            entries=self._enrollment.of(device.certificate_id, thing_name),
            account_id=self._account_id,
            approved=record.is_approved,
        )
