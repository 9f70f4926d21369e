"""Mutations of the claim, the recording and the replacement rules, each with the tests that must fail under it.

A mutant leaves one condition out. It is applied to a copy of `functions`, by replacing a text that must be there
exactly once: when the code has moved, the script says so, and the mutant is to be written anew. It is killed when each
test that is named with it fails. These are directed tests, each about one promise; neither the state machine nor the
explorer is among them.

CRL_MUTANTS (crl_mutants.py) are about CRLs on ACTIVE devices, JITP_MUTANTS (jitp_mutants.py) about CAs with a
provisioning template. SECURITY_MUTANTS (security_mutants.py) leave out one
mitigation of docs/security.md each. MENDS takes out what closed a kind of failure (p01, p02, p05, p07), or what a
promise of the brake rests on, and names the pair of acts in which the explorer must find it again.

    .venv/bin/python -m tests.support.survival.mutants            all of them, or those named
"""

import sys
from collections.abc import Sequence

from tests.support.survival.crl_mutants import CRL_MUTANTS
from tests.support.survival.jitp_mutants import JITP_MEND, JITP_MUTANTS
from tests.support.survival.mutating import Change, Mend, Mutant, explored, survivors
from tests.support.survival.security_mutants import SECURITY_MUTANTS

REGISTRY = "tests/edge/test_registry.py::"
REGISTRY_CLAIMS = "tests/edge/test_registry_claims.py::"
REGISTER = "tests/edge/test_register.py::"
REGISTER_RUNS = "tests/edge/test_register_runs.py::"
RESTITUTION = "tests/edge/test_restitution.py::"
REPLACEMENT = "tests/unit/test_replacement.py::"
PROMISES = "tests/survival/test_promises.py::"
CLAIMS = "tests/survival/test_claims.py::"

MUTANTS = (
    # The claim
    Mutant(
        "a claim rests on whatever record there is",
        (
            Change(
                "store/registry_writes.py",
                "    require_as_seen(update, record)\n    if not whatever",
                "    if not whatever",
            ),
        ),
        (REGISTRY_CLAIMS + "test_what_rests_on_another_record_is_overtaken_and_writes_nothing",),
    ),
    Mutant(
        "a claim is made against an operator's verdict",
        (Change("store/registry_writes.py", "    if not whatever_the_verdict:", "    if False:"),),
        # That the verdict is the one that was seen is another condition: this one is about a verdict that was seen.
        (REGISTRY_CLAIMS + "test_a_claim_against_a_verdict_that_was_seen_is_refused",),
    ),
    Mutant(
        "a claim is made beside another run's",
        (
            Change(
                "store/registry_writes.py",
                '''"(attribute_not_exists(intent) OR intent.run = :run"''',
                '''"(attribute_not_exists(intent) OR intent.run <> :none OR intent.run = :run"''',
            ),
            Change(
                "store/registry_writes.py",
                '        run=run,\n        nobody="",',
                '        run=run,\n        none="none",\n        nobody="",',
            ),
        ),
        (
            REGISTRY_CLAIMS + "test_another_runs_intent_stands_against_a_claim_until_its_function_must_be_dead",
            REGISTRY_CLAIMS + "test_another_runs_claim_stands_against_a_rejection_until_its_function_must_be_dead",
        ),
    ),
    Mutant(
        "an intent that was never seen is taken over",
        (
            Change(
                "store/registry_writes.py",
                "(intent.decided_at = :begun AND (intent.run = :nobody",
                "(:begun = :begun AND (intent.run = :nobody",
            ),
        ),
        (REGISTRY_CLAIMS + "test_an_intent_that_another_run_left_since_is_not_taken_over_unseen",),
    ),
    Mutant(
        "a name is claimed from whoever has it",
        (
            Change(
                "store/name_writes.py",
                '''    condition = f"{_FREE} OR (certificate_id = :earlier AND registered_at = :since)"''',
                '''    condition = f"{_FREE} OR attribute_exists(id) OR :earlier = :since"''',
            ),
        ),
        (
            CLAIMS + "test_a_name_that_another_claims_after_it_was_read_stays_with_the_other",
            REGISTRY_CLAIMS + "test_a_name_that_went_from_one_that_is_gone_to_another_is_not_taken_over",
            REGISTRY_CLAIMS + "test_a_name_whose_owner_was_registered_again_is_not_taken_over",
        ),
    ),
    Mutant(
        "the claim has no conditions on entries",
        (Change("store/registry.py", "        checks = list(entries)\n", "        checks = list(entries)[:0]\n"),),
        (CLAIMS + "test_a_claim_fails_when_an_entry_was_written_after_it_was_read",),
    ),
    Mutant(
        "the claim has no condition on the certificate's twin",
        (
            Change(
                "store/registry.py",
                "        if intent.twin_id and intent.twin_id != intent.replaces:",
                "        if False:",
            ),
        ),
        (
            CLAIMS + "test_a_verdict_on_the_twin_that_comes_after_it_was_read_stops_the_claim",
            REGISTRY_CLAIMS + "test_a_claim_waits_for_what_another_run_is_about_to_do_with_the_twin",
            "tests/edge/test_twins.py::test_a_verdict_on_the_twin_that_comes_while_we_work_stops_the_claim",
        ),
    ),
    Mutant(
        "the owner of a name is read before the hook has answered",
        (Change("registration/evidence.py", "or rules is None or rules.asks_hook:", "or rules is None:"),),
        ("tests/edge/test_hook.py::test_who_owns_a_name_is_read_after_the_hook_has_answered",),
    ),
    # The recording
    Mutant(
        "a run records what it has lost meanwhile",
        (
            Change(
                "store/registry_writes.py",
                '        _require(update, "intent.run = :run", run=run)\n    return update',
                "        pass\n    return update",
            ),
        ),
        (REGISTRY + "test_a_run_records_its_decision_only_while_it_has_the_certificate",),
    ),
    Mutant(
        "what was found replaces what was decided",
        (
            Change(
                "store/registry_writes.py",
                '"(attribute_not_exists(#decision) OR #decision.outcome IN (:held, :found)) "',
                '"(attribute_not_exists(#decision) OR #decision.outcome <> :held OR #decision.outcome <> :found) "',
            ),
        ),
        (REGISTRY + "test_what_was_found_never_replaces_a_decision",),
    ),
    Mutant(
        "a decision is recorded before it is announced",
        (
            Change(
                "registration/procedure.py",
                "            if not decision.repeats(record.decision):\n",
                "            self._registry.record(decision, record, run=steps.run if steps.has_begun else None)\n"
                "            if not decision.repeats(record.decision):\n",
            ),
        ),
        (REGISTER_RUNS + "test_a_crash_after_active_is_made_good_by_the_next_delivery",),
    ),
    Mutant(
        "a status that is found over a decision is not recorded",
        (Change("registration/found_status.py", "record.is_news(found)) and", "record.decision is None) and"),),
        (PROMISES + "test_a_certificate_that_register_saw_taken_away_stays_out_when_it_comes_back",),
    ),
    # The replacement
    Mutant(
        "a thing is always this device's",
        (Change("registration/activation.py", "is_ours=owner is not None", "is_ours=True"),),
        (CLAIMS + "test_a_thing_that_another_certificate_uses_is_not_changed_and_the_device_is_held",),
    ),
    Mutant(
        "an earlier certificate follows a later one",
        (
            Change(
                "admission/rotation.py",
                "    if (certificate.not_before, device.created_at) <= (owner.issued_at, owner.registered_at):",
                "    if False:",
            ),
        ),
        (
            REPLACEMENT + "test_what_is_a_rotation",
            REPLACEMENT + "test_of_two_certificates_never_may_each_follow_the_other",
        ),
    ),
    Mutant(
        "a certificate follows one of another CA",
        (
            Change(
                "admission/rotation.py",
                "    if owner.ca_certificate_id not in (rules.certificate_id, rules.succeeds):",
                "    if False:",
            ),
        ),
        (
            REPLACEMENT + "test_what_is_a_rotation",
            REPLACEMENT + "test_an_entry_stands_in_for_the_old_ones_near_end_and_for_nothing_else",
        ),
    ),
    Mutant(
        "a certificate follows one that is good for years",
        (
            Change(
                "admission/rotation.py",
                "    if not admitted.identity.may_follow and owner.ends_at - now >",
                "    if admitted.identity.may_follow and owner.ends_at - now >",
            ),
        ),
        (
            REPLACEMENT + "test_what_is_a_rotation",
            REGISTER + "test_a_second_certificate_of_the_same_name_is_held_and_the_first_stays",
        ),
    ),
    Mutant(
        "who shares joins any CA's thing",
        (
            Change(
                "admission/rotation.py",
                "        owner is None or owner.ca_certificate_id == rules.certificate_id\n",
                "        owner is None or owner.ca_certificate_id != rules.name\n",
            ),
        ),
        (PROMISES + "test_who_shares_under_its_own_ca_joins_no_thing_of_another_cas_device",),
    ),
    Mutant(
        "a name that was claimed for nothing stays",
        (
            Change(
                "registration/name_rollback.py",
                "        if back := self.find(intent):",
                "        if (back := self.find(intent)) and not back:",
            ),
        ),
        (
            RESTITUTION + "test_what_somebody_else_took_away_after_the_claim_has_no_name",
            REGISTER_RUNS + "test_a_device_that_claimed_and_is_then_refused_for_good_gives_its_name_up",
        ),
    ),
    Mutant(
        "a name is given back that is another's by now",
        (
            Change(
                "store/name_writes.py",
                """back.to, "certificate_id = :by", by=back.by)""",
                """back.to, "attribute_exists(id) OR certificate_id = :by", by=back.by)""",
            ),
            Change(
                "store/name_writes.py",
                """            "ConditionExpression": "certificate_id = :by",""",
                """            "ConditionExpression": "attribute_exists(id) OR certificate_id = :by",""",
            ),
        ),
        (REGISTRY_CLAIMS + "test_a_name_is_given_up_by_its_owner_alone",),
    ),
)

_LOCK_OPENED = Change(
    "registration/rejection.py",
    "            decision = replace(decision, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, detail=detail)\n",
    """            decision = replace(decision, outcome=Outcome.HELD, status=Status.PENDING_ACTIVATION, detail=detail)
        if decision.status is Status.PENDING_ACTIVATION:
            self._registry._update(
                {
                    "TableName": self._registry._table,
                    "Key": {"id": {"S": f"certificate#{attempt.device.certificate_id}"}},
                    "UpdateExpression": "REMOVE intent",
                    "ConditionExpression": "intent.run = :run",
                    "ExpressionAttributeValues": {":run": {"S": steps.run}},
                }
            )
            steps.has_begun = False
""",
)
MENDS = (
    Mend("p01: a refusal opens the lock before it is recorded", (_LOCK_OPENED,), "refusal-and-claim", "whole"),
    Mend("p02: the same, without a deployment", (_LOCK_OPENED,), "refusal-and-return", "whole"),
    Mend(
        "p05: a deleted owner frees the name",
        (
            Change(
                "registration/activation.py",
                "        rightful = self._rollbacks.find_rightful_owner(owner.previous_owners)\n",
                "        rightful = None\n",
            ),
            Change("registration/activation.py", "is_ours=owner is not None", "is_ours=standing.owner is not None"),
        ),
        "deletion-and-clone",
        "one name",
    ),
    Mend(
        "p07: a thing that exists is changed before the claim",
        (
            Change(
                "registration/activation.py",
                "                differences = steps.create_thing(step)\n",
                "                for difference in steps.create_thing(step):\n"
                "                    steps.apply(difference)\n"
                "                differences = ()\n",
            ),
        ),
        "two-cas",
        "thing kept",
    ),
    Mend(
        "a refusal is counted after the brake was read",
        (
            Change(
                "registration/rule_brake.py",
                "            brake = self._count(attempt, steps, rules)\n",
                "            brake = self._brakes.read([rules.certificate_id])[rules.certificate_id]\n"
                "            self._count(attempt, steps, rules)\n",
            ),
        ),
        "brake-two-refusals",
        "few rejected",
    ),
    Mend(
        "a brake engages that an operator has just ended",
        (Change("store/brake_items.py", ' AND {seen}"', ' AND (:rules = :rules OR {seen})"'),),
        "brake-engages-and-acceptance",
        "ended brake",
    ),
    Mend(
        "a session is ended whoever else has the thing",
        (
            Change(
                "sessions.py",
                "_MAY_CONNECT = frozenset({Status.ACTIVE, Status.PENDING_ACTIVATION})",
                "_MAY_CONNECT: frozenset[Status] = frozenset()",
            ),
        ),
        "take-out-and-share",
        "own session",
    ),
    JITP_MEND,
)


def main(names: Sequence[str]) -> int:
    """Try each mutant, or those whose names contain one of these; how many are not killed."""
    alive = 0
    for mutant in (*MUTANTS, *CRL_MUTANTS, *JITP_MUTANTS, *SECURITY_MUTANTS):
        if not names or any(name in mutant.name for name in names):
            passing = survivors(mutant)
            alive += bool(passing)
            sys.stdout.write(
                f"{'ALIVE' if passing else 'killed'}  {mutant.name}\n"
                + "".join(f"  passes: {one}\n" for one in passing)
            )
    for mend in MENDS:
        if not names or any(name in mend.name for name in names):
            told = explored(mend)
            found = f"BROKEN ({mend.promise})" in told
            alive += not found
            sys.stdout.write(f"{'found' if found else 'NOT FOUND'}  {mend.name}\n{told}\n")
    return alive


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
