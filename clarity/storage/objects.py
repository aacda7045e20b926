"""The object store: S3, or anything that speaks it. Content-addressed writes, errors with endpoint and key in them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from clarity.errors import ObjectMissing, StorageError, StorageUnavailable
from clarity.settings import Settings
from clarity.storage.aws import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING = {"404", "NoSuchKey", "NotFound"}
_BUSY = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "RequestLimitExceeded"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Changes with the content; without its quotes."""
    modified: datetime


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store may keep its caller waiting before it counts as away."""

    connect_s: float
    read_s: float
    """Of one silence, not of a whole answer."""
    attempts: int


OF_A_NIGHT = Patience(connect_s=5, read_s=60, attempts=4)
OF_A_CALLER = Patience(connect_s=3, read_s=10, attempts=2)
"""Somebody waits: a store that takes a request and never answers is given up after 20 s, and a pause of at most 1 s."""


class Objects:
    """One bucket. Cheap to make: its boto3 client is made at first use, once a process (none survives a fork)."""

    def __init__(self, settings: Settings, *, bucket: str | None = None, patience: Patience = OF_A_NIGHT) -> None:
        """Reads endpoint, credentials, region and bucket of ``settings``; without an endpoint it is AWS itself."""
        self._patience = patience
        self.bucket = bucket or settings.s3_bucket
        self.endpoint = settings.s3_endpoint_url
        self._public = settings.s3_public_url
        self._region = settings.s3_region
        self._key_id = settings.s3_access_key_id
        self._secret = settings.s3_secret_access_key
        self._made: tuple[int, S3Client] | None = None
        self._signing: tuple[int, S3Client] | None = None

    def __repr__(self) -> str:
        return f"Objects({self._place()})"

    def __getstate__(self) -> dict[str, object]:
        """What crosses to another process: never the client, which that process makes for itself."""
        return self.__dict__ | {"_made": None, "_signing": None}

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object, over any earlier one of this key. Raises StorageError."""
        with self._named_errors(key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type)

    def put_if_absent(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        """Write an object whose key names its content, unless it is there with that length. True when written.

        Two writers at once are harmless: the key means the same bytes for both.
        """
        if self.size(key) == len(data):
            return False
        self.put(key, data, content_type)
        return True

    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectMissing, StorageError."""
        with self._named_errors(key):
            return self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def size(self, key: str) -> int | None:
        """Bytes of an object, None where there is none. Raises StorageError."""
        try:
            with self._named_errors(key):
                return self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        except ObjectMissing:
            return None

    def exists(self, key: str) -> bool:
        """True where an object of this key is there. Raises StorageError."""
        return self.size(key) is not None

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Objects below a prefix in the order of their keys, page by page: memory does not grow with their number.

        ``after`` starts behind a key. Raises StorageError.
        """
        with self._named_errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, StartAfter=after
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield Entry(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])

    def presign(self, key: str, *, seconds: int = 900) -> str:
        """A URL that reads one object, without credentials, until it expires; signed for the public endpoint.

        Nothing is asked of the store: it may be away, or the public endpoint out of this process's reach.
        """
        with self._named_errors(key):
            return self._signer.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
            )

    def delete(self, key: str) -> None:
        """Remove an object; harmless where there is none. Raises StorageError."""
        with self._named_errors(key):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def check(self) -> None:
        """Ask for the bucket alone. Raises StorageError where it is not there or the store does not answer."""
        with self._named_errors(""):
            self._client.head_bucket(Bucket=self.bucket)

    def ensure_bucket(self) -> None:
        """Make the bucket unless it is there. Raises StorageError."""
        try:
            with self._named_errors(""):
                self._client.head_bucket(Bucket=self.bucket)
        except ObjectMissing:
            with self._named_errors(""):
                self._create_bucket()

    def _create_bucket(self) -> None:
        if self._region == "us-east-1":  # AWS refuses a location constraint there
            self._client.create_bucket(Bucket=self.bucket)
        else:
            where = {"LocationConstraint": self._region}
            self._client.create_bucket(Bucket=self.bucket, CreateBucketConfiguration=where)  # type: ignore[arg-type]

    @property
    def _client(self) -> "S3Client":
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), self._connect(self.endpoint))
        return self._made[1]

    @property
    def _signer(self) -> "S3Client":
        """A signature holds the host: a URL for another one cannot be made of it afterwards."""
        if self._public is None:
            return self._client
        if self._signing is None or self._signing[0] != os.getpid():
            self._signing = (os.getpid(), self._connect(self._public))
        return self._signing[1]

    def _connect(self, endpoint: str | None) -> "S3Client":
        aws = not endpoint or (urlsplit(endpoint).hostname or "").endswith("amazonaws.com")
        config = Config(
            signature_version="s3v4",
            connect_timeout=self._patience.connect_s,
            read_timeout=self._patience.read_s,
            retries={"mode": "standard", "total_max_attempts": self._patience.attempts},
            max_pool_connections=32,
            # the newer default checksums break S3-compatible servers (boto3 #4392, #4435)
            request_checksum_calculation="when_supported" if aws else "when_required",
            response_checksum_validation="when_supported" if aws else "when_required",
            s3={"addressing_style": "auto" if aws else "path"},
        )
        return s3_client(
            endpoint_url=endpoint,
            region_name=self._region,
            aws_access_key_id=self._key_id,
            aws_secret_access_key=self._secret.get_secret_value() if self._secret else None,
            config=config,
        )

    def _place(self, key: str = "") -> str:
        parts = urlsplit(self.endpoint or "https://s3.amazonaws.com")
        host = parts.netloc.rpartition("@")[2]  # a user and password in the endpoint are not repeated
        return f"{parts.scheme}://{host}/{self.bucket}/{key}"

    @contextmanager
    def _named_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._refusal(error, key) from None
        except (BotoConnectionError, HTTPClientError) as error:
            raise StorageUnavailable(
                f"{self._place(key)}: {type(error).__name__}, the store cannot be reached"
            ) from None
        except (BotoCoreError, ValueError) as error:
            raise StorageError(f"{self._place(key)}: {type(error).__name__}, the request cannot be made") from None

    def _refusal(self, error: ClientError, key: str) -> StorageError:
        code = error.response.get("Error", {}).get("Code", "unknown")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _MISSING or (code == "NoSuchBucket" and not key):
            return ObjectMissing(f"{self._place(key)}: there is no such object")
        kind = StorageUnavailable if code in _BUSY or status >= 500 else StorageError
        return kind(f"{self._place(key)}: {code} (HTTP {status}), refused by the store")
