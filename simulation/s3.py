"""S3: buckets, objects with their ETags and versions, and conditional reads.

Every bucket keeps versions. Not modelled: deletions, multipart uploads, access, events. A missing object is answered
with NoSuchKey, as to a caller who may list the bucket.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from simulation.faults import Answer, NotModelled, Params, ServiceError
from simulation.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object."""

    body: bytes
    etag: str
    at: datetime
    version_id: str


class S3:
    """The buckets of one account and Region."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.buckets: dict[str, dict[str, StoredObject]] = {}
        self._versions: dict[tuple[str, str, str], StoredObject] = {}  # by bucket, key, version

    def create(self, bucket: str) -> None:
        self.buckets[bucket] = {}

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object, without a call."""
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        stored = StoredObject(body=body, etag=etag, at=self._place.clock.now(), version_id=f"v{len(self._versions)}")
        self.buckets[bucket][key] = self._versions[bucket, key, stored.version_id] = stored

    def forget_version(self, bucket: str, key: str, version_id: str) -> None:
        """Delete an old version, as a lifecycle rule does."""
        del self._versions[bucket, key, version_id]

    def get_object(self, params: Params) -> Answer:
        unknown = params.keys() - {"Bucket", "Key", "IfNoneMatch", "ExpectedBucketOwner", "ChecksumMode", "VersionId"}
        if unknown:
            raise NotModelled(f"GetObject with {', '.join(unknown)}")
        if params.get("ExpectedBucketOwner", self._place.account_id) != self._place.account_id:
            raise ServiceError("AccessDenied", "Access Denied", status=403)
        if params["Bucket"] not in self.buckets:
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", status=404)
        if "VersionId" in params:
            stored = self._versions.get((params["Bucket"], params["Key"], params["VersionId"]))
            if stored is None:
                raise ServiceError("NoSuchVersion", "The specified version does not exist.", status=404)
        else:
            stored = self.buckets[params["Bucket"]].get(params["Key"])
        if stored is None:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", status=404)
        if params.get("IfNoneMatch") == stored.etag:
            raise ServiceError("304", "Not Modified", status=304)
        return {
            "Body": stored.body,
            "ETag": stored.etag,
            "ContentLength": len(stored.body),
            "LastModified": stored.at,
            "VersionId": stored.version_id,
        }
