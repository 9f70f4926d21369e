"""Checks the links in order, and stops at the first that is broken."""

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
    """One link: its name, and the function that checks it."""

    name: str
    check: Callable[[DeviceContext], LinkFinding]
    first_connection: bool = False  # matters only until the device is registered and decided on
    of_registered: bool = False  # can be checked only when the certificate is registered
    of_ca: bool = False  # is about the CA, which a certificate that was registered without one does not need


LINKS = (
    Link(name="certificate", check=files.check_certificate),
    Link(name="issuer", check=files.check_issuer),
    Link(name="chain and SNI", check=files.check_chain),
    Link(name="checks", check=files.check_admission, first_connection=True),
    Link(name="CA registered", check=ca.check_registration, first_connection=True, of_ca=True),
    Link(name="CA mode", check=ca.check_mode, first_connection=True, of_ca=True),
    Link(name="CA active", check=ca.check_status, first_connection=True, of_ca=True),
    Link(name="auto-registration", check=ca.check_auto_registration, first_connection=True, of_ca=True),
    Link(name="provisioning template", check=ca.check_template, first_connection=True, of_ca=True),
    Link(name="AWS IoT logging", check=ca.check_logging),
    Link(name="rule present", check=delivery.check_rule, first_connection=True, of_ca=True),
    Link(name="rule enabled", check=delivery.check_rule_enabled, first_connection=True, of_ca=True),
    Link(name="rule SQL", check=delivery.check_rule_sql, first_connection=True, of_ca=True),
    Link(name="rule action", check=delivery.check_rule_action, first_connection=True, of_ca=True),
    Link(name="rule role", check=delivery.check_rule_role, first_connection=True, of_ca=True),
    Link(name="queue", check=delivery.check_queue, first_connection=True),
    Link(name="mapping", check=decision.check_mapping, first_connection=True),
    Link(name="messages", check=decision.check_messages, first_connection=True),
    Link(name="function", check=decision.check_function, first_connection=True),
    Link(name="certificate status", check=decision.check_status),
    Link(name="decision", check=decision.check_decision, of_registered=True),
    Link(name="thing", check=provisioned.check_thing, of_registered=True),
    Link(name="other certificates", check=provisioned.check_other_principals, of_registered=True),
    Link(name="thing groups", check=provisioned.check_groups, of_registered=True),
    Link(name="policy", check=provisioned.check_policy, of_registered=True),
    Link(name="policy allows Connect", check=provisioned.check_policy_allows, of_registered=True),
    Link(name="connection", check=provisioned.check_connection, of_registered=True),
)
CONNECT, CONNECT_WITHOUT_SNI = "connect", "connect without SNI"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkResult:
    """A link and what was found there."""

    link: str
    finding: LinkFinding


def check_links(case: DeviceContext, connector: DeviceConnector | None = None) -> tuple[LinkResult, ...]:
    """Check one link after the other, up to the first that is broken; then connect, if there is a `connector`.

    A broken link of the first connection is only a NOTE if the device is past it. A link that AWS does not let us read
    is UNKNOWN, and the next one is checked. Raises AccessError if the account cannot be opened.
    """
    steps: list[LinkResult] = []
    for name, finding in _check_all(case, connector):
        steps.append(LinkResult(link=name, finding=finding))
        if finding.state is State.BROKEN:
            break
    return tuple(steps)


def is_healthy(steps: tuple[LinkResult, ...]) -> bool:
    """Whether every link was checked, and none keeps the device out."""
    return all(step.finding.state in (State.GOOD, State.NOTE) for step in steps)


def _check_all(case: DeviceContext, connector: DeviceConnector | None) -> Iterator[tuple[str, LinkFinding]]:
    for link in LINKS:
        if (link.of_registered and not _is_registered(case)) or (link.of_ca and _is_imported(case)):
            continue
        finding = _check(link.check, case)
        if finding.state is State.BROKEN:
            if link.first_connection and _is_past_registration(case):
                finding = note(
                    f"{finding.text}; this device is registered already, but new ones are kept out", finding.cure
                )
            elif link.check is decision.check_status and connector and not _is_registered(case):
                finding = note("AWS IoT has never seen it here: the connection below is its first")
        yield link.name, finding
    if connector:
        yield CONNECT, _check(lambda one: connect.try_with_sni(one, connector), case)
        yield CONNECT_WITHOUT_SNI, _check(lambda one: connect.try_without_sni(one, connector), case)


def _check(check: Callable[[DeviceContext], LinkFinding], case: DeviceContext) -> LinkFinding:
    """A link's finding; UNKNOWN if AWS does not answer what it needs."""
    try:
        return check(case)
    except (BotoCoreError, ClientError, Unavailable) as error:
        cause: Any = error.__cause__ if isinstance(error, Unavailable) and error.__cause__ else error
        return unknown(explain(cause))


def _is_registered(case: DeviceContext) -> bool:
    """Whether the certificate is registered in this stage; False if AWS does not answer."""
    try:
        return case.stage_certificate.registered is not None
    except (BotoCoreError, ClientError, Unavailable):
        return False


def _is_imported(case: DeviceContext) -> bool:
    return _is_registered(case) and case.source is not None


def _is_past_registration(case: DeviceContext) -> bool:
    return _is_registered(case) and case.is_past_registration
