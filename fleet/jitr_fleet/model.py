"""The fleet as values: the content of fleet.toml and of its files, and the rules of one account and Region.

Nothing is parsed or checked here: a Fleet is made only by `parse.load`, which checks everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from jitr.brake import BrakeLimits
from jitr.hub.locations import Homes
from jitr.rules import (
    HOOK,
    CaRules,
    CertificateMode,
    CheckMode,
    EnrollmentRule,
    OnReject,
    OnReplacement,
    OnStaleCrl,
    Rules,
)
from jitr.x509.certificate import Certificate
from jitr_fleet.choices import IotLogging, RegisteredBy
from jitr_fleet.names import partition_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where devices' certificates come from, with the rules for the devices and what they are provisioned with."""

    name: str
    certificate_id: str  # of a CA: lower-case hex SHA-256 of its DER, the same everywhere; of a source: its `source_id`
    common_name: str | None  # regular expression, full match; at least one of these four is given
    serial_number: str | None
    san_uri: str | None
    san_dns: str | None
    thing_name: str  # template
    thing_type: str | None
    thing_groups: tuple[str, ...]
    attributes: Mapping[str, str] = field(hash=False)  # name → value template
    billing_group: str | None
    existing: bool  # the thing type, the groups and the billing group exist before the stack
    shadow: str | None  # the file's content as compact JSON, with template fields in its texts
    policy: Path | None  # None: jitr's built-in policy
    policy_variables: tuple[str, ...]  # certificate variables that the policy names, in lower case
    enrollment: EnrollmentRule
    extra_types: tuple[str, ...]  # that an enrollment entry or the hook may give a device
    extra_groups: tuple[str, ...]
    hook: str | None  # ARN of a function, with {partition}, {region}, {account} in it
    on_replacement: OnReplacement
    rotation_window: int  # seconds before its notAfter in which a certificate may be replaced
    overlap: int  # seconds in which both certificates work
    checks: Mapping[str, CheckMode] = field(hash=False)  # every check of jitr.admission.check_list.MODES that it has
    minimum_remaining_life: int  # seconds
    maximum_life: int | None  # seconds
    rsa_bits: tuple[int, int]  # least and greatest modulus, inclusive
    curves: tuple[str, ...]

    def hook_in(self, account: "Account", region: str) -> str | None:
        """The ARN of the hook's function for one stage; None when there is none, or its check is off."""
        if self.checks[HOOK] is CheckMode.OFF:
            return None
        return self.hook and self.hook.format(partition=partition_of(region), region=region, account=account.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca(Origin):
    """A CA that signs devices' certificates."""

    certificate: Certificate
    certificate_pem: str  # the certificate alone, without other text of its file
    certificate_path: Path
    registered_by: RegisteredBy  # unless the account has its own value
    home: tuple[str, ...]  # ids of the accounts that its devices belong to; none: any
    on_reject: OnReject
    on_stale_crl: OnStaleCrl
    revocation_of_active: CheckMode  # what a CRL does to certificates that are registered
    succeeds: str | None  # certificate id of the CA that this one succeeds
    brake: BrakeLimits | None  # None: off


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Origin):
    """Certificates that operators register without a CA, by `jitrctl device import`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaDeployment:
    """A CA as it is registered in one account, in each of the account's Regions."""

    ca: Ca
    mode: CertificateMode
    registered_by: RegisteredBy
    jitp: bool = False  # a provisioning template is on it: its topic rule is deployed disabled
    verification_certificate_pem: str | None  # when the mode is DEFAULT, unless the fleet was loaded without proof
    verification_certificate_path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An AWS account of the fleet."""

    name: str
    id: str  # 12 digits
    regions: tuple[str, ...]
    profile: str | None  # an ordinary AWS profile
    role_arn: str | None  # a role of the account, to be assumed with the profile's credentials
    # Where every AWS call goes instead of AWS; a mapping has a URL for each Region.
    endpoint_url: str | Mapping[str, str] | None = field(hash=False)
    activations_per_second: float  # in each Region
    kms_key: str | None  # overrides StackOptions.kms_key
    snap_start: bool | None  # overrides StackOptions.snap_start; None: that one
    cas: tuple[CaDeployment, ...]
    sources: tuple[Source, ...] = ()

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All CAs and sources of the account."""
        return (*(one.ca for one in self.cas), *self.sources)

    def endpoint_in(self, region: str) -> str | None:
        """The URL to which the calls in a Region go; None: to AWS."""
        return self.endpoint_url.get(region) if isinstance(self.endpoint_url, Mapping) else self.endpoint_url


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSchedule:
    """When the sweep runs and which pending certificates it finds; all in seconds."""

    every: int
    pending_after: int
    horizon: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPlace:
    """The stage to which all stages send their events."""

    account: str  # its name
    account_id: str
    region: str
    organization: str | None  # all its accounts may send events; None: only the fleet's accounts, each by its id


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """How the stacks are deployed."""

    tags: Mapping[str, str] = field(hash=False)
    permission_boundary: str | None  # ARN of a managed policy, with the placeholders of policies
    termination_protection: bool
    iot_logging: IotLogging | None  # None: the account's setting is left alone
    snap_start: bool  # `register` starts from a snapshot of itself
    kms_key: str | None  # ARN of a key or an alias, with the placeholders of policies; None: AWS's own keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """The topic of the alarms, and their thresholds."""

    topic: str | None  # ARN of an SNS topic, with the placeholders of policies
    backlog: int  # seconds that the oldest registration may wait
    rejection_rate: float  # percent
    ca_expiry: int  # seconds before the end of a CA's certificate
    device_expiry: int  # seconds before the end of a device's certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The optional metrics; AWS charges for each."""

    rejections_by_reason: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One fleet.toml; CAs, sources and accounts are in the order of the file."""

    name: str
    cas: tuple[Ca, ...]
    sources: tuple[Source, ...] = ()
    accounts: tuple[Account, ...]
    sweep: SweepSchedule
    alarms: Alarms
    stack: StackOptions
    hub: HubPlace | None
    metrics: Metrics
    path: Path

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All CAs and sources."""
        return (*self.cas, *self.sources)

    def policy_name(self, origin: Origin) -> str:
        """The name of the IoT policy of these devices; unique, since neither part holds two hyphens in a row."""
        return f"jitr-{self.name}--{origin.name}"

    def homes(self) -> Homes:
        """The accounts that each CA's devices belong to, unless an enrollment entry names accounts."""
        return Homes(
            {ca.name: ca.home for ca in self.cas if ca.home}, frozenset(account.id for account in self.accounts)
        )

    def rules(self, account: Account, region: str) -> Rules:
        """Derive the rules of the functions in this account and Region.

        Raises ValueError when the account is not in this fleet or does not have the Region.
        """
        if account not in self.accounts or region not in account.regions:
            raise ValueError(f"the fleet {self.name} has no stage for account {account.name} in {region}")
        return Rules(
            fleet=self.name,
            cas=tuple(
                self._rules_of(one.ca, account, region, certificate_mode=one.mode, jitp=one.jitp) for one in account.cas
            ),
            sources=tuple(self._rules_of(one, account, region, brake=None) for one in account.sources),
            **{one.name: getattr(self.sweep, one.name) for one in fields(Rules) if hasattr(self.sweep, one.name)},
            device_expiry=self.alarms.device_expiry,
        )

    def _rules_of(self, origin: Origin, account: Account, region: str, **own: Any) -> CaRules:
        """Copy the fields of the same name from the CA or source, and add those that depend on the stage."""
        same: dict[str, Any] = {
            one.name: getattr(origin, one.name) for one in fields(CaRules) if one.name in origin.__dataclass_fields__
        }
        for_stage = {
            "policy": self.policy_name(origin),
            "hook": origin.hook_in(account, region),
            # Plain dicts: asdict cannot copy read-only views.
            "attributes": dict(origin.attributes),
            "checks": dict(origin.checks),
        }
        return CaRules(**(same | for_stage | own))
