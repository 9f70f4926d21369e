"""Provisions devices by the template on their CA (JITP), as the guide documents: at their first CONNECT.

The certificate is registered PENDING_ACTIVATION; then the thing, its groups, the policies and their attachments are
made; ACTIVE is last (developer guide, "Just-in-time provisioning"; aws-facts §1). A template that cannot be carried out
leaves the certificate pending. It is AWS IoT that does this: no call of it is counted, and the role of the template is
not modelled.
"""

from typing import TYPE_CHECKING, Any

from simulation.faults import NotModelled, ServiceError
from simulation.iot.certificates import DeviceCertificate
from simulation.iot.template_evaluation import PARAMETERS, CannotProvision, Provisioning, evaluate
from simulation.leaf import parse
from simulation.place import Place

if TYPE_CHECKING:
    from simulation.iot import Iot


class JustInTimeProvisioning:
    """JITP in one account and Region."""

    def __init__(self, place: Place, iot: "Iot") -> None:
        self._place = place
        self._iot = iot
        self.under_way: set[str] = set()  # certificate ids, for tests; so are these
        self.provisioned: list[str] = []
        self.failed: dict[str, str] = {}  # certificate id → why it stays pending

    def template_of(self, ca_certificate_id: str | None) -> str | None:
        """The body of the template on a CA, given as such or by its name; None where there is none."""
        ca = self._iot.cas.by_id.get(ca_certificate_id or "")
        config: dict[str, Any] = (ca.template if ca else None) or {}
        if named := config.get("templateName"):
            stored = self._iot.provisioning_templates.by_name.get(named, {})
            return str(stored.get("templateBody", "{}"))
        return config.get("templateBody")

    def begin(self, certificate: DeviceCertificate, body: str) -> None:
        """Begin to provision a device; it takes a time that AWS does not document, and goes on if the CA changes."""
        seconds = self._place.undocumented.jitp_seconds
        self.under_way.add(certificate.certificate_id)
        if seconds:
            self._place.clock.call_later(seconds, lambda: self._provision(certificate, body))
        else:
            self._provision(certificate, body)

    def _provision(self, certificate: DeviceCertificate, body: str) -> None:
        self.under_way.discard(certificate.certificate_id)
        if certificate.deleted:
            return
        parsed = parse(certificate.leaf.pem)
        try:
            made = evaluate(body, {name: parsed.field_values(name) for name in PARAMETERS.values()})
            self._make(certificate, made)
        except (CannotProvision, ServiceError) as error:
            self.failed[certificate.certificate_id] = str(error)
            return
        self.provisioned.append(certificate.certificate_id)

    def _make(self, certificate: DeviceCertificate, made: Provisioning) -> None:
        """Carry it out, ACTIVE last.

        Raises CannotProvision, ServiceError.
        """
        iot = self._iot
        if made.thing_name is not None:
            self._make_thing(made, made.thing_name)
            for group in made.groups:
                iot.things.add_thing_to_thing_group({"thingName": made.thing_name, "thingGroupName": group})
            iot.things.attach_thing_principal(
                {
                    "thingName": made.thing_name,
                    "principal": certificate.arn,
                    "thingPrincipalType": made.principal_type,
                }
            )
        for name, document in made.policies:
            if document is not None and name not in iot.policies.by_name:
                iot.policies.create_policy({"policyName": name, "policyDocument": document})
            iot.policies.attach_policy({"policyName": name, "target": certificate.arn})
        if made.status != certificate.status:
            # Another party may have set a status meanwhile; AWS does not document a condition.
            iot.certificates.update_certificate({"certificateId": certificate.certificate_id, "newStatus": made.status})

    def _make_thing(self, made: Provisioning, name: str) -> None:
        """Make the thing, or do to one that exists what `OverrideSettings` says; without it, nothing (a guess)."""
        things = self._iot.things
        params: dict[str, Any] = {"thingName": name, "attributePayload": {"attributes": made.attributes}}
        if made.thing_type is not None:
            params["thingTypeName"] = made.thing_type
        if name not in things.by_name:
            billing = {"billingGroupName": made.billing_group} if made.billing_group is not None else {}
            things.create_thing(params | billing)
            return
        if "FAIL" in made.overrides.values():
            raise CannotProvision(f"thing {name} exists (OverrideSettings: FAIL)")
        match made.overrides.get("AttributePayload", "DO_NOTHING"):
            case "MERGE":
                payload = {"attributes": made.attributes, "merge": True}
                things.update_thing({"thingName": name, "attributePayload": payload})
            case "REPLACE":
                things.update_thing({"thingName": name, "attributePayload": {"attributes": made.attributes}})
            case "DO_NOTHING":
                pass
            case other:
                raise NotModelled(f"OverrideSettings {other}")
