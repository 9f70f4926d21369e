"""Compares, for some certificates of a CA, what JITP made with what jitr would make under given rules.

Reads AWS IoT; changes nothing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitr.admission.naming import fill
from jitr.errors import CertificateUnknown, Rejected
from jitr.iot_models import Status
from jitr.provisioning import OWNER_ATTRIBUTE
from jitr.x509.certificate import Certificate
from jitrctl.clock import now
from jitrctl.jitp.values import VARIABLES
from jitrctl.rules.trial import judge, sample_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jitr.admission.identity import Identity
    from jitr.aws.iot import AwsIot
    from jitr.iot_models import DeviceRegistration
    from jitr.rules import CaRules, Rules
    from jitrctl.jitp.block import StagePlace

SAMPLE = 10  # certificates
_MOST_OTHERS = 30  # of the account, described one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that jitr would make in another way."""

    what: str  # thing, attribute model, type, groups, billing group, policy
    jitp: str
    jitr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledDevice:
    """A certificate under the CA, what JITP made of it, and what jitr would make."""

    certificate_id: str
    status: Status
    things: tuple[str, ...]  # attached
    jitr_thing: str | None
    refused: str | None  # why jitr would not admit it
    differences: tuple[Difference, ...]
    same: tuple[str, ...]  # what is the same, in words

    @property
    def is_same(self) -> bool:
        return not self.differences and self.refused is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A device as AWS IoT has it."""

    things: tuple[str, ...]
    thing_type: str | None
    attributes: Mapping[str, str]
    groups: tuple[str, ...]
    billing_group: str | None
    policies: tuple[str, ...]


class Comparison:
    """Compares devices of one CA; `iot` is a client, `rules` have the CA, `policy` is the document of its devices."""

    def __init__(self, iot: Any, aws_iot: AwsIot, rules: Rules, ca_id: str, policy: str, place: StagePlace) -> None:
        self._iot, self._aws_iot, self._rules, self._place = iot, aws_iot, rules, place
        found = rules.ca(ca_id)
        assert found is not None  # noqa: S101 -- the rules are this CA's
        self._ca: CaRules = found
        self._policy = policy
        self._documents: dict[str, Any] = {}

    def run(self, most: int = SAMPLE) -> tuple[tuple[SampledDevice, ...], bool]:
        """Compare the newest and the oldest certificates that AWS IoT lists under the CA, and whether it lists any.

        AWS does not say that it lists those of a CA in mode SNI_ONLY. If there are none, those are compared which the
        CA has signed, of the newest and the oldest certificates of the account.

        Raises Unavailable, botocore's errors.
        """
        listed = sample_ids(partial(self._iot.list_certificates_by_ca, caCertificateId=self._ca.certificate_id), most)
        if listed:
            return self._compare_all(self._describe(listed)), True
        others = self._describe(sample_ids(self._iot.list_certificates, _MOST_OTHERS))
        signed = (one for one in others if self._ca.certificate_id in (one.ca_certificate_id, *one.possible_cas))
        return self._compare_all(islice(signed, most)), False

    def _compare_all(self, devices: Iterable[DeviceRegistration]) -> tuple[SampledDevice, ...]:
        compared = []
        for one in devices:
            with suppress(self._iot.exceptions.ResourceNotFoundException):  # it, or its thing, was deleted meanwhile
                compared.append(self._compare(one))
        return tuple(compared)

    def _describe(self, ids: Sequence[str]) -> Iterator[DeviceRegistration]:
        for one in ids:
            with suppress(CertificateUnknown):  # deleted meanwhile
                yield self._aws_iot.describe(one)

    def _compare(self, device: DeviceRegistration) -> SampledDevice:
        device = replace(device, ca_certificate_id=self._ca.certificate_id)
        made = self._read(device)
        at = now() if device.status is Status.PENDING_ACTIVATION else device.created_at
        identity = judge(device, self._rules, at)
        if isinstance(identity, Rejected):
            return SampledDevice(
                certificate_id=device.certificate_id,
                status=device.status,
                things=made.things,
                jitr_thing=None,
                refused=f"{identity.reason.name}: {identity.detail}",
                differences=(),
                same=(),
            )
        pairs = list(self._pairs(device, identity, made))
        if not made.things and not made.policies:
            pairs = pairs[:1]  # JITP has made nothing of it
        return SampledDevice(
            certificate_id=device.certificate_id,
            status=device.status,
            things=made.things,
            jitr_thing=identity.thing_name,
            refused=None,
            differences=tuple(one for one in pairs if one.jitp != one.jitr),
            same=tuple(one.what for one in pairs if one.jitp == one.jitr),
        )

    def _read(self, device: DeviceRegistration) -> _Made:
        things = tuple(self._iot.list_principal_things(principal=device.arn)["things"])
        thing, groups = dict[str, Any](), list[str]()
        if things:
            thing = self._iot.describe_thing(thingName=things[0])
            pages = self._iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=things[0])
            groups = [group["groupName"] for page in pages for group in page["thingGroups"]]
        attached = self._iot.list_attached_policies(target=device.arn)["policies"]
        return _Made(
            things=things,
            thing_type=thing.get("thingTypeName"),
            attributes=thing.get("attributes", {}),
            groups=tuple(sorted(groups)),
            billing_group=thing.get("billingGroupName"),
            policies=tuple(one["policyName"] for one in attached),
        )

    def _pairs(self, device: DeviceRegistration, identity: Identity, made: _Made) -> Iterator[Difference]:
        yield Difference(what="thing", jitp=", ".join(made.things) or "-", jitr=identity.thing_name)
        yield Difference(what="type", jitp=made.thing_type or "-", jitr=identity.thing_type or "-")
        for name in sorted({*made.attributes, *identity.attributes} - {OWNER_ATTRIBUTE}):
            before, after = made.attributes.get(name, "-"), identity.attributes.get(name, "-")
            yield Difference(what=f"attribute {name}", jitp=before, jitr=after)
        groups = ", ".join(sorted(identity.thing_groups)) or "-"
        yield Difference(what="groups", jitp=", ".join(made.groups) or "-", jitr=groups)
        yield Difference(what="billing group", jitp=made.billing_group or "-", jitr=identity.billing_group or "-")
        yield self._policies(device, identity, made)

    def _policies(self, device: DeviceRegistration, identity: Identity, made: _Made) -> Difference:
        """Policies are the same if all their statements are, filled with the certificate's values."""
        before = ", ".join(made.policies) or "-"
        fields = self._fields(device, identity.thing_name)
        statements = [one for name in made.policies for one in _statements(self._document(name), fields)]
        if made.policies and sorted(statements) == sorted(_statements(self._policy, fields | self._place.placeholders)):
            return Difference(what="policy", jitp=before, jitr=before)
        return Difference(what="policy", jitp=before, jitr=f"{identity.policy}, with other statements")

    def _document(self, name: str) -> str:
        if name not in self._documents:
            self._documents[name] = str(self._iot.get_policy(policyName=name)["policyDocument"])
        return str(self._documents[name])

    def _fields(self, device: DeviceRegistration, thing: str) -> dict[str, str]:
        """What IoT's policy variables are for this device."""
        certificate = Certificate.from_pem(device.pem)
        found = {"${iot:Connection.Thing.ThingName}": thing}
        for field, variable in VARIABLES.items():
            with suppress(Rejected):
                text = (
                    device.certificate_id if field == "certificate_id" else fill(f"{{{field}}}", self._ca, certificate)
                )
                found[f"${{{variable}}}"] = text
        return found


def _statements(document: str, fields: Mapping[str, str]) -> list[str]:
    """The statements of a policy, filled, each as JSON in one form."""
    for variable, text in fields.items():
        document = document.replace(variable, json.dumps(text)[1:-1])
    try:
        found = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return [document]
    return [
        json.dumps({key: _sort_texts(key, one) for key, one in each.items() if key != "Sid"}, sort_keys=True)
        if isinstance(each, dict)
        else json.dumps(each)
        for each in (found if isinstance(found, list) else [found])
    ]


def _sort_texts(key: str, given: Any) -> Any:
    """One text and a list of one text are the same to AWS."""
    return sorted([given] if isinstance(given, str) else map(str, given)) if key in ("Action", "Resource") else given
