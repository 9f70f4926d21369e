"""Defines where a service's state is (one account in one Region under one clock), and the undocumented switches."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from simulation.clock import Clock


@dataclass(slots=True, kw_only=True)
class Undocumented:
    """What AWS does not document, or gives no figure for; each default is the harder case for jitr.

    `jitrctl prove` measures them on AWS; measured.py reads what it found.
    """

    # The guide says that REVOKED is final (aws-facts §4); no refusal was recorded, and emulators allow the change.
    revoked_may_become_active: bool = True
    # Whether an expired leaf is registered at its first CONNECT, or refused (aws-facts §12).
    registers_outside_validity: bool = True
    # DetachThingPrincipal takes several seconds (aws-facts §5, §12).
    detach_seconds: float = 5.0
    # "Within a few minutes" a session ends whose certificate left ACTIVE (aws-facts §2).
    session_seconds: float = 180.0
    # Whether DescribeCertificate names the CA of a certificate in SNI_ONLY mode, and ListCertificatesByCA lists it: AWS
    # documents that it "is registered without an issuer CA" (aws-facts §4). The default is the likely case; the
    # failure matrix and the explored schedules run with both.
    names_sni_only_cas: bool = True
    lists_sni_only_by_ca: bool = True
    # Whether Lambda, when it stops a message as part of a loop, stops the whole batch (aws-facts §9).
    loop_stops_whole_batch: bool = True

    # JITP: the likely case each; the explored schedules of a take-over run with the others, too (jitp_pairs.py).
    # Whether a CA with a provisioning template publishes the registration event as well (aws-facts §1, §12).
    publishes_with_template: bool = False
    # How long JITP takes from the first CONNECT to ACTIVE. No figure is given, and it makes several calls.
    jitp_seconds: float = 2.0
    # Whether a device that JITP left pending is provisioned at another CONNECT.
    jitp_tries_again: bool = False
    # What UpdateCACertificate's removeAutoRegistration does: removes the template, disables auto-registration
    # ("Set to remove auto registration", API reference).
    removal_takes_template: bool = True
    removal_ends_registration: bool = False

    def hide_sni_only_cas(self) -> None:
        """From now on AWS names no CA of a certificate in SNI_ONLY mode."""
        self.names_sni_only_cas = self.lists_sni_only_by_ca = False


@dataclass(slots=True)
class Place:
    """One account in one Region."""

    account_id: str
    region: str
    clock: Clock
    undocumented: Undocumented
    # CA registered in DEFAULT mode in this Region → the one account that registered it (aws-facts §3).
    default_cas: dict[str, str]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))  # unique numbers

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"
