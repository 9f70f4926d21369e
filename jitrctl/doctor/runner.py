"""The links in their order, and how far a device's certificate gets along them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from jitr.errors import Unavailable
from jitrctl.doctor import ca, connect, decision, delivery, files, provisioned
from jitrctl.doctor.finding import LinkFinding, State, note, unknown
from jitrctl.session.aws_errors import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jitrctl.doctor.connect import Knocker
    from jitrctl.doctor.context import DeviceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link: its name, and what looks at it."""

    name: str
    look: Callable[[DeviceContext], LinkFinding]
    first_connection: bool = False  # it only matters until the device is registered and decided on
    of_registered: bool = False  # there is nothing to look at before the certificate is registered


LINKS = (
    Link(name="certificate", look=files.certificate),
    Link(name="issuer", look=files.issuer),
    Link(name="chain and SNI", look=files.chain),
    Link(name="checks", look=files.checks, first_connection=True),
    Link(name="CA registered", look=ca.registered, first_connection=True),
    Link(name="CA mode", look=ca.mode, first_connection=True),
    Link(name="CA active", look=ca.active, first_connection=True),
    Link(name="auto-registration", look=ca.auto_registration, first_connection=True),
    Link(name="provisioning template", look=ca.template, first_connection=True),
    Link(name="AWS IoT logging", look=ca.logging),
    Link(name="rule present", look=delivery.present, first_connection=True),
    Link(name="rule enabled", look=delivery.enabled, first_connection=True),
    Link(name="rule SQL", look=delivery.sql, first_connection=True),
    Link(name="rule action", look=delivery.action, first_connection=True),
    Link(name="rule role", look=delivery.role, first_connection=True),
    Link(name="queue", look=delivery.queue, first_connection=True),
    Link(name="mapping", look=decision.mapping, first_connection=True),
    Link(name="messages", look=decision.messages, first_connection=True),
    Link(name="function", look=decision.function, first_connection=True),
    Link(name="certificate status", look=decision.status),
    Link(name="decision", look=decision.decision, of_registered=True),
    Link(name="thing", look=provisioned.thing, of_registered=True),
    Link(name="policy", look=provisioned.policy, of_registered=True),
    Link(name="policy allows Connect", look=provisioned.allows, of_registered=True),
    Link(name="connection", look=provisioned.connection, of_registered=True),
)
CONNECT, CONNECT_WITHOUT_SNI = "connect", "connect without SNI"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkResult:
    """A link and what was found there."""

    link: str
    finding: LinkFinding


def walk(case: DeviceContext, knocker: Knocker | None = None) -> tuple[LinkResult, ...]:
    """Look at one link after the other, up to the one that is broken; with `knocker` connect in the end.

    A link of the first connection is only noted where that is behind the device. One that AWS does not let us look at
    is UNKNOWN, and the next one is looked at. Raises AccessError when the account cannot be opened.
    """
    steps: list[LinkResult] = []
    for name, finding in _findings(case, knocker):
        steps.append(LinkResult(link=name, finding=finding))
        if finding.state is State.BROKEN:
            break
    return tuple(steps)


def is_well(steps: tuple[LinkResult, ...]) -> bool:
    """Whether every link was looked at, and none keeps the device out."""
    return all(step.finding.state in (State.GOOD, State.NOTE) for step in steps)


def _findings(case: DeviceContext, knocker: Knocker | None) -> Iterator[tuple[str, LinkFinding]]:
    for link in LINKS:
        if link.of_registered and not _is_registered(case):
            continue
        finding = _guarded(link.look, case)
        if finding.state is State.BROKEN:
            if link.first_connection and _is_past_registration(case):
                finding = note(
                    f"{finding.text}; this device is registered already, new ones are kept out", finding.cure
                )
            elif link.look is decision.status and knocker and not _is_registered(case):
                finding = note("AWS IoT has never seen it here: the connection below is its first")
        yield link.name, finding
    if knocker:
        yield CONNECT, _guarded(lambda one: connect.with_sni(one, knocker), case)
        yield CONNECT_WITHOUT_SNI, _guarded(lambda one: connect.without_sni(one, knocker), case)


def _guarded(look: Callable[[DeviceContext], LinkFinding], case: DeviceContext) -> LinkFinding:
    """What a link says, or that AWS did not let us look."""
    try:
        return look(case)
    except (BotoCoreError, ClientError, Unavailable) as error:
        cause: Any = error.__cause__ if isinstance(error, Unavailable) and error.__cause__ else error
        return unknown(explain(cause))


def _is_registered(case: DeviceContext) -> bool:
    """Whether AWS IoT knows the certificate here; not, where it cannot be asked."""
    try:
        return case.sighting.registered is not None
    except (BotoCoreError, ClientError, Unavailable):
        return False


def _is_past_registration(case: DeviceContext) -> bool:
    return _is_registered(case) and case.is_past_registration
