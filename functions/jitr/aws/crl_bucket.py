"""CRLs in S3: one object for each CA in the stack's bucket, looked at at most once a minute, read when it changed.

`jitrctl crl put` writes them, and the functions may only read. An object that is not there and one that cannot be used
are answers, on which procedure.py decides; S3 not answering is Unavailable, and the message is put off.

The client is made when the first CA asks for it: S3's model is botocore's largest, and without CRLs nobody needs it.
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
_LOOK_EVERY = timedelta(seconds=60)
# S3 that hangs takes longer than a whole batch should: it is not asked for every message.
_REST_AFTER_FAILURE = timedelta(seconds=10)


class _Place(TypedDict):
    """The parameters that say which object is meant."""

    Bucket: str
    Key: str
    ExpectedBucketOwner: str


def object_key(ca_certificate_id: str) -> str:
    """Where a CA's CRL is in the bucket; by the certificate's id, since a name may come to mean another CA."""
    return f"{FOLDER}/{ca_certificate_id}.crl"


@value
class PublishedCrl:
    """What is published for one CA."""

    version: str  # the object's ETag; empty when there is none
    revocations: Revocations


NOTHING = PublishedCrl(version="", revocations=None)


class Crls:
    """The CRLs of one account and Region, as one execution environment knows them; safe for threads."""

    def __init__(
        self, client: Callable[[], "S3Client"], bucket: str, account_id: str, *, clock: Callable[[], datetime]
    ) -> None:
        self._make_client = client
        self._client: S3Client | None = None
        self._bucket = bucket
        self._account_id = account_id
        self._clock = clock
        self._known: dict[
            str, tuple[datetime, PublishedCrl]
        ] = {}  # CA's certificate id → when it was looked at, and what
        self._looking: set[str] = set()  # CAs that a thread is looking at: what is known is good meanwhile
        self._failed: tuple[datetime, str] | None = None  # when S3 did not answer, and how

    def of(self, ca: CaRules, earlier: Decision | None = None) -> PublishedCrl:
        """What is published for a CA; as it was up to a minute ago, but never older than what an earlier decision saw.

        Another execution environment may have seen a newer list, and held the device for it.

        Raises Unavailable.
        """
        looked_at, known = self._known.get(ca.certificate_id, (None, NOTHING))
        now = self._clock()
        is_behind = (
            looked_at is not None
            and earlier is not None
            and earlier.crl not in (None, known.version)
            and looked_at <= earlier.decided_at
        )
        is_old = looked_at is None or now - looked_at >= _LOOK_EVERY
        if is_behind or (is_old and not (looked_at and ca.certificate_id in self._looking)):
            if self._failed and now - self._failed[0] < _REST_AFTER_FAILURE:
                raise Unavailable(self._failed[1])
            self._looking.add(ca.certificate_id)
            try:
                known = self._refresh(ca, known)
            except Unavailable as error:
                self._failed = self._clock(), str(error)
                raise
            finally:
                self._looking.discard(ca.certificate_id)
            self._known[ca.certificate_id] = now, known
        return known

    def version_of(self, ca: CaRules) -> str:
        """Names what is published for a CA now, without reading it; empty when nothing is.

        HeadObject would say so too, but not which permission is missing: its errors have no words.

        Raises Unavailable, NotPermitted.
        """
        try:
            with calling("GetObject"):
                answer = self._s3().get_object(**self._place_of(ca))
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return NOTHING.version
            raise
        answer["Body"].close()
        return answer["ETag"]

    def changed_since(self, records: Mapping[str, Record], rules: Rules) -> set[str]:
        """The certificates, of these records by certificate id, for which something else is published than when held.

        Only those that are held for want of a CRL. What cannot be asked for now is not said to have changed: they wait
        on, and their neighbours need no CRL.
        """
        changed = set()
        for certificate_id, record in records.items():
            decision = record.decision
            if decision is None or not record.is_held or decision.reason not in CRL_AWAITED:
                continue
            ca = rules.ca(decision.ca_certificate_id or "")
            try:
                if ca and self.of(ca, decision).version != decision.crl:
                    changed.add(certificate_id)
            except (Unavailable, ClientError):
                continue  # its own look tells, should there be one
        return changed

    def _refresh(self, ca: CaRules, known: PublishedCrl) -> PublishedCrl:
        condition = {"IfNoneMatch": known.version} if known.version else {}
        try:
            with calling("GetObject"):
                answer = self._s3().get_object(**self._place_of(ca), **condition)  # type: ignore[arg-type]  # mypy takes it for any parameter
                return PublishedCrl(version=answer["ETag"], revocations=_read(answer, ca))
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
            # The bucket's name can be guessed; one of somebody else's is no place to read from.
            "ExpectedBucketOwner": self._account_id,
        }


def _read(answer: "GetObjectOutputTypeDef", ca: CaRules) -> Revocations:
    try:
        refuse_size(answer["ContentLength"])
        return RevocationList.read(answer["Body"].read(), Certificate.from_pem(ca.certificate_pem))
    except UnusableCrl as error:
        return CrlProblem(str(error))
