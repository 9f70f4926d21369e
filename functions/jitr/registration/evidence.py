"""Reads what the checks need, and runs them (step 3).

    the CA as it is registered       AWS IoT, cached
    what is published as its CRL     S3, cached
    the entries of the device        of its certificate, its twin and its thing name; in the same call the owner of the
                                     name and the twin's record (activation.py), unless a hook is to be asked before
    the checks                       pure: admission/procedure.py
    the hook                         for devices that passed, if the CA has one: hook_contract.py, hook.py

Used by `register`, and by `jitrctl replay --dry-run`, which decides alike and changes nothing.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from botocore.exceptions import ClientError

from jitr.admission import hook_contract
from jitr.admission.applicant import Admitted, Applicant
from jitr.admission.checks import refuse_listed
from jitr.admission.enrollment import NO_ENTRIES, Enrollment, Entry, Subject
from jitr.admission.identity import Identity, enrolled_identity, identity_of, with_own_shadow
from jitr.admission.procedure import Examination, examine
from jitr.aws.crl_bucket import Crls, PublishedCrl
from jitr.aws.hook import Hook
from jitr.aws.iot import AwsIot
from jitr.errors import Reason, Rejected, Unavailable
from jitr.frozen import value
from jitr.iot_models import Status
from jitr.record import Record, Standing
from jitr.rules import HOOK, CaRules, CheckMode, Rules
from jitr.store.enrollment_table import EnrollmentTable, subjects_of
from jitr.store.registry import Registry
from jitr.x509.crl import RevocationList


@value
class Examined:
    """The examination of one certificate, and what it rests on."""

    examination: Examination
    thing_name: str | None  # the name that the certificate asks for, also when it is refused
    crl: str | None  # identifies the CRL (PublishedCrl.version); None when the rules ask for none
    enrollment: str | None  # identifies the entries (Enrollment.digest); None when they were not read
    twin_id: str | None = None  # the certificate's other id (signature_twin.py)
    # The entries that were read, and whose they are: the claim fails if they have changed.
    subjects: tuple[Subject, ...] = ()
    entries: tuple[Entry, ...] = ()
    named_by_hook: bool = False  # the hook gave the thing name, and may give another one next time
    standing: Standing | None = None  # of the thing name and the twin; None when it was not read

    def standing_of(self, thing_name: str) -> Standing | None:
        """The standing that was read, if it is this thing name's."""
        return self.standing if thing_name == self.thing_name else None


class Examiner:
    """Examines the devices of one account and Region."""

    def __init__(
        self,
        *,
        account_id: str,
        iot: AwsIot,
        crls: Crls,
        enrollment: EnrollmentTable,
        hook: Hook,
        clock: Callable[[], datetime],
        registry: Registry | None = None,
    ) -> None:
        """With `registry` the standing of each thing name is read with the entries, for an activation that follows."""
        self._account_id = account_id
        self._iot = iot
        self._crls = crls
        self._enrollment = enrollment
        self._hook = hook
        self._clock = clock
        self._registry = registry

    def prepare(self, ca: CaRules) -> None:
        """Read what the examination of any device of a CA needs, unless it is cached.

        Raises Unavailable, ClientError.
        """
        self._iot.describe_ca(ca.certificate_id)
        if ca.mode_of("revocation") is not CheckMode.OFF:
            self._crls.of(ca)

    def examine(self, applicant: Applicant, record: Record, *, crl_not_before: datetime | None = None) -> Examined:
        """Read what the checks need, and run them; with `crl_not_before` the CRL is one that was read after that time.

        Raises Unavailable.
        """
        rules, thing_name, twin_id = applicant.rules, applicant.thing_name, applicant.twin_id
        # Only the fleet's own CAs: the function's role may describe no other, and without rules no check needs it.
        ca = self._iot.describe_ca(rules.certificate_id) if rules and not rules.is_source else None
        published = self._read_crl(rules, record, crl_not_before)
        subjects = subjects_of(applicant.device.certificate_id, thing_name, twin_id)
        enrollment, standing = self._read_entries_and_standing(applicant, subjects, record)
        examination = examine(
            applicant,
            ca,
            revocations=published.revocations if published else None,
            enrollment=enrollment or NO_ENTRIES,
            now=self._clock(),
        )
        return Examined(
            examination=examination,
            thing_name=thing_name,
            crl=published.version if published else None,
            enrollment=enrollment.digest if enrollment else None,
            twin_id=twin_id,
            subjects=subjects if enrollment else (),
            entries=enrollment.entries if enrollment else (),
            standing=standing,
        )

    def refuse_under_template(self, applicant: Applicant) -> None:
        """Refuse a pending certificate of a CA with a provisioning template, where the rules say `jitp`.

        AWS IoT provisions the device (JITP). Whatever the certificate is, jitr leaves it alone until then. What AWS IoT
        began before the template was taken off, it may take a minute to complete.

        Raises Rejected(CA_HAS_TEMPLATE), Unavailable.
        """
        rules, device = applicant.rules, applicant.device
        if rules is None or device.status is not Status.PENDING_ACTIVATION:
            return
        if self._may_be_provisioned(rules, device.created_at):
            raise Rejected(
                Reason.CA_HAS_TEMPLATE,
                f"a provisioning template is on CA {rules.name}, or was a minute ago: AWS IoT provisions the device",
            )

    def find_freed(self, records: Mapping[str, Record], rules: Rules) -> set[str]:
        """The ids of certificates that are held under a provisioning template which is no longer on their CA.

        If AWS IoT does not answer, the template counts as still there: the devices wait.
        """
        freed = set()
        for certificate_id, record in records.items():
            decision = record.decision
            if decision is None or not record.is_held_under_template:
                continue
            ca = rules.ca(decision.ca_certificate_id)
            with suppress(Unavailable, ClientError):  # its own evaluation reports it
                if ca and not self._may_be_provisioned(ca, decision.registered_at):
                    freed.add(certificate_id)
        return freed

    def _may_be_provisioned(self, rules: CaRules, registered_at: datetime) -> bool:
        """Raises Unavailable."""
        if not rules.jitp:
            return False
        ca = self._iot.describe_ca(rules.certificate_id)
        return ca is not None and ca.may_be_provisioned(registered_at, self._clock())

    def refuse_listed_by_signer(self, applicant: Applicant) -> None:
        """Refuse a certificate registered without a CA that is listed in the CRL of the account's CAs that signed it.

        Nothing else of that CRL counts, since the checks of a source need no issuer.

        Raises Rejected(REVOKED_BY_CA), Rejected(SUSPENDED_BY_CA), Unavailable.
        """
        certificate = applicant.certificate
        for signer in applicant.signers if certificate else ():
            if signer.mode_of("revocation") is CheckMode.ENFORCE:
                revocations = self._crls.of(signer).revocations
                if certificate and isinstance(revocations, RevocationList):
                    refuse_listed(revocations, certificate, signer.name)

    def ask_hook(self, examined: Examined, record: Record) -> Examined:
        """Let the CA's hook decide on a device that passed the checks; without a hook nothing changes.

        A hook can give the device another thing name. That name's entries are then read, and decide too.

        Raises Unavailable.
        """
        before, admitted = examined.examination, examined.examination.admitted
        if admitted is None or admitted.rules.hook is None or not admitted.rules.asks_hook:
            return examined
        rules = admitted.rules
        request = hook_contract.build_request(admitted, previous_name=record.previous_name)
        mode = rules.mode_of(HOOK)
        try:
            answer = self._hook.invoke(admitted.rules.hook, request)
            overrides = hook_contract.read_answer(answer, request["parameters"])
            if mode is CheckMode.OBSERVE:  # the overrides are checked, but not applied
                hook_contract.apply_overrides(admitted.identity, overrides, rules)
                return replace(examined, examination=before.allow_by_hook(admitted))
            examined, identity = self._rename(examined, admitted, overrides.thing_name, record)
            if identity is None:
                return examined
            identity = hook_contract.apply_overrides(identity, overrides, rules)
            identity = with_own_shadow(identity, rules, admitted.certificate)
        except Rejected as refusal:
            is_observed = mode is CheckMode.OBSERVE
            after = before.allow_by_hook(admitted, observed=refusal) if is_observed else before.refuse_by_hook(refusal)
            return replace(examined, examination=after)
        after = before.allow_by_hook(replace(admitted, identity=identity))
        return replace(examined, examination=after, named_by_hook=overrides.names)

    def _rename(
        self, examined: Examined, admitted: Admitted, thing_name: str | None, record: Record
    ) -> tuple[Examined, Identity | None]:
        """Examine the device under the thing name that the hook gave it: that name's entries decide as well.

        What they give replaces what the entries of the other name gave. The identity is None when they refuse it.
        """
        if thing_name in (None, admitted.identity.thing_name):
            return examined, admitted.identity
        rules, certificate = admitted.rules, admitted.certificate
        subjects = subjects_of(admitted.device.certificate_id, thing_name, examined.twin_id)
        enrollment = self._read_entries(rules, subjects, record)
        if enrollment is None:
            return examined, admitted.identity
        renamed = replace(
            examined,
            thing_name=thing_name,
            enrollment=enrollment.digest,
            subjects=tuple({*examined.subjects, *subjects}),
            entries=tuple({entry.subject: entry for entry in (*examined.entries, *enrollment.entries)}.values()),
        )
        try:
            enrollment.refuse_unlisted(rules)
        except Rejected as refusal:
            if rules.mode_of("enrollment") is CheckMode.ENFORCE:
                return replace(renamed, examination=examined.examination.refuse_by_hook(refusal)), None
            return renamed, identity_of(rules, certificate)
        return renamed, enrolled_identity(identity_of(rules, certificate), enrollment)

    def _read_crl(self, rules: CaRules | None, record: Record, not_before: datetime | None) -> PublishedCrl | None:
        if rules is None or rules.mode_of("revocation") is CheckMode.OFF:
            return None
        return self._crls.of(rules, record.decision, not_before=not_before)

    def _read_entries_and_standing(
        self, applicant: Applicant, subjects: tuple[Subject, ...], record: Record
    ) -> tuple[Enrollment | None, Standing | None]:
        """Read the entries and, if an activation can use it, the standing in the same call.

        A hook may take seconds, and may give another thing name: then the standing is read after its answer.
        """
        rules, thing_name = applicant.rules, applicant.thing_name
        if self._registry is None or thing_name is None or rules is None or rules.asks_hook:
            return self._read_entries(rules, subjects, record), None
        if rules.mode_of("enrollment") is CheckMode.OFF:
            return None, None
        entries, standing = self._enrollment.entries_and_standing(
            subjects, self._registry, thing_name, applicant.twin_id
        )
        return self._to_enrollment(entries, record), standing

    def _read_entries(self, rules: CaRules | None, subjects: tuple[Subject, ...], record: Record) -> Enrollment | None:
        if rules is None or rules.mode_of("enrollment") is CheckMode.OFF:
            return None
        return self._to_enrollment(self._enrollment.entries(subjects), record)

    def _to_enrollment(self, entries: Mapping[Subject, Entry], record: Record) -> Enrollment:
        return Enrollment(entries=tuple(entries.values()), account_id=self._account_id, approved=record.is_approved)
