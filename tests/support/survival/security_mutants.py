"""Mutations of what docs/security.md promises: each takes one mitigation out, and names the tests that must fail.

The page names each of them beside its tests; `tests/suite/test_security_page.py` compares the two. They are tried as
the others are (mutants.py).
"""

from tests.support.survival.mutating import Change, Mutant

VERDICTS = "tests/unit/test_registration_verdicts.py::"
ADMISSION = "tests/unit/test_admission.py::"
CLAIMS = "tests/edge/test_registry_claims.py::"
REGISTER = "tests/edge/test_register.py::"
TAKE_AWAY = "tests/cli/test_take_away_orders.py::"
CA_REVOKE = "tests/cli/test_ca_revoke.py::"

SECURITY_MUTANTS = (
    # What a device can bring
    Mutant(
        "the CA's signature is not verified",
        (Change("admission/checks.py", "    if not certificate.is_signed_by(ca):", "    if False:"),),
        (ADMISSION + "test_the_catalogue",),
    ),
    Mutant(
        "a device may use the CA's key",
        (
            Change(
                "admission/checks.py",
                "    if not rules.is_source and certificate.public_key == fleet_ca(rules).public_key:",
                "    if False:",
            ),
        ),
        (ADMISSION + "test_the_catalogue",),
    ),
    Mutant(
        "a value of the certificate may widen a policy",
        (
            Change(
                "admission/naming.py",
                "        if any(not POLICY_WILDCARDS.isdisjoint(value) for value in values):",
                "        if False:",
            ),
        ),
        ("tests/unit/test_naming.py::test_a_character_that_widens_a_policy_is_refused_in_every_field",),
    ),
    Mutant(
        "the same certificate with another encoding of its signature is another device",
        (
            Change(
                "admission/rotation.py",
                "    if twin.was_revoked_or_deactivated or twin.is_denied:",
                "    if False:",
            ),
        ),
        ("tests/edge/test_twins.py::test_an_operators_verdict_holds_against_the_twin_and_poisons_no_release",),
    ),
    Mutant(
        "a first shadow is written over one that exists",
        (Change("aws/shadows.py", "        if self.exists(thing_name):", "        if False:"),),
        ("tests/survival/test_first_shadows.py::test_a_rotation_keeps_what_the_device_and_applications_wrote",),
    ),
    Mutant(
        "a revoked certificate that was deleted is new when it returns",
        (
            Change("record.py", "        if not self.was_revoked_or_deactivated:\n", "        if True:\n"),
            Change("record.py", "        if self.is_denied:\n", "        if False:\n"),
        ),
        (VERDICTS + "test_a_certificate_that_was_revoked_and_comes_back_is_refused_for_good",),
    ),
    # What an order on a CA or on many devices leaves
    Mutant(
        "a device that an old batch activates under a lost CA stays",
        (
            Change(
                "sweep/late_devices.py",
                "            if wanted and not self._order(",
                "            if False and self._order(",
            ),
        ),
        (CA_REVOKE + "test_a_device_that_an_old_batch_activates_is_taken_away_by_the_sweep",),
    ),
    Mutant(
        "an account that joins later registers a revoked CA",
        (
            Change(
                "jitrctl/ca/revoked_elsewhere.py",
                "        if ca.certificate_id not in here.revoked\n",
                "        if False\n",
            ),
        ),
        ("tests/cli/test_copy_denials.py::test_a_ca_that_another_account_revoked_stays_out_of_a_new_one",),
    ),
    Mutant(
        "a device that connects again after an order on many keeps its session",
        (
            Change(
                "registration/take_away.py",
                "        if client_ids and self._registry.note_second_look(",
                "        if False and self._registry.note_second_look(",
            ),
        ),
        (TAKE_AWAY + "test_a_device_that_connects_again_is_ended_by_a_second_look_ten_seconds_later",),
    ),
    # What an event can say
    Mutant(
        "an event that contradicts its certificate is not reported",
        (Change("registration/procedure.py", "        if differing:\n", "        if False:\n"),),
        (REGISTER + "test_an_event_of_another_account_or_ca_is_counted_and_the_certificate_decides",),
    ),
    Mutant(
        "an event fills the log",
        (
            Change(
                "events.py",
                "isinstance(value, str) and value.isascii() and len(value) <= _LONGEST_TEXT",
                "isinstance(value, str) and value.isascii()",
            ),
        ),
        ("tests/edge/test_register_failures.py::test_an_event_cannot_fill_the_log",),
    ),
    # What the enrollment list and operators say
    Mutant(
        "an entry that denies a device admits it",
        (Change("admission/enrollment.py", "            if entry.rule is EntryRule.DENY:", "            if False:"),),
        (
            "tests/unit/test_enrollment.py::test_any_entry_that_denies_blocks_for_good_whatever_else_is_said",
            "tests/edge/test_hook.py::test_a_denied_name_cannot_be_had_through_the_hook",
        ),
    ),
    Mutant(
        "a device of another account is admitted",
        (
            Change(
                "admission/enrollment.py",
                "            if entry.accounts and self.account_id not in entry.accounts:",
                "            if False:",
            ),
        ),
        ("tests/unit/test_enrollment.py::test_a_device_in_the_wrong_account_is_told_the_right_ones",),
    ),
    Mutant(
        "a verdict that comes during an activation is overruled",
        (Change("store/registry_writes.py", "    if not whatever_the_verdict:", "    if False:"),),
        (CLAIMS + "test_a_claim_against_a_verdict_that_was_seen_is_refused",),
    ),
    # What a device policy may permit
    Mutant(
        "a revoked CA admits devices",
        (Change("registration/procedure.py", "            self._refuse_revoked_ca(attempt)\n", ""),),
        (
            (
                "tests/cli/test_ca_revoke.py::"
                "test_a_ca_that_a_deployment_activates_admits_no_device_and_the_sweep_undoes_it"
            ),
        ),
    ),
    Mutant(
        "an import activates what the CRL of its CA lists",
        (
            Change(
                "registration/procedure.py",
                "            self._examiner.refuse_listed_by_signer(attempt.applicant)\n",
                "",
            ),
        ),
        ("tests/simulation/test_imports.py::test_no_import_activates_a_certificate_that_the_crl_of_its_ca_lists",),
    ),
    Mutant(
        "a device policy may permit publishing to topic rules",
        (
            Change(
                "fleet/jitr_fleet/permissions.py",
                '    if covers_action(statement, "iot:Publish"):',
                '    if covers_action(statement, "iot:Publish") and False:',
            ),
        ),
        ("tests/fleet/test_permissions.py::test_no_statement_lets_devices_publish_to_topic_rules",),
    ),
    Mutant(
        "a device policy may permit another device's client id",
        (
            Change(
                "fleet/jitr_fleet/permissions.py",
                '    if covers_action(statement, "iot:Connect"):',
                '    if covers_action(statement, "iot:Connect") and False:',
            ),
        ),
        ("tests/fleet/test_permissions.py::test_no_statement_lets_a_device_take_anothers_name",),
    ),
    # Between accounts
    Mutant(
        "the bucket of another account is read",
        (Change("aws/crl_bucket.py", '            "ExpectedBucketOwner": self._account_id,\n', ""),),
        ("tests/edge/test_crls.py::test_a_bucket_of_somebody_else_is_not_read_from",),
    ),
    Mutant(
        "the hub records what an account outside of the fleet sends",
        (Change("handlers/hub.py", "            self._refuse_foreign(statement)\n", ""),),
        ("tests/edge/test_hub.py::test_an_account_of_the_organization_that_is_not_the_fleets_is_refused",),
    ),
    Mutant(
        "any account may send to the hub",
        (Change("infra/jitr_cdk/hub.py", "                    if organization\n", "                    if True\n"),),
        ("tests/infra/test_hub.py::test_exactly_the_fleets_accounts_may_put_events_of_jitrs_on_the_bus",),
    ),
    Mutant(
        "any account's rule may send to the queue",
        (
            Change(
                "infra/jitr_cdk/registration.py",
                '                    "StringEquals": {"aws:SourceAccount": stack.account},\n',
                "",
            ),
        ),
        ("tests/infra/test_stage.py::test_only_this_fleets_rules_in_this_account_may_take_the_rule_role",),
    ),
    # What an operator's machine can do by mistake
    Mutant(
        "an order goes to whatever account the credentials open",
        (Change("jitrctl/session/access.py", "    if owner != account.id:", "    if False:"),),
        (
            "tests/cli/test_access.py::test_another_accounts_credentials_are_refused_before_anything_is_changed_anywhere",
        ),
    ),
    Mutant(
        "an order goes to whatever endpoint the shell names",
        (Change("jitrctl/session/access.py", "    refuse_stray(account, in_profile)\n", ""),),
        ("tests/cli/test_access.py::test_a_stray_endpoint_ends_a_command_before_it_asks_anything",),
    ),
    Mutant(
        "a private key is read like a certificate",
        (
            Change(
                "fleet/jitr_fleet/certificate_file.py",
                'if any(label.endswith(b"PRIVATE KEY") or _kind(_decode(body) or b"") == "a private key" '
                "for label, body in blocks):",
                "if False:",
            ),
            Change(
                "fleet/jitr_fleet/certificate_file.py",
                '    if "a private key" in kinds:',
                "    if False:",
            ),
        ),
        ("tests/cli/test_certificate_files.py::test_a_private_key_is_refused_by_every_command_and_never_shown",),
    ),
)
