"""AWS IoT in one account and Region: CAs, certificates, things, policies, and the broker that devices connect to."""

from simulation.iot.broker import Broker
from simulation.iot.cas import Cas
from simulation.iot.certificates import Certificates
from simulation.iot.connections import Connections
from simulation.iot.just_in_time import JustInTimeProvisioning
from simulation.iot.policies import Policies
from simulation.iot.provisioning_templates import ProvisioningTemplates
from simulation.iot.shadows import Shadows
from simulation.iot.things import Things
from simulation.place import Place
from simulation.sqs import Sqs


class Iot:
    """AWS IoT's parts; each has its own state, and a method for each operation, named as in boto3."""

    def __init__(self, place: Place, sqs: Sqs) -> None:
        self.cas = Cas(place)
        self.policies = Policies(place)
        self.things = Things(place)
        self.certificates = Certificates(place, self.cas, self.things, self.policies)
        # An attachment names both ends, so things and policies must know whether a certificate exists.
        self.things.certificates = self.policies.certificates = self.certificates
        self.policies.things = self.things
        self.provisioning_templates = ProvisioningTemplates(place)
        self.just_in_time = JustInTimeProvisioning(place, self)
        self.connections = Connections(place, self)
        self.shadows = Shadows(place)
        self.broker = Broker(place, sqs, self)

    @property
    def parts(self) -> tuple[object, ...]:
        return self.cas, self.certificates, self.things, self.policies, self.provisioning_templates, self.broker
