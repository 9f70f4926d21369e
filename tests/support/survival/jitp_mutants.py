"""Mutations of what keeps jitr and a provisioning template (JITP) apart, each with the tests that must fail."""

from tests.support.survival.mutating import Change, Mend, Mutant

JITP = "tests/survival/test_jitp.py::"

JITP_MUTANTS = (
    Mutant(
        "a pending device is decided on under a template",
        (
            Change(
                "registration/procedure.py",
                "            self._examiner.refuse_under_template(attempt.applicant)\n",
                "            pass\n",
            ),
        ),
        (
            JITP + "test_a_pending_device_is_held_with_its_reason_and_stays_as_it_is",
            JITP + "test_what_would_be_rejected_for_good_is_held_as_well",
        ),
    ),
    Mutant(
        "a hold under a template forgets that a certificate was revoked",
        (Change("registration/procedure.py", "attempt.record.revocation or refusal", "refusal"),),
        (JITP + "test_a_certificate_that_was_revoked_stays_known_as_such_and_is_refused_later",),
    ),
    Mutant(
        "the sweep sends what is held under a template",
        (
            Change(
                "sweep/due_evaluations.py", "            elif self._holds.holds(record):\n", "            elif False:\n"
            ),
        ),
        (JITP + "test_the_sweep_sends_no_held_device_again_while_the_template_is_there",),
    ),
    Mutant(
        "what becomes ACTIVE under a template stays held",
        (Change("sweep/full_pass.py", "record(taken_away | provisioned, records)", "record(taken_away, records)"),),
        (JITP + "test_a_held_device_that_becomes_active_under_the_template_is_recorded_as_found",),
    ),
    Mutant(
        "the sweep does not look for who was held under a template that is off",
        (
            Change(
                "sweep/held_walks.py",
                "        if not (self._holds.expected and self._holds.is_read):\n",
                "        if self._holds.is_read:\n",
            ),
        ),
        (JITP + "test_the_sweep_sends_no_held_device_again_while_the_template_is_there",),
    ),
)

JITP_MEND = Mend(
    "a device that JITP has in hand when the template is taken off is decided on",
    (
        Change(
            "iot_models.py",
            "        return was_before and now < self.modified_at + JITP_ENDS_WITHIN\n",
            "        return False\n",
        ),
    ),
    "jitp-in-hand-likely",
    "never both",
)
