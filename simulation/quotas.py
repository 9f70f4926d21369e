"""API rates: one token bucket for each API in each account and Region, if the account has been given quotas.

The shape of AWS's buckets is not documented; the burst is a parameter, so that both extremes can be tested.
"""

from collections.abc import Mapping

from simulation.clock import Clock

# Calls per second, aws-facts §6 (Service Quotas defaults). ListThingPrincipals: 20 in one source, 10 in the other.
IOT_CALLS_PER_SECOND: Mapping[str, float] = {
    "DescribeCertificate": 10,
    "DescribeCACertificate": 10,
    "UpdateCertificate": 10,
    "UpdateCACertificate": 10,
    "RegisterCACertificate": 10,
    "RegisterCertificate": 10,
    "RegisterCertificateWithoutCA": 10,
    "DeleteCACertificate": 10,
    "DeleteCertificate": 10,
    "ListCertificates": 10,
    "ListCertificatesByCA": 10,
    "ListCACertificates": 10,
    "GetRegistrationCode": 10,
    "CreateThing": 100,
    "UpdateThing": 100,
    "DescribeThing": 350,
    "DeleteThing": 100,
    "CreateThingType": 15,
    "DescribeThingType": 100,
    "CreateThingGroup": 25,
    "DescribeThingGroup": 100,
    "AddThingToBillingGroup": 100,
    "AddThingToThingGroup": 100,
    "RemoveThingFromThingGroup": 100,
    "ListThingGroupsForThing": 100,
    "AttachThingPrincipal": 100,
    "DetachThingPrincipal": 100,
    "ListThingPrincipals": 10,
    "ListPrincipalThings": 10,
    "AttachPolicy": 15,
    "DetachPolicy": 15,
    "ListAttachedPolicies": 15,
    "CreatePolicy": 10,
    "GetPolicy": 10,
    "ListTargetsForPolicy": 10,
    "ListTagsForResource": 10,
    "ListThings": 10,
    "ListPolicies": 10,
    "ListProvisioningTemplates": 10,
    "DescribeProvisioningTemplate": 10,
    "ListThingsInThingGroup": 10,
    "ListTopicRules": 1,
    "GetTopicRule": 1,
}

# Not APIs, but limited too: MQTT CONNECTs and automatic registrations (aws-facts §6: 15/s, which may or may not bound
# them). They are set and counted like APIs, under these names.
CONNECT = "Connect"
AUTO_REGISTRATION = "AutoRegistration"
CONNECTS_PER_SECOND, AUTO_REGISTRATIONS_PER_SECOND = 500.0, 15.0


class TokenBucket:
    """Allows `per_second` calls, and at once at most `burst` seconds' worth of them, at least one."""

    def __init__(self, clock: Clock, per_second: float, *, burst: float = 1.0) -> None:
        self._clock = clock
        self.per_second = per_second
        self._capacity = max(per_second * burst, 1.0)
        self._tokens = self._capacity
        self._filled_at = clock.monotonic()

    def take(self) -> bool:
        """Take a token, if there is one; returns whether the call is allowed."""
        now = self._clock.monotonic()
        self._tokens = min(self._tokens + (now - self._filled_at) * self.per_second, self._capacity)
        self._filled_at = now
        # 0.1 s at 10/s must be one token, even if floating point makes it slightly less.
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True
