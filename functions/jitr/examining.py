"""Step 3: everything that the checks need, read in the order in which it can be known, then the checks themselves.

    the CA as it is registered       AWS IoT, cached
    what is published as its CRL     S3, cached
    the entries of the device        its certificate's and its thing name's, in one call
    the checks                       pure: admission.py
    the hook                         of those who passed, if the CA has one: hook_contract.py, hook.py

Used by `register`, and by `jitrctl replay --dry-run`, which decides alike and changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from jitr import hook_contract
from jitr.admission import Examination, Identity, examine, thing_name_of
from jitr.crls import Crls, Published
from jitr.decisions import Record
from jitr.enrollment import NO_ENTRIES, Enrollment
from jitr.enrollment_table import EnrollmentTable
from jitr.errors import Rejected
from jitr.hook import Hook
from jitr.iot import AwsIot
from jitr.registrations import DeviceRegistration
from jitr.rules import HOOK, CaRules, CheckMode, Rules


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
        hook: Hook,
        clock: Callable[[], datetime],
    ) -> None:
        self._account_id = account_id
        self._rules = rules
        self._iot = iot
        self._crls = crls
        self._enrollment = enrollment
        self._hook = hook
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

    def ask_hook(self, examined: Examined, device: DeviceRegistration, record: Record) -> Examined:
        """Have the CA's hook decide on a device that passed the checks; where there is none, nothing changes.

        A hook can give the device another thing name: then that name's entries are read and decide, too.

        Raises Unavailable.
        """
        rules = self._rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None
        before = examined.examination
        if rules is None or rules.hook is None or not rules.asks_hook or before.identity is None:
            return examined
        assert before.certificate is not None  # noqa: S101 -- it passed the checks
        request = hook_contract.request(before.identity, device, before.certificate, rules)
        identity, refusal = before.identity, None
        try:
            overrides = hook_contract.read_answer(self._hook.ask(rules.hook, request), request["parameters"])
            identity = hook_contract.overridden(identity, overrides, rules)
        except Rejected as no:
            refusal = no
        mode = rules.mode_of(HOOK)
        asked = before.after_hook(None if refusal and mode is CheckMode.ENFORCE else identity, refusal, mode)
        examined = replace(examined, examination=asked)
        if identity.thing_name == before.identity.thing_name:
            return examined
        return self._renamed(examined, identity, device, record, rules)

    def _renamed(
        self, examined: Examined, identity: Identity, device: DeviceRegistration, record: Record, rules: CaRules
    ) -> Examined:
        """The entries of the name that the hook gave are asked for as those of the certificate's own were."""
        enrollment = self._enrolled(device, identity.thing_name, record)
        if enrollment is None:
            return examined
        examination = examined.examination
        try:
            enrollment.refuse_unlisted(rules)
        except Rejected as refusal:
            if rules.mode_of("enrollment") is CheckMode.ENFORCE:
                examination = examination.after_hook(None, refusal, CheckMode.ENFORCE)
        return replace(examined, examination=examination, thing_name=identity.thing_name, enrollment=enrollment.digest)

    def _enrolled(self, device: DeviceRegistration, thing_name: str | None, record: Record) -> Enrollment | None:
        rules = self._rules.ca(device.ca_certificate_id) if device.ca_certificate_id else None
        if rules is None or rules.mode_of("enrollment") is CheckMode.OFF:
            return None
        return Enrollment(
            entries=self._enrollment.of(device.certificate_id, thing_name),
            account_id=self._account_id,
            approved=record.is_approved,
        )
