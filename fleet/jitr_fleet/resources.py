"""Defines the names of a fleet's AWS resources, for infra and for jitrctl; they are the same in every account.

Names are fixed, not generated, because functions, operators and a second deployment must find them. Each holds the
fleet's name, so that two fleets in one account do not collide.
"""

from dataclasses import dataclass

LIVE = "live"  # the alias of a function that starts from a snapshot


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """The names that follow from a fleet's name."""

    fleet: str

    @property
    def stack(self) -> str:
        return f"jitr-{self.fleet}"

    @property
    def registry_table(self) -> str:
        return f"jitr-{self.fleet}-registry"

    def crl_bucket(self, account_id: str, region: str) -> str:
        """A bucket's name: 63 characters at most, and unique among all AWS customers (S3 user guide)."""
        return f"jitr-{self.fleet}-crl-{account_id}-{region}"

    @property
    def enrollment_table(self) -> str:
        return f"jitr-{self.fleet}-enrollment"

    @property
    def registrations_queue(self) -> str:
        return f"jitr-{self.fleet}-registrations"

    @property
    def dead_letter_queue(self) -> str:
        return f"jitr-{self.fleet}-dead-letters"

    @property
    def undelivered_queue(self) -> str:
        return f"jitr-{self.fleet}-undelivered"

    @property
    def crl_queue(self) -> str:
        return f"jitr-{self.fleet}-crls"

    @property
    def crl_dead_letter_queue(self) -> str:
        return f"jitr-{self.fleet}-crls-failed"

    @property
    def crl_rule(self) -> str:
        return f"jitr-{self.fleet}-crls"

    @property
    def revoke_function(self) -> str:
        return f"jitr-{self.fleet}-revoke"

    @property
    def register_function(self) -> str:
        return f"jitr-{self.fleet}-register"

    @property
    def sweep_function(self) -> str:
        return f"jitr-{self.fleet}-sweep"

    @property
    def sweep_schedule(self) -> str:
        return f"jitr-{self.fleet}-sweep"

    @property
    def hub_bus(self) -> str:
        return f"jitr-{self.fleet}-hub"

    @property
    def hub_rule(self) -> str:
        return f"jitr-{self.fleet}-hub"

    @property
    def hub_queue(self) -> str:
        return f"jitr-{self.fleet}-hub"

    @property
    def hub_dead_letter_queue(self) -> str:
        return f"jitr-{self.fleet}-hub-failed"

    @property
    def hub_table(self) -> str:
        return f"jitr-{self.fleet}-hub"

    @property
    def hub_function(self) -> str:
        return f"jitr-{self.fleet}-hub"

    @property
    def forwarding_rule(self) -> str:
        return f"jitr-{self.fleet}-forwarding"

    @property
    def unforwarded_queue(self) -> str:
        return f"jitr-{self.fleet}-unforwarded"

    def rule(self, ca: str) -> str:
        """A topic rule's name: letters, digits and underscores (IoT API reference, CreateTopicRule).

        Unique, since neither name holds an underscore or two hyphens in a row.
        """
        return f"jitr_{self.fleet}__{ca}".replace("-", "_")

    @property
    def layer(self) -> str:
        return f"jitr-{self.fleet}-dependencies"

    def role(self, what: str, region: str) -> str:
        """A role's name: 64 characters at most, and unique in its account across Regions (IAM user guide).

        It is fixed, since CloudFormation shortens the stack's name in the names that it generates: a policy on
        `role/jitr-<fleet>-*` would not match the roles of a fleet with a long name.
        """
        return f"jitr-{self.fleet}-{what}-{region}"

    def alarm(self, what: str, ca: str | None = None) -> str:
        """An alarm's name; no part holds two hyphens in a row."""
        return "--".join([f"jitr-{self.fleet}", what, *([ca] if ca else [])])

    def dashboard(self, region: str) -> str:
        """A dashboard's name; unlike the other resources, dashboards are shared by all Regions of an account."""
        return f"jitr-{self.fleet}--{region}"

    def log_group(self, function: str) -> str:
        return f"/aws/lambda/{function}"


def registered_topic(ca_certificate_id: str) -> str:
    """The topic of the events about a CA's new certificates (AWS IoT guide, "Just-in-time registration")."""
    return f"$aws/events/certificates/registered/{ca_certificate_id}"


def rule_sql(ca_certificate_id: str) -> str:
    """The SQL of a CA's topic rule (AWS IoT SQL, version 2016-03-23)."""
    topic = registered_topic(ca_certificate_id)
    return f"SELECT * FROM '{topic}' WHERE certificateStatus = 'PENDING_ACTIVATION'"  # noqa: S608 -- IoT SQL of our own
