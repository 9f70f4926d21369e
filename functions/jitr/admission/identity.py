"""The identity of an admitted device: what provisioning needs, made from a certificate by its CA's rules."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

from jitr.admission import naming
from jitr.admission.enrollment import Enrollment
from jitr.admission.overrides import Additions
from jitr.admission.shadow import fill_shadow
from jitr.frozen import value
from jitr.rules import CaRules
from jitr.x509.certificate import Certificate


@value
class Identity:
    """The device that an admitted certificate becomes."""

    ca: str  # the CA's name in fleet.toml
    thing_name: str
    thing_type: str | None
    thing_groups: tuple[str, ...]
    attributes: Mapping[str, str]
    policy: str
    may_follow: bool = (
        False  # an entry allows it to take over the thing name before the old certificate is near its end
    )
    billing_group: str | None = None
    shadow: str | None = None  # the first one: the request of UpdateThingShadow, as JSON

    def with_additions(self, more: Additions) -> Self:
        """The same device with additional groups; the additions' attributes and thing type replace its own."""
        whole = more.over(
            Additions(thing_type=self.thing_type, thing_groups=self.thing_groups, attributes=self.attributes)
        )
        return replace(self, thing_type=whole.thing_type, thing_groups=whole.thing_groups, attributes=whole.attributes)


def identity_of(rules: CaRules, certificate: Certificate) -> Identity:
    """The identity that the CA's rules make of a certificate.

    Raises Rejected when a name cannot be made, or is not legal.
    """
    thing_name = naming.thing_name(rules, certificate)
    return Identity(
        ca=rules.name,
        thing_name=thing_name,
        thing_type=rules.thing_type,
        thing_groups=rules.thing_groups,
        attributes={name: naming.attribute_value(name, rules, certificate) for name in rules.attributes},
        policy=rules.policy,
        billing_group=rules.billing_group,
        shadow=fill_shadow(rules, certificate, thing_name),
    )


def enrolled_identity(identity: Identity, enrollment: Enrollment) -> Identity:
    """The same device with what its enrollment entries give it."""
    return replace(identity.with_additions(enrollment.additions), may_follow=enrollment.may_follow)


def with_own_shadow(identity: Identity, rules: CaRules, certificate: Certificate) -> Identity:
    """The same device with the shadow of its thing name, which the hook may have changed.

    Raises Rejected(NAME_NOT_LEGAL).
    """
    return replace(identity, shadow=fill_shadow(rules, certificate, identity.thing_name))
