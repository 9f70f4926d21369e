"""Publishes a CA's CRL in a stage: checks it, compares it with the published one, writes it on that condition.

The functions hold devices when the CRL is stale or unusable, so no such CRL is published; and none that is older than
the published one, since it would admit revoked devices again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jitr.aws.calls import calling
from jitr.aws.crl_bucket import PublishedCrl, object_key
from jitr.errors import UnusableCrl
from jitr.x509.certificate import Certificate
from jitr.x509.crl import RevocationList
from jitr_fleet.certificate_file import crl_in
from jitrctl.errors import Refused, Unusable
from jitrctl.terminal import at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from jitr_fleet.model import Ca
    from jitrctl.session.stage import Stage

_CHANGED_MEANWHILE = {"PreconditionFailed", "ConditionalRequestConflict"}
# "The Internet media type for CRLs" (RFC 5280 §4.2.1.13); PEM has none of its own.
_CONTENT_TYPE = "application/pkix-crl"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCrl:
    """A CRL to publish: its bytes (DER or plain PEM) and its contents."""

    ca: Ca
    content: bytes
    revocations: RevocationList


def read_crl(path: Path, cas: Sequence[Ca], *, now: datetime) -> NewCrl:
    """Read a CRL that one of these CAs signed and that is in force.

    Raises Unusable.
    """
    try:
        content = crl_in(path.read_bytes())
    except OSError as error:
        raise Unusable(f"{path} cannot be read ({error.strerror})") from error
    why = []
    for ca in cas:
        try:
            found = RevocationList.read(content, Certificate.from_pem(ca.certificate_pem))
        except UnusableCrl as error:
            why.append(f"as the CRL of CA {ca.name}: {error}")
            continue
        _refuse_out_of_force(path, found, now)
        return NewCrl(ca=ca, content=content, revocations=found)
    raise Unusable(f"{path} cannot be used {'; '.join(why)}")


def _refuse_out_of_force(path: Path, crl: RevocationList, now: datetime) -> None:
    if crl.next_update < now:
        raise Unusable(f"{path} is stale since {at(crl.next_update)}: have the CA issue the next one")
    if crl.this_update > now:
        raise Unusable(f"{path} is not in force before {at(crl.this_update)}: correct the CA's clock, or wait")


def read_published(stage: Stage, ca: Ca) -> PublishedCrl:
    """Read the CRL that is published for a CA in a stage.

    Raises Refused when the stage has no bucket yet; Unavailable, botocore's errors.
    """
    rules = stage.rules.ca(ca.certificate_id)
    assert rules is not None  # noqa: S101 -- only stages with the CA are asked
    try:
        return stage.crls.of(rules)
    except ClientError as error:
        raise _explain(stage, error) from error


def is_published(new: NewCrl, published: PublishedCrl) -> bool:
    """Whether the same list is published already."""
    return published.revocations == new.revocations


def why_not_newer(new: NewCrl, published: PublishedCrl) -> str | None:
    """Why a CRL must not replace the published one; None when it may. Compares numbers; without them, times."""
    now, before = new.revocations, published.revocations
    if not isinstance(before, RevocationList) or before == now:
        return None
    if now.number is not None and before.number is not None and now.number <= before.number:
        other = "has the same number, and says something else" if now.number == before.number else "is older"
        return f"number {now.number} {other}: number {before.number} is published"
    if now.this_update < before.this_update:
        return f"it was issued {at(now.this_update)}, and one of {at(before.this_update)} is published"
    return None


def publish(stage: Stage, new: NewCrl, instead_of: PublishedCrl) -> None:
    """Write the CRL where the functions read it, on condition that the one seen is still there.

    Raises Refused; Unavailable, botocore's errors.
    """
    condition = {"IfMatch": instead_of.version} if instead_of.version else {"IfNoneMatch": "*"}
    try:
        with calling("PutObject"):
            stage.s3.put_object(
                Bucket=stage.crl_bucket,
                Key=object_key(new.ca.certificate_id),
                Body=new.content,
                ContentType=_CONTENT_TYPE,
                ExpectedBucketOwner=stage.account.id,
                **condition,
            )
    except ClientError as error:
        raise _explain(stage, error) from error


def _explain(stage: Stage, error: ClientError) -> Exception:
    code = error.response["Error"]["Code"]
    if code in _CHANGED_MEANWHILE:
        return Refused("another CRL was published at the same time: see `jitrctl crl show`, and try again")
    if code == "NoSuchBucket":
        return Refused(f"there is no bucket {stage.crl_bucket}: deploy the stack first")
    return error
