"""The owner of a thing name, and the return of a name to its previous owner, as values."""

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
    # The ids of the certificates that had the name before, the latest first (name_rollback.py).
    previous_owners: tuple[str, ...] = ()


@value
class NameRollback:
    """A thing name that goes back from a certificate that claimed it and did not become ACTIVE."""

    thing_name: str
    by: str  # the id of the certificate that has it
    to: Owner | None  # None: no previous owner is ACTIVE, so the name becomes free
