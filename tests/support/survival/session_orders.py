"""Ends the sessions of a certificate that an order took away, as `jitrctl device revoke` does after the status."""

from jitr.aws.connections import Connections
from jitr.aws.iot import AwsIot
from jitr.aws.rate_limit import Unpaced
from jitr.errors import CertificateUnknown
from jitr.iot_models import Status
from jitr.session_end import SessionEnd
from jitr.sessions import SessionResult
from simulation import SimulatedAccount


def end_sessions(account: SimulatedAccount, caller: str, certificate_id: str) -> tuple[SessionResult, ...]:
    """What became of each; nothing if the certificate is gone, or somebody has made it ACTIVE since.

    Raises Unavailable.
    """
    iot = AwsIot(account.client("iot", caller=caller), Unpaced(), clock=account.aws.clock.now)
    try:
        device = iot.describe(certificate_id)
    except CertificateUnknown:
        return ()
    if device.status not in (Status.INACTIVE, Status.REVOKED):
        return ()
    ends = SessionEnd(iot, Connections(account.client("iot-data", caller=caller)))
    return ends.end(device, clean_session=device.status is Status.REVOKED)
