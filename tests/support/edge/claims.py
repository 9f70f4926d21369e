"""Claims a thing name in the registry, as a run of `register` does."""

from dataclasses import replace

from jitr.decisions import Decision
from jitr.owners import Owner
from jitr.record import Record
from jitr.store.registry import Registry
from tests.support.cases.issuing import DAY, NOW
from tests.support.examples import ACTIVATION, OWNER

NOBODY_KNOWN = Record()
RETIRE_AT = NOW + 7 * DAY


def claim(
    registry: Registry,
    intent: Decision = ACTIVATION,
    record: Record = NOBODY_KNOWN,
    owner: Owner | None = None,
    *,
    share: bool = False,
    earlier: Owner | None = None,
) -> None:
    """Claim with a decision's thing name, on a record that was seen and an owner that was read.

    Raises what Registry.claim raises.
    """
    owner = owner or replace(OWNER, certificate_id=intent.certificate_id)
    if intent.replaces and earlier is None:
        earlier = replace(OWNER, certificate_id=intent.replaces)
    registry.claim(intent, record, owner, share=share, earlier=earlier, retire_at=RETIRE_AT, run="run")
