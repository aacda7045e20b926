"""The object store, a real one."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from clarity.errors import ObjectMissing, StorageError, StorageUnavailable
from clarity.settings import Settings
from clarity.storage import keys
from clarity.storage.objects import Objects, Patience

TRICKY = 'inbox/Ünïcode "quoted" it\'s/..a/\U0001f441 a&b=c?d#e%20+f.jpg'


@pytest.fixture
def objects(settings: Settings) -> Objects:
    return Objects(settings)


def test_what_was_put_is_got_whatever_its_name(objects: Objects) -> None:
    objects.put(TRICKY, b"bytes", "image/jpeg")
    assert objects.get(TRICKY) == b"bytes"
    assert [(entry.key, entry.size) for entry in objects.list("inbox/")] == [(TRICKY, 5)]


def test_a_content_addressed_object_is_written_once(objects: Objects) -> None:
    assert objects.put_if_absent("captures/x", b"abc") is True
    assert objects.put_if_absent("captures/x", b"abc") is False
    objects.put("captures/x", b"ab")  # a shorter one is not that content
    assert objects.put_if_absent("captures/x", b"abc") is True
    assert objects.get("captures/x") == b"abc"


def test_a_listing_goes_over_pages_and_can_start_behind_a_key(objects: Objects) -> None:
    for number in range(1005):
        objects.put(f"many/{number:05d}", b"")
    assert [e.key for e in objects.list("many/")] == [f"many/{n:05d}" for n in range(1005)]
    assert [e.key for e in objects.list("many/", after="many/01002")] == ["many/01003", "many/01004"]


def test_the_etag_follows_the_content(objects: Objects) -> None:
    objects.put("a", b"1")
    (first,) = objects.list("a")
    objects.put("a", b"2")
    (second,) = objects.list("a")
    assert first.etag != second.etag


def test_a_missing_object_is_named_and_deleting_it_is_harmless(objects: Objects) -> None:
    with pytest.raises(ObjectMissing, match="nothing/here"):
        objects.get("nothing/here")
    assert not objects.exists("nothing/here")
    objects.delete("nothing/here")


def test_a_presigned_url_reads_one_object_without_credentials_until_it_expires(objects: Objects) -> None:
    objects.put("a b.txt", b"open")
    url = objects.presign("a b.txt", seconds=2)
    assert urllib.request.urlopen(url).read() == b"open"  # noqa: S310
    time.sleep(2.5)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url)  # noqa: S310
    caught.value.close()
    assert caught.value.code == 403


def test_a_presigned_url_is_for_where_callers_reach_the_store_and_the_store_is_read_where_we_do(
    settings: Settings,
) -> None:
    inside = settings.s3_endpoint_url or ""
    public = inside.replace("127.0.0.1", "localhost")
    objects = Objects(settings.model_copy(update={"s3_public_url": public}))
    objects.put("a b.txt", b"open")
    url = objects.presign("a b.txt", seconds=30)
    assert url.startswith(f"{public}/{settings.s3_bucket}/a%20b.txt?")
    assert urllib.request.urlopen(url).read() == b"open"  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url.replace(public, inside))  # noqa: S310
    caught.value.close()
    assert caught.value.code == 403, "the host is part of what is signed"
    behind = Objects(settings.model_copy(update={"s3_public_url": "https://store.clinic.example.org"}))
    assert behind.presign("a").startswith("https://store.clinic.example.org/") and behind.get("a b.txt") == b"open"


def test_making_the_bucket_twice_is_harmless(settings: Settings) -> None:
    objects = Objects(settings, bucket=f"{settings.s3_bucket}-other")
    objects.ensure_bucket()
    objects.ensure_bucket()
    objects.put("a", b"1")
    objects.delete("a")
    objects._client.delete_bucket(Bucket=objects.bucket)


def test_wrong_credentials_are_named_without_the_secret(settings: Settings) -> None:
    wrong = settings.model_copy(update={"s3_access_key_id": "stranger"})
    with pytest.raises(StorageError) as caught:
        Objects(wrong).get("a")
    assert settings.need("s3_secret_access_key") not in str(caught.value)
    assert settings.s3_bucket in str(caught.value)


def test_an_unreachable_store_is_named_with_endpoint_and_key_and_may_be_tried_again(settings: Settings) -> None:
    gone = settings.model_copy(update={"s3_endpoint_url": "http://user:hunter2@127.0.0.1:1"})
    with pytest.raises(StorageUnavailable) as caught:
        Objects(gone).put("some/key", b"")
    assert "127.0.0.1:1" in str(caught.value) and "some/key" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_store_that_takes_a_request_and_never_answers_is_asked_again_and_then_given_up(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(5)
        hung = settings.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}"})
        with pytest.raises(StorageUnavailable, match="some/key: ReadTimeoutError, the store cannot be reached"):
            Objects(hung, patience=Patience(connect_s=1, read_s=0.2, attempts=2)).put("some/key", b"abc")
        asked = [silent.accept()[0] for _ in range(2)]
        for link in asked:
            link.close()
        silent.settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent.accept()


FORK = """
import os
from clarity.settings import Settings
from clarity.storage.objects import Objects, Patience
objects = Objects(Settings.load())
objects.put("a", b"1")
mine = objects._client
child = os.fork()
if child == 0:
    os._exit(0 if objects._client is not mine and objects.get("a") == b"1" else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_client_is_not_carried_over_a_fork(settings: Settings) -> None:
    """In a process of one thread: a fork of this one might inherit a lock that another thread holds."""
    child = subprocess.run(
        [sys.executable, "-c", FORK], env=os.environ | settings.environment(), timeout=60, check=False
    )
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (b"\xff\xd8\xff\xe0", ".jpg"),
        (b"\x89PNG\r\n\x1a\n", ".png"),
        (b"\0" * 128 + b"DICM", ".dcm"),
        (b"hello", ""),
        (b"", ""),
    ],
)
def test_a_capture_is_named_by_its_content_and_not_by_its_name(data: bytes, suffix: str) -> None:
    assert keys.kind(data)[0] == suffix
    assert (
        keys.capture_key(keys.sha256(data), suffix) == f"captures/{keys.sha256(data)[:2]}/{keys.sha256(data)}{suffix}"
    )
