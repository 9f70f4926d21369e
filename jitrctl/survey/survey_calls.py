"""What every step of a survey does: lists page by page, keeps each page with its place, asks in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jitrctl.errors import Refused
from jitrctl.survey.file import put_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jitrctl.session.stage import Stage
    from jitrctl.survey.calls import PatientCalls
    from jitrctl.survey.file import SurveyFile

PAGE = 250  # the most that AWS IoT gives at once
BATCH = 100  # BatchGetItem
AT_ONCE = 50  # answers that are kept in one transaction
_UNPAGED = ("ListTopicRules",)  # whose largest page is not documented


class SurveyCalls:
    """The calls of one stage's survey, and the file that keeps what they answer."""

    def __init__(self, stage: Stage, file: SurveyFile, calls: PatientCalls) -> None:
        self.stage, self.name = stage, str(stage)
        self.iot: Any = stage.iot
        self.file, self.calls = file, calls

    def make(self, operation: str, call: Callable[..., Any], **parameters: Any) -> Any:
        """One call, as `PatientCalls.make`; None if what it is about does not exist, or no more."""
        try:
            return self.calls.make(operation, call, **parameters)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return None

    def pages(
        self, operation: str, call: Callable[..., Any], marker: str | None, *, old: bool = True, **parameters: Any
    ) -> Iterator[tuple[Any, str | None]]:
        """Each page of a list from a marker on, with the next page's marker; anew once if AWS refuses a marker.

        `old` operations call it a marker, newer ones a token. There is no page of what does not exist, or no more.

        Raises Refused when AWS refuses a marker after the list was begun anew; as `make`.
        """
        size, sent, got = ("pageSize", "marker", "nextMarker") if old else ("maxResults", "nextToken", "nextToken")
        if operation not in _UNPAGED:
            parameters[size] = PAGE
        is_anew = False
        while True:
            try:
                answer = self.make(operation, call, **parameters, **({sent: marker} if marker else {}))
            except ClientError as error:
                if marker is None or error.response["Error"]["Code"] != "InvalidRequestException":
                    raise
                if is_anew:
                    raise Refused(
                        f"AWS refuses the marker of {operation}, also after the list was begun anew ({error}): "
                        f"{self.calls.again}"
                    ) from error
                marker, is_anew = None, True  # it has expired: what is listed again changes nothing
                continue
            if answer is None:
                return
            marker = answer.get(got)
            yield answer, marker
            if not marker:
                return

    def keep(self, step: str, marker: str | None, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Keep a page, and where the step goes on, in one transaction."""
        self.file.write((statement, rows), put_place(self.name, step, marker, done=False))

    def unasked(self, query: str) -> Iterator[tuple[str, ...]]:
        """The names that a query gives after the one that it is given, in their order, some at once."""
        after = ""
        while names := tuple(row[0] for row in self.file.rows(f"{query} LIMIT {AT_ONCE}", self.name, after)):
            yield names
            after = names[-1]


def principal_of(arn: str) -> str:
    """A certificate's id, or another principal's ARN."""
    return arn.rpartition(":cert/")[2] if ":cert/" in arn else arn


def in_iso(moment: Any) -> str | None:
    """A time as it is kept."""
    return moment.isoformat() if moment else None
