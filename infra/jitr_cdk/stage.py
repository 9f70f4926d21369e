"""Defines the stack of each account and Region: `cdk ls` lists dev/eu-central-1, prod/eu-central-1, prod/us-east-1.

So `cdk deploy 'prod/*'` deploys all of prod, and `cdk deploy '*/eu-central-1'` one Region of every account. The stacks
of an account are children of a construct, not of a `cdk.Stage`: `cdk deploy --all` and `cdk diff` without names handle
only the stacks of the app itself.
"""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from jitr.hub.locations import HOMES_FILE
from jitr_cdk.alarms import Central, StageAlarms
from jitr_cdk.asset import function_asset, layer_asset
from jitr_cdk.ca import RegisteredCa
from jitr_cdk.crls import CrlBucket
from jitr_cdk.dashboard import StageDashboard
from jitr_cdk.device_policy import DevicePolicy
from jitr_cdk.encryption import StageKey
from jitr_cdk.enrollment import EnrollmentList
from jitr_cdk.hub import Forwarding, HubResources
from jitr_cdk.iot_logging import AwsIotLogging
from jitr_cdk.placeholders import fill_placeholders
from jitr_cdk.registration import RegistrationPath
from jitr_cdk.registry import RegistryTable
from jitr_cdk.revocation import CrlArrivals, Revocation
from jitr_cdk.sweeping import Sweeping
from jitr_cdk.target import LocalDifference, Target
from jitr_cdk.things import ThingCatalog
from jitr_fleet.choices import RegisteredBy
from jitr_fleet.model import Account, Fleet
from jitr_fleet.names import partition_of
from jitr_fleet.policy import BUILT_IN_POLICY
from jitr_fleet.resources import ResourceNames


class AccountStacks(Construct):
    """Everything of one account."""

    def __init__(self, scope: Construct, *, fleet: Fleet, account: Account, target: Target) -> None:
        super().__init__(scope, account.name)
        for region in account.regions:
            RegionStack(self, fleet=fleet, account=account, region=region, target=target)


class RegionStack(cdk.Stack):
    """The registration path of one fleet in one account and Region."""

    def __init__(self, scope: Construct, *, fleet: Fleet, account: Account, region: str, target: Target) -> None:
        names = ResourceNames(fleet.name)
        super().__init__(
            scope,
            region,
            stack_name=names.stack,
            description=f"jitr: just-in-time registration of the fleet {fleet.name}",
            env=cdk.Environment(account=account.id, region=region),
            synthesizer=target.synthesizer(),
            tags=dict(fleet.stack.tags),
            termination_protection=fleet.stack.termination_protection,
            # A template holds 1 MB; with indentation, that of a hundred CAs comes near it.
            suppress_template_indentation=True,
        )
        cas = account.origins
        thing_groups = sorted({group for ca in cas for group in (*ca.thing_groups, *ca.extra_groups)})
        new = [ca for ca in cas if not ca.existing]
        thing_types = {name for ca in new for name in (ca.thing_type, *ca.extra_types) if name}
        things = ThingCatalog(
            self,
            "Things",
            thing_types=thing_types,
            thing_groups={group for ca in new for group in (*ca.thing_groups, *ca.extra_groups)},
            billing_groups=(
                set()
                if LocalDifference.NO_BILLING_GROUPS in target.differences
                else {ca.billing_group for ca in new if ca.billing_group}
            ),
        )
        policies = [
            DevicePolicy(
                self,
                f"DevicePolicy-{ca.name}",
                policy_name=fleet.policy_name(ca),
                document=(ca.policy or BUILT_IN_POLICY).read_text(encoding="utf-8"),
            )
            for ca in cas
        ]
        key = StageKey(self, "Encryption", fleet=fleet, account=account)
        layer = lambda_.LayerVersion(
            self,
            "Dependencies",
            layer_version_name=names.layer,
            code=layer_asset(target).code(),
            compatible_runtimes=[target.runtime],
            compatible_architectures=[target.architecture],
            description="What jitr's functions import besides the runtime's boto3",
        )
        registry = RegistryTable(self, "Registry", table_name=names.registry_table, key=key)
        crls = CrlBucket(self, "Crls", bucket_name=names.crl_bucket(account.id, region), key=key, target=target)
        arrivals = CrlArrivals(self, "CrlArrivals", names=names, crls=crls, key=key, target=target)
        enrollment = EnrollmentList(self, "Enrollment", table_name=names.enrollment_table, key=key)
        code = function_asset(fleet.rules(account, region), target)
        snap_start = fleet.stack.snap_start if account.snap_start is None else account.snap_start
        registration = RegistrationPath(
            self,
            "Registration",
            names=names,
            cas=account.cas,
            thing_groups=tuple(thing_groups),
            billing_groups=tuple(sorted({ca.billing_group for ca in cas if ca.billing_group})),
            has_shadows=any(ca.shadow for ca in cas),
            activations_per_second=account.activations_per_second,
            rejections_by_reason=fleet.metrics.rejections_by_reason,
            registry=registry,
            crls=crls,
            crl_arrivals=arrivals,
            enrollment=enrollment,
            hooks=tuple(filter(None, (ca.hook_in(account, region) for ca in cas))),
            # Lambda has SnapStart in no other partition (cfn-lint's E2530 lists the Regions).
            snap_start=snap_start and partition_of(region) == "aws",
            key=key,
            target=target,
            code=code,
            layer=layer,
        )
        enrollment.make_after(things, *policies, registry, *registration.queues)
        if fleet.stack.iot_logging and LocalDifference.NO_IOT_LOGGING not in target.differences:
            AwsIotLogging(self, "IotLogging", names=names, level=fleet.stack.iot_logging)
        central = Central.NONE
        if fleet.hub:
            central = Central.FORWARDS
            Forwarding(self, "Forwarding", names=names, hub=fleet.hub, key=key, target=target)
        if fleet.hub and (fleet.hub.account_id, fleet.hub.region) == (account.id, region):
            central = Central.HUB
            HubResources(
                self,
                "Hub",
                names=names,
                account_ids=[one.id for one in fleet.accounts],
                organization=fleet.hub.organization,
                settings=registration.settings,
                enrollment=enrollment,
                key=key,
                target=target,
                code=function_asset(fleet.rules(account, region), target, {HOMES_FILE: fleet.homes().to_json()}),
                layer=layer,
            )
        ca_names = [one.ca.name for one in account.cas]
        alarms = StageAlarms(
            self,
            "Alarms",
            names=names,
            cas=ca_names,
            sweep_every=fleet.sweep.every,
            limits=fleet.alarms,
            central=central,
        )
        StageDashboard(
            self,
            "Dashboard",
            names=names,
            cas=ca_names,
            alarm_names=alarms.names,
            activations_per_second=account.activations_per_second,
        )
        Revocation(
            self,
            "Revocation",
            names=names,
            settings=registration.settings,
            arrivals=arrivals,
            registry=registry,
            crls=crls,
            key=key,
            target=target,
            code=code,
            layer=layer,
        )
        Sweeping(
            self,
            "Sweeping",
            names=names,
            every=fleet.sweep.every,
            cas=account.cas,
            registration=registration,
            registry=registry,
            enrollment=enrollment,
            crls=crls,
            crl_arrivals=arrivals,
            key=key,
            target=target,
            code=code,
            layer=layer,
        )
        if fleet.stack.permission_boundary:
            boundary = fill_placeholders(fleet.stack.permission_boundary, self)
            iam.PermissionsBoundary.of(self).apply(
                iam.ManagedPolicy.from_managed_policy_arn(self, "Boundary", boundary)
            )
        after = list(self.node.children)
        for one in account.cas:
            if one.registered_by is RegisteredBy.STACK:
                # The first depends on everything else, each other one on the one before: so none is made before
                # anything that can fail, and the template names everything once, not once per CA.
                after = [RegisteredCa(self, registration=one, after=after)]
