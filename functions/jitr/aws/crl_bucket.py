"""Reads CRLs from S3: one object per CA in the stack's bucket, checked at most once a minute.

`jitrctl crl put` writes them; the functions may only read. A missing object and an unusable one are answers, on which
checks.py decides. If S3 does not answer, that is Unavailable, and the message is put off.

The client is made for the first CA that needs it: S3's model is botocore's largest, and not every fleet uses CRLs.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

from botocore.exceptions import ClientError, FlexibleChecksumError, IncompleteReadError

from jitr.aws.calls import calling
from jitr.decisions import Decision
from jitr.errors import CRL_AWAITED, Unavailable, UnusableCrl
from jitr.frozen import value
from jitr.record import Record
from jitr.rules import CaRules, Rules
from jitr.x509.certificate import Certificate
from jitr.x509.crl import CrlProblem, RevocationList, Revocations, refuse_size

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

FOLDER = "crl"
_REFRESH_EVERY = timedelta(seconds=60)
# A call to a hanging S3 takes longer than a whole batch should, so it is not repeated for every message.
_PAUSE_AFTER_FAILURE = timedelta(seconds=10)


class _Place(TypedDict):
    """The parameters that name an object."""

    Bucket: str
    Key: str
    ExpectedBucketOwner: str


def object_key(ca_certificate_id: str) -> str:
    """The key of a CA's CRL in the bucket; it has the CA's certificate id, since a name may be reused."""
    return f"{FOLDER}/{ca_certificate_id}.crl"


@value
class PublishedCrl:
    """What is published for one CA."""

    version: str  # the object's ETag; empty when there is none
    revocations: Revocations
    version_id: str | None = None  # of the object, in a bucket that keeps versions


NOTHING = PublishedCrl(version="", revocations=None)


class Crls:
    """The CRLs of one account and Region, cached in one execution environment; safe for threads."""

    def __init__(
        self, client: Callable[[], "S3Client"], bucket: str, account_id: str, *, clock: Callable[[], datetime]
    ) -> None:
        self._make_client = client
        self._client: S3Client | None = None
        self._bucket = bucket
        self._account_id = account_id
        self._clock = clock
        # CA certificate id → when its CRL was read, and what was published
        self._known: dict[str, tuple[datetime, PublishedCrl]] = {}
        self._versions: dict[str, tuple[datetime, str]] = {}  # the same, where only the version was asked for
        self._refreshing: set[str] = set()  # CAs that a thread is refreshing; others use the cached CRL meanwhile
        self._failed: tuple[datetime, str] | None = None  # when S3 last failed, and the error

    def of(self, ca: CaRules, earlier: Decision | None = None, *, not_before: datetime | None = None) -> PublishedCrl:
        """What is published for a CA; at most a minute old, and never older than what `earlier` was decided with.

        Another execution environment may have read a newer CRL, and held the device for it. It is read after
        `not_before`, if given.

        Raises Unavailable.
        """
        read_at, known = self._known.get(ca.certificate_id, (None, NOTHING))
        now = self._clock()
        is_behind = (
            read_at is not None
            and earlier is not None
            and earlier.crl not in (None, known.version)
            and read_at <= earlier.decided_at
        )
        is_old = read_at is None or now - read_at >= _REFRESH_EVERY
        is_early = read_at is not None and not_before is not None and read_at <= not_before
        if is_behind or is_early or (is_old and not (read_at and ca.certificate_id in self._refreshing)):
            if self._failed and now - self._failed[0] < _PAUSE_AFTER_FAILURE:
                raise Unavailable(self._failed[1])
            self._refreshing.add(ca.certificate_id)
            try:
                known = self._refresh(ca, known)
            except Unavailable as error:
                self._failed = self._clock(), str(error)
                raise
            finally:
                self._refreshing.discard(ca.certificate_id)
            self._known[ca.certificate_id] = now, known
        return known

    def version_of(self, ca: CaRules) -> str:
        """The version of what is published for a CA, without reading it; at most a minute old, empty when nothing is.

        HeadObject would do, but its errors have no message, so they do not name a missing permission.

        Raises Unavailable, NotPermitted.
        """
        now = self._clock()
        asked_at, version = self._versions.get(ca.certificate_id, (None, NOTHING.version))
        if asked_at is not None and now - asked_at < _REFRESH_EVERY:
            return version
        try:
            with calling("GetObject"):
                answer = self._s3().get_object(**self._place_of(ca))
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            version = NOTHING.version
        else:
            answer["Body"].close()
            version = answer["ETag"]
        self._versions[ca.certificate_id] = now, version
        return version

    def earlier(self, ca: CaRules, version_id: str) -> RevocationList | None:
        """The CRL of a CA in an earlier version of its object; None when that is not kept any more.

        Raises Unavailable, NotPermitted.
        """
        try:
            with calling("GetObject"):
                answer = self._s3().get_object(**self._place_of(ca), VersionId=version_id)
                revocations = _read(answer, ca)
        except (IncompleteReadError, FlexibleChecksumError) as error:
            raise Unavailable(f"GetObject: {type(error).__name__}") from error
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchVersion", "NoSuchKey", "MethodNotAllowed"):
                return None
            raise
        return revocations if isinstance(revocations, RevocationList) else None

    def changed_since(
        self, records: Mapping[str, Record], rules: Rules, swept: Mapping[str, datetime] | None = None
    ) -> set[str]:
        """The ids of certificates that are held for want of a CRL, and whose CA's CRL has changed since.

        `records` are by certificate id, and so is `swept`: when the sweep sent one of them, for which a new CRL may be
        the reason. If S3 fails, the CRL counts as unchanged: these devices wait, and others of the
        batch need no CRL.
        """
        changed = set()
        for certificate_id, record in records.items():
            decision = record.decision
            if decision is None or not record.is_held or decision.reason not in CRL_AWAITED:
                continue
            ca = rules.ca(decision.ca_certificate_id)
            if ca and ca.is_source:
                continue  # it is held by a CA's CRL, and evaluated again in time
            try:
                not_before = (swept or {}).get(certificate_id)
                if ca and self.of(ca, decision, not_before=not_before).version != decision.crl:
                    changed.add(certificate_id)
            except (Unavailable, ClientError):
                continue  # its own evaluation reports it
        return changed

    def _refresh(self, ca: CaRules, known: PublishedCrl) -> PublishedCrl:
        condition = {"IfNoneMatch": known.version} if known.version else {}
        try:
            with calling("GetObject"):
                answer = self._s3().get_object(**self._place_of(ca), **condition)  # type: ignore[arg-type]  # mypy takes it for any parameter
                return PublishedCrl(
                    version=answer["ETag"], revocations=_read(answer, ca), version_id=answer.get("VersionId")
                )
        except (IncompleteReadError, FlexibleChecksumError) as error:
            raise Unavailable(f"GetObject: {type(error).__name__}") from error
        except ClientError as error:
            match error.response["Error"]["Code"]:
                case "304":
                    return known
                case "NoSuchKey":
                    return NOTHING
            raise

    def _s3(self) -> "S3Client":
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def _place_of(self, ca: CaRules) -> "_Place":
        return {
            "Bucket": self._bucket,
            "Key": object_key(ca.certificate_id),
            # The bucket's name can be guessed, so another account could own a bucket of this name.
            "ExpectedBucketOwner": self._account_id,
        }


def _read(answer: "GetObjectOutputTypeDef", ca: CaRules) -> Revocations:
    try:
        refuse_size(answer["ContentLength"])
        return RevocationList.read(answer["Body"].read(), Certificate.from_pem(ca.certificate_pem))
    except UnusableCrl as error:
        return CrlProblem(str(error))
