"""Defines the thing types, static thing groups and billing groups that the fleet file names."""

from collections.abc import Iterable

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iot as iot
from constructs import Construct


class ThingCatalog(Construct):
    """Types and groups by their names; they outlive the stack, because things belong to them."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        thing_types: Iterable[str],
        thing_groups: Iterable[str],
        billing_groups: Iterable[str],
    ) -> None:
        super().__init__(scope, construct_id)
        for name in sorted(set(thing_types)):
            thing_type = iot.CfnThingType(self, f"Type-{name}", thing_type_name=name)
            thing_type.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        for name in sorted(set(thing_groups)):
            thing_group = iot.CfnThingGroup(self, f"Group-{name}", thing_group_name=name)
            thing_group.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        for name in sorted(set(billing_groups)):
            billing_group = iot.CfnBillingGroup(self, f"BillingGroup-{name}", billing_group_name=name)
            billing_group.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
