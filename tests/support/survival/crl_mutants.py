"""Mutations of what holds while a CRL is applied to registered certificates, each with the tests that must fail."""

from tests.support.survival.mutating import Change, Mutant

ON_ACTIVE = "tests/survival/test_crl_on_active.py::"
JUDGEMENT = "tests/unit/test_crl_judgement.py::"

CRL_MUTANTS = (
    Mutant(
        "a CRL lifts what somebody else deactivated",
        (
            Change(
                "revocation/judgement.py",
                "    return record.is_suspended or is_suspension(record.intent)",
                "    return record.decision is not None and record.decision.status is Status.INACTIVE",
            ),
        ),
        (JUDGEMENT + "test_a_crl_ends_what_is_registered_and_lifts_its_own_holds",),
    ),
    Mutant(
        "an order that lifts a hold counts for any deactivation",
        (
            Change(
                "record.py",
                "            and self.decision.reason is Reason.SUSPENDED_BY_CA\n",
                "",
            ),
        ),
        (JUDGEMENT + "test_a_lifted_hold_is_a_release_order_and_nothing_else_that_is_inactive_is",),
    ),
    Mutant(
        "an older CRL is applied",
        (
            Change(
                "revocation/succession.py",
                "    if not state.is_approved(version) and (older :=",
                "    if False and (older :=",
            ),
        ),
        (ON_ACTIVE + "test_an_older_crl_lifts_nothing_and_is_refused",),
    ),
    Mutant(
        "a CRL takes out any number of devices at once",
        (
            Change(
                "revocation/application.py",
                "        if not is_too_many(ended, devices):",
                "        if True:",
            ),
        ),
        (ON_ACTIVE + "test_too_many_devices_at_once_wait_for_a_yes",),
    ),
    Mutant(
        "a CRL takes out a certificate that only a record ascribes to its CA",
        (
            Change(
                "revocation/enforcement.py",
                "certificate.encoded.serial == serial and certificate.is_signed_by(fleet_ca(ca))",
                "True",
            ),
        ),
        (ON_ACTIVE + "test_a_certificate_that_a_wrong_record_ascribes_to_the_ca_is_not_touched",),
    ),
    Mutant(
        "a CRL is applied without a second look",
        (
            Change(
                "revocation/application.py",
                "SETTLES_AFTER = timedelta(minutes=10)",
                "SETTLES_AFTER = timedelta(0)",
            ),
        ),
        (ON_ACTIVE + "test_a_device_that_comes_up_with_the_crl_before_is_found_ten_minutes_later",),
    ),
)
