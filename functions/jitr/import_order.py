"""An operator's order to register a certificate, without a CA or under one, as a value: written before that is done."""

from datetime import datetime, timedelta

from jitr.frozen import value
from jitr.iot_models import DeviceRegistration, Status

# The order's time and creationDate are of two services' clocks, and one of them has whole seconds.
_CLOCKS_DIFFER = timedelta(seconds=5)
# The registration is the next call after the order. A later one is somebody else's, or of the next run's order.
_MADE_WITHIN = timedelta(minutes=5)
# creationDate and lastModifiedDate of a status that was not set since.
_SAME_MOMENT = timedelta(seconds=1)


@value
class ImportOrder:
    """An order of `jitrctl device import` on one certificate; it ends with the decision on it."""

    source: str  # rules.source_id; or a CA's id: registered under that CA
    by: str  # the caller's ARN
    at: datetime  # by AWS's clock
    note: str = ""
    may_follow: bool = False  # it may take over a thing name from any certificate that was issued earlier

    def is_of(self, device: DeviceRegistration) -> bool:
        """Whether the import made this registration: right after the order, and no device made it by connecting.

        AWS IoT names no CA of it, or the order's.
        """
        is_of_other_ca = device.is_ca_named and device.ca_certificate_id != self.source
        if is_of_other_ca or device.status is Status.PENDING_ACTIVATION:
            return False
        return self.at - _CLOCKS_DIFFER <= device.created_at <= self.at + _MADE_WITHIN

    def is_unfinished_on(self, device: DeviceRegistration) -> bool:
        """Whether that registration is as the import made it: INACTIVE, and its status was never set."""
        if device.status is not Status.INACTIVE or device.modified_at is None or not self.is_of(device):
            return False
        return device.modified_at <= device.created_at + _SAME_MOMENT
