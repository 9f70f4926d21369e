"""An operator's order to register a certificate without a CA, as a value: written before the registration is made."""

from datetime import datetime, timedelta

from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status

# The order's time and creationDate are of two services' clocks, and one of them has whole seconds.
_CLOCKS_DIFFER = timedelta(seconds=5)


@value
class ImportOrder:
    """An order of `jitrctl device import` on one certificate; it ends with the decision on it."""

    source: str  # rules.source_id
    by: str  # the caller's ARN
    at: datetime  # by AWS's clock
    note: str = ""
    may_follow: bool = False  # it may take over a thing name from any certificate of a CA, or of another source

    def is_of(self, device: DeviceRegistration) -> bool:
        """Whether the import made this registration: it is younger than the order, and no device made it by a CA."""
        if device.is_ca_named or device.status is Status.PENDING_ACTIVATION:
            return False
        return device.created_at >= self.at - _CLOCKS_DIFFER

    def is_unfinished_on(self, device: DeviceRegistration) -> bool:
        """Whether that registration is as the import made it: INACTIVE, and its status was never set."""
        if device.status is not Status.INACTIVE or device.modified_at is None or not self.is_of(device):
            return False
        return device.modified_at <= device.created_at + _CLOCKS_DIFFER
