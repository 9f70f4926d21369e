"""Adopts the thing of the tests' device, as `jitrctl device adopt` does."""

from jitrctl.device.adopt import Adoption
from tests.support.cloud import Cloud


def adopt(cloud: Cloud) -> str:
    """Adopt the thing; the id of its certificate."""
    return prepare_adoption(cloud).carry_out()


def prepare_adoption(cloud: Cloud) -> Adoption:
    """An adoption that has not begun."""
    return Adoption("sensor-0001", client=cloud.iot, iot=cloud.aws_iot, registry=cloud.registry)
