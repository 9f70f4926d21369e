"""Which certificate a thing name belongs to, and how a name goes back, as values."""

from datetime import datetime

from jitr.frozen import value


@value
class Owner:
    """The certificate that a thing name belongs to, with what a rotation is recognized by."""

    certificate_id: str
    ca_certificate_id: str
    serial: str  # lower-case hex
    issued_at: datetime  # notBefore
    ends_at: datetime  # notAfter
    registered_at: datetime
    previous_owners: tuple[
        str, ...
    ] = ()  # the certificate ids that had the name before, the last first; name_rollback.py


@value
class NameRollback:
    """A thing name on its way back from a certificate that claimed it and does not work."""

    thing_name: str
    by: str  # the certificate id that has it
    to: Owner | None  # None: nobody who had it works, so it is free
