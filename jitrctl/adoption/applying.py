"""Carries out a plan in one stage: each thing is adopted by `jitrctl.device.adopt`, and aligned if the plan says so.

Owners and records are read a hundred at a time, so what is adopted already costs no call of AWS IoT, and a second run
finishes what the first one left. Each line is finished before the next one begins.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from jitr.errors import CertificateUnknown, NotPermitted, Rejected, Unavailable
from jitr.rules import is_source
from jitrctl.adoption.aligning import Alignment
from jitrctl.adoption.left_attached import AttachedPolicies, LeftAttached
from jitrctl.adoption.plan_file import PlanVerb
from jitrctl.adoption.refusals import refuse_several_things, refuse_unfit
from jitrctl.audit.record import audited
from jitrctl.device.adopt import Adoption, is_recorded, refuse_another_fleets
from jitrctl.errors import AccessError, Interrupted, JitrctlError, Refused
from jitrctl.run.parallel import ON_PURPOSE, describe_error
from jitrctl.survey.calls import seconds_for

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from jitr.iot_models import DeviceRegistration
    from jitr.record import Record
    from jitr.x509.certificate import Certificate
    from jitrctl.adoption.plan_file import PlanLine
    from jitrctl.session.stage import Stage
    from jitrctl.survey.calls import PatientCalls

_BATCH, _ORDER = 100, "fleet adopt"
_MOST_WARNINGS = 20  # of one run in one stage


@dataclass(slots=True, kw_only=True)
class PlanResult:
    """What became of a plan's lines in one stage."""

    adopted: int = 0
    already: int = 0
    aligned: int = 0
    reviews: int = 0
    skipped: int = 0
    not_begun: int = 0  # after Ctrl-C, or an error that ended the run
    ended_by: str = ""  # that error, in one sentence
    failed: list[tuple[PlanLine, str]] = field(default_factory=list)
    left: list[LeftAttached] = field(default_factory=list)
    unknown_cas: list[str] = field(default_factory=list)  # things whose certificates are under no CA that is known here
    foreign_cas: list[str] = field(default_factory=list)  # and those under a CA that the fleet file does not give
    inactive_cas: list[str] = field(default_factory=list)  # and those under one of the fleet's that is not ACTIVE here


class PlanRun:
    """The run of a plan in one stage."""

    def __init__(
        self,
        stage: Stage,
        lines: Sequence[PlanLine],
        calls: PatientCalls,
        note: str,
        *,
        report_done: Callable[[int], None],
    ) -> None:
        """`report_done` is called with the number of lines that are done."""
        self._stage, self._calls, self._note, self._report_done = stage, calls, note, report_done
        self._policies = AttachedPolicies(stage, calls)
        self._active_cas: frozenset[str] | None = None  # None: not read yet
        self.result = PlanResult(
            reviews=sum(line.verb is PlanVerb.REVIEW for line in lines),
            skipped=sum(line.verb is PlanVerb.SKIP for line in lines),
        )
        self._todo = [line for line in lines if line.verb in (PlanVerb.ADOPT, PlanVerb.ALIGN)]

    def leave_out_done(self, interrupted: threading.Event) -> None:
        """Take those out of what is to be done that are adopted already, and need not be compared with the rules.

        Raises Refused after two hours of throttles; Interrupted; NotPermitted, botocore's errors.
        """
        left = []
        for some, known in self._read_batches(self._todo):
            if interrupted.is_set():
                raise Interrupted("interrupted: nothing was done")
            pending = [
                line for line in some if line.verb is PlanVerb.ALIGN or not _is_done(line, *known[line.certificate_id])
            ]
            self.result.already += len(some) - len(pending)
            left += pending
        self._todo = left

    def seconds(self) -> float:
        """What this takes at the paces of its calls, if AWS does not throttle and devices do not need the rate."""
        verbs, rate = self.count_verbs(), self._stage.account.activations_per_second
        listing = seconds_for("ListThingPrincipals", verbs[PlanVerb.ADOPT] + verbs[PlanVerb.ALIGN])
        describing = (verbs[PlanVerb.ADOPT] + 3 * verbs[PlanVerb.ALIGN]) / rate
        return max(listing, describing)

    def count_verbs(self) -> dict[PlanVerb, int]:
        """How many things are still to be adopted, and to be aligned."""
        return {verb: sum(line.verb is verb for line in self._todo) for verb in (PlanVerb.ADOPT, PlanVerb.ALIGN)}

    def run(self, interrupted: threading.Event) -> PlanResult:
        """Carry out the lines; one that fails does not stop the others.

        What would fail for every line ends the run: two hours of throttles, a missing permission, botocore's errors.
        The result says so beside what was done before.
        """
        done, warned = 0, len(self._stage.warnings)
        try:
            for some, known in self._read_batches(self._todo):
                for line in some:
                    if interrupted.is_set():
                        break
                    self._carry_out(line, *known[line.certificate_id])
                    done += 1
                    self._report_done(done)
        except Interrupted:
            pass  # while AWS throttled: the line is as good as not begun, for the next run finishes it
        except ON_PURPOSE as error:
            self.result.ended_by = describe_error(error)
        self.result.not_begun = len(self._todo) - done
        self._shorten_warnings(warned)
        return self.result

    def _shorten_warnings(self, warned: int) -> None:
        """Leave the first warnings of this run, and how many more there are: each order may have one."""
        warnings = self._stage.warnings
        if (more := len(warnings) - warned - _MOST_WARNINGS) > 0:
            del warnings[-more:]
            warnings.append(f"{more:,} more orders have such a warning; the audit log has all orders")

    def _read_batches(
        self, lines: Sequence[PlanLine]
    ) -> Iterator[tuple[Sequence[PlanLine], dict[str, tuple[str | None, Record]]]]:
        """Some lines after the others; of each certificate the owner of its thing's name, and its record."""
        for some in (lines[first : first + _BATCH] for first in range(0, len(lines), _BATCH)):
            yield some, self._calls.repeat("BatchGetItem", lambda: self._read(some))  # noqa: B023 -- called at once

    def _read(self, lines: Sequence[PlanLine]) -> dict[str, tuple[str | None, Record]]:
        owners = self._stage.registry.owners(line.thing_name for line in lines)
        records = self._stage.registry.recall(line.certificate_id for line in lines)
        owner_ids = {name: owner.certificate_id for name, owner in owners.items()}
        return {line.certificate_id: (owner_ids.get(line.thing_name), records[line.certificate_id]) for line in lines}

    def _carry_out(self, line: PlanLine, owner: str | None, record: Record) -> None:
        try:
            # First whether it can be aligned: of a line that fails for what is known before, nothing is done.
            alignment = (
                Alignment.prepare(self._stage, line, self._calls, self._policies)
                if line.verb is PlanVerb.ALIGN
                else None
            )
            principals: tuple[str, ...] = ()
            if _is_done(line, owner, record):
                self.result.already += 1
            else:
                principals = self._adopt(line)
            if alignment:
                self._align(line, alignment, principals)
        except (NotPermitted, AccessError, BotoCoreError, Interrupted):
            raise  # as it would for every other line
        except CertificateUnknown:
            self.result.failed.append((line, "the certificate is no longer registered here: survey again"))
        except ClientError as error:
            self.result.failed.append((line, describe_error(error)))
        except (Rejected, JitrctlError) as error:
            if isinstance(error, Refused) and isinstance(error.__cause__, Unavailable):
                raise
            self.result.failed.append((line, describe_error(error)))

    def _adopt(self, line: PlanLine) -> tuple[str, ...]:
        """Adopt one thing; its other principals."""
        adoption = Adoption(
            line.thing_name,
            client=self._stage.iot,
            iot=self._stage.aws_iot,
            registry=self._stage.registry,
            certificate_id=line.certificate_id,
            principals=line.principals,
            origin=line.origin.value,
        )
        step = f"take thing {line.thing_name} into the registry (origin {line.origin})"
        is_kept, left, active_cas = False, None, self._read_active_cas()
        with ExitStack() as order:

            def refuse(device: DeviceRegistration, certificate: Certificate, record: Record) -> None:
                """Refuse what is unfit; else keep the order, once, before anything is written."""
                nonlocal is_kept, left
                refuse_unfit(self._stage, line, device, certificate, record)
                if is_kept:
                    return
                policies = self._policies.of_certificate(adoption.arn)
                refuse_another_fleets(policies, self._stage.fleet.name)
                refuse_several_things(self._stage, self._calls, line, adoption.arn)
                # Before the adoption: what cannot be read then would be told by no later run.
                left = self._policies.find_left(line.thing_name, policies, adoption.other_principals)
                order.enter_context(audited(self._stage, _ORDER, line.certificate_id, [step], self._note))
                is_kept = True

            def carry_out() -> str:
                self._calls.take_turn("ListThingPrincipals")
                self._calls.take_turn("DescribeCertificate")
                return adoption.carry_out(refuse)

            self._calls.repeat("the adoption", carry_out)
        self.result.adopted += 1
        ca = adoption.ca_certificate_id
        if ca is None:
            self.result.unknown_cas.append(line.thing_name)
        elif ca not in {one.certificate_id for one in self._stage.rules.origins}:
            self.result.foreign_cas.append(line.thing_name)
        elif not is_source(ca) and ca not in active_cas:
            self.result.inactive_cas.append(line.thing_name)
        if left and line.verb is PlanVerb.ADOPT:
            self.result.left.append(left)
        return adoption.other_principals

    def _read_active_cas(self) -> frozenset[str]:
        """The CAs that are registered and ACTIVE now; read once for each run."""
        if self._active_cas is None:
            pages = self._stage.iot.get_paginator("list_ca_certificates")
            found = self._calls.make("ListCACertificates", lambda: list(pages.paginate()))
            self._active_cas = frozenset(
                one["certificateId"] for page in found for one in page["certificates"] if one["status"] == "ACTIVE"
            )
        return self._active_cas

    def _align(self, line: PlanLine, alignment: Alignment, principals: tuple[str, ...]) -> None:
        self.result.aligned += alignment.carry_out(_ORDER, self._note)
        if left := self._policies.find_left(line.thing_name, (), principals):
            self.result.left.append(left)


def _is_done(line: PlanLine, owner: str | None, record: Record) -> bool:
    return owner == line.certificate_id and is_recorded(record, line.thing_name)
