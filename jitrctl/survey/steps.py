"""Surveys one stage, step by step: lists first, then what only a call for each thing or certificate tells.

Which principals a thing has is asked of each thing (ListThingPrincipals); policies are asked for their targets, since a
shared policy answers for 250 certificates at once, and only groups that have a policy for their things.
DescribeCertificate is asked only about certificates that no CA's list and no record of jitr explains. Everything only
reads.
"""

from __future__ import annotations

import json
from math import ceil
from typing import TYPE_CHECKING

from jitrctl.survey import attachment_steps, certificate_steps, handler_steps, list_steps
from jitrctl.survey.calls import seconds_for
from jitrctl.survey.file import put_place
from jitrctl.survey.survey_calls import BATCH, SurveyCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitrctl.session.stage import Stage
    from jitrctl.survey.calls import PatientCalls
    from jitrctl.survey.file import SurveyFile

    Step = Callable[[SurveyCalls, str | None], None]

LISTS: dict[str, Step] = {
    "cas": handler_steps.list_cas,
    "rules": handler_steps.list_registration_rules,
    "templates": handler_steps.list_templates,
    "certificates": list_steps.list_certificates,
    "by CA": list_steps.list_by_ca,
    "things": list_steps.list_things,
    "policies": list_steps.list_policies,
}
EACH: dict[str, Step] = {
    "principals": attachment_steps.ask_principals,
    "targets": attachment_steps.ask_targets,
    "groups": attachment_steps.ask_groups,
    "documents": attachment_steps.read_documents,
    "records": certificate_steps.read_records,
    "owners": certificate_steps.read_owners,
    "descriptions": certificate_steps.describe_unexplained,
}
_OF_DYNAMODB = "BatchGetItem"
_NO_PACE = 0.02  # seconds of a call that waits for no turn


class StageSurvey:
    """The survey of one stage, into the survey file."""

    def __init__(self, stage: Stage, file: SurveyFile, calls: PatientCalls) -> None:
        self._stage, self._name = stage, str(stage)
        self._file, self._calls = file, calls
        self._survey = SurveyCalls(stage, file, calls)

    @property
    def calls_made(self) -> dict[str, int]:
        """The calls that were made so far, by operation; each attempt after a throttle is one more."""
        return dict(sorted(self._calls.counts.items()))

    @property
    def calls_in_all(self) -> int:
        """The number of those calls."""
        return self._calls.counts.total()

    def list_all(self) -> None:
        """Make the lists; what is done already is not done again.

        Raises Refused after two hours of throttles, or when the file cannot be written; Interrupted, NotPermitted,
        botocore's errors.
        """
        unreadable = json.dumps(handler_steps.UNREADABLE)
        if self._file.one("SELECT 1 FROM rule WHERE stage = ? AND actions = ?", self._name, unreadable):
            self._file.write(put_place(self._name, "rules", None, done=False))  # they may be readable now
        self._run(LISTS)

    def ask_each(self) -> None:
        """Ask about each thing and policy, and about certificates the lists do not explain; raises as `list_all`."""
        self._run(EACH)
        if not self._file.place(self._name, "all")[1]:
            self._file.write(put_place(self._name, "all", None, done=True))

    def count_calls(self) -> dict[str, int]:
        """How many calls `ask_each` will still make.

        Of DescribeCertificate at most so many, since a record of jitr may explain a certificate. Of
        ListTargetsForPolicy one more for each further 250 targets of a policy, and one ListThingsInThingGroup for each
        250 things of a group that has a policy.
        """
        count, name = self._file.one, self._name
        policies = count("SELECT count(*) FROM policy WHERE stage = ?", name)
        documents = count(f"SELECT count(*) FROM ({attachment_steps.READ_POLICIES})", name)  # noqa: S608 -- of ours
        return {
            "ListThingPrincipals": count("SELECT count(*) FROM thing WHERE stage = ? AND NOT asked", name),
            "ListTargetsForPolicy": count("SELECT count(*) FROM policy WHERE stage = ? AND NOT asked", name),
            "GetPolicy": max(min(policies, attachment_steps.MOST_DOCUMENTS) - documents, 0),
            "DescribeCertificate": count(f"SELECT count(*) {certificate_steps.UNEXPLAINED}", name),
            _OF_DYNAMODB: self._batches("certificate", "id", "records") + self._batches("thing", "name", "owners"),
        }

    def seconds(self, calls: dict[str, int]) -> float:
        """What these calls take at their paces, one after the other."""
        rate = self._stage.account.activations_per_second
        paces = {"DescribeCertificate": 1 / rate, _OF_DYNAMODB: _NO_PACE}
        return sum(
            number * paces[operation] if operation in paces else seconds_for(operation, number)
            for operation, number in calls.items()
        )

    def _batches(self, table: str, key: str, step: str) -> int:
        marker, is_done = self._file.place(self._name, step)
        if is_done:
            return 0
        query = f"SELECT count(*) FROM {table} WHERE stage = ? AND {key} > ?"  # noqa: S608 -- names of ours
        number: int = self._file.one(query, self._name, marker or "")
        return ceil(number / BATCH)

    def _run(self, steps: dict[str, Step]) -> None:
        for step, carry_out in steps.items():
            marker, done = self._file.place(self._name, step)
            if done:
                continue
            carry_out(self._survey, marker)
            self._file.write(put_place(self._name, step, None, done=True))
