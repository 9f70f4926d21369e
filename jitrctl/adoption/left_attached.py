"""Finds what an adopted device keeps that is not jitr's: policies, also of its thing's groups, and other principals.

A policy of a thing group applies to all things in the group and in the groups below it (AWS IoT developer guide,
"Static thing groups"). It is not attached to the certificate, so an adoption never detaches it, and `align` does not
either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitr.frozen import value
from jitrctl.device.adopt import foreign_policies

if TYPE_CHECKING:
    from jitrctl.session.stage import Stage
    from jitrctl.survey.calls import PatientCalls


@value
class LeftAttached:
    """What one device keeps."""

    thing_name: str
    policies: tuple[str, ...]  # attached to the certificate
    of_groups: tuple[tuple[str, str], ...]  # policy, and the group that the thing is in
    principals: tuple[str, ...] = ()  # of the thing, beside the certificate; a certificate by its id

    def __str__(self) -> str:
        """In words."""
        parts = [
            *([f"keeps {', '.join(self.policies)}"] if self.policies else []),
            *(
                [f"has {', '.join(f'{one} of group {group}' for one, group in self.of_groups)}"]
                if self.of_groups
                else []
            ),
            *([f"its thing keeps {', '.join(self.principals)}"] if self.principals else []),
        ]
        return f"{self.thing_name}: {'; '.join(parts)}"


class AttachedPolicies:
    """Reads policies in one stage; those of a group are read once."""

    def __init__(self, stage: Stage, calls: PatientCalls) -> None:
        self._stage, self._calls = stage, calls
        self._of_group: dict[str, tuple[str, ...]] = {}

    def of_certificate(self, arn: str) -> tuple[str, ...]:
        """The names of all policies that are attached to a certificate; ten at most (AWS IoT quotas).

        Raises as `PatientCalls.make`.
        """
        answer = self._calls.make("ListAttachedPolicies", self._stage.iot.list_attached_policies, target=arn)
        return tuple(one["policyName"] for one in answer["policies"])

    def find_left(
        self, thing_name: str, of_certificate: tuple[str, ...], principals: tuple[str, ...] = ()
    ) -> LeftAttached | None:
        """What a device keeps; None if it keeps nothing.

        `of_certificate` are the policies of its certificate, `principals` what else is attached to the thing.

        Raises as `PatientCalls.make`.
        """
        policies, of_groups = foreign_policies(of_certificate, self._stage.fleet.name), tuple(self._read(thing_name))
        return (
            LeftAttached(thing_name=thing_name, policies=policies, of_groups=of_groups, principals=principals)
            if policies or of_groups or principals
            else None
        )

    def _read(self, thing_name: str) -> list[tuple[str, str]]:
        iot, found = self._stage.iot, []
        groups = self._calls.make(
            "ListThingGroupsForThing",
            lambda: [
                group
                for page in iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing_name)
                for group in page["thingGroups"]
            ],
        )
        for group in groups:
            if (arn := group["groupArn"]) not in self._of_group:
                self._of_group[arn] = self._calls.make("ListAttachedPolicies", lambda: self._of(arn))
            found += [(policy, group["groupName"]) for policy in self._of_group[arn]]
        return found

    def _of(self, group_arn: str) -> tuple[str, ...]:
        """The policies of a group, and of the groups above it."""
        iot = self._stage.iot
        try:
            pages = list(iot.get_paginator("list_attached_policies").paginate(target=group_arn, recursive=True))
        except iot.exceptions.ResourceNotFoundException:
            return ()  # deleted meanwhile
        return tuple(one["policyName"] for page in pages for one in page["policies"])
