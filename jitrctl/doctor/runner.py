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

    from jitrctl.doctor.connect import DeviceConnector
    from jitrctl.doctor.context import DeviceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link: its name, and what looks at it."""

    name: str
    look: Callable[[DeviceContext], LinkFinding]
    first_connection: bool = False  # it only matters until the device is registered and decided on
    of_registered: bool = False  # there is nothing to look at before the certificate is registered


LINKS = (
    Link(name="certificate", look=files.check_certificate),
    Link(name="issuer", look=files.check_issuer),
    Link(name="chain and SNI", look=files.check_chain),
    Link(name="checks", look=files.check_admission, first_connection=True),
    Link(name="CA registered", look=ca.check_registration, first_connection=True),
    Link(name="CA mode", look=ca.check_mode, first_connection=True),
    Link(name="CA active", look=ca.check_status, first_connection=True),
    Link(name="auto-registration", look=ca.check_auto_registration, first_connection=True),
    Link(name="provisioning template", look=ca.check_template, first_connection=True),
    Link(name="AWS IoT logging", look=ca.check_logging),
    Link(name="rule present", look=delivery.check_rule, first_connection=True),
    Link(name="rule enabled", look=delivery.check_rule_enabled, first_connection=True),
    Link(name="rule SQL", look=delivery.check_rule_sql, first_connection=True),
    Link(name="rule action", look=delivery.check_rule_action, first_connection=True),
    Link(name="rule role", look=delivery.check_rule_role, first_connection=True),
    Link(name="queue", look=delivery.check_queue, first_connection=True),
    Link(name="mapping", look=decision.check_mapping, first_connection=True),
    Link(name="messages", look=decision.check_messages, first_connection=True),
    Link(name="function", look=decision.check_function, first_connection=True),
    Link(name="certificate status", look=decision.check_status),
    Link(name="decision", look=decision.check_decision, of_registered=True),
    Link(name="thing", look=provisioned.check_thing, of_registered=True),
    Link(name="policy", look=provisioned.check_policy, of_registered=True),
    Link(name="policy allows Connect", look=provisioned.check_policy_allows, of_registered=True),
    Link(name="connection", look=provisioned.check_connection, of_registered=True),
)
CONNECT, CONNECT_WITHOUT_SNI = "connect", "connect without SNI"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkResult:
    """A link and what was found there."""

    link: str
    finding: LinkFinding


def walk(case: DeviceContext, connector: DeviceConnector | None = None) -> tuple[LinkResult, ...]:
    """Look at one link after the other, up to the one that is broken; with `connector` connect in the end.

    A link of the first connection is only noted where that is behind the device. One that AWS does not let us look at
    is UNKNOWN, and the next one is looked at. Raises AccessError when the account cannot be opened.
    """
    steps: list[LinkResult] = []
    for name, finding in _findings(case, connector):
        steps.append(LinkResult(link=name, finding=finding))
        if finding.state is State.BROKEN:
            break
    return tuple(steps)


def is_well(steps: tuple[LinkResult, ...]) -> bool:
    """Whether every link was looked at, and none keeps the device out."""
    return all(step.finding.state in (State.GOOD, State.NOTE) for step in steps)


def _findings(case: DeviceContext, connector: DeviceConnector | None) -> Iterator[tuple[str, LinkFinding]]:
    for link in LINKS:
        if link.of_registered and not _is_registered(case):
            continue
        finding = _guarded(link.look, case)
        if finding.state is State.BROKEN:
            if link.first_connection and _is_past_registration(case):
                finding = note(
                    f"{finding.text}; this device is registered already, new ones are kept out", finding.cure
                )
            elif link.look is decision.check_status and connector and not _is_registered(case):
                finding = note("AWS IoT has never seen it here: the connection below is its first")
        yield link.name, finding
    if connector:
        yield CONNECT, _guarded(lambda one: connect.try_with_sni(one, connector), case)
        yield CONNECT_WITHOUT_SNI, _guarded(lambda one: connect.try_without_sni(one, connector), case)


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
