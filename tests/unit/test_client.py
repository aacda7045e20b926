"""What is tried again and what is not, on a real server that refuses, hangs up and is not there."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from clarity.client import Client, Patience, errors
from tests.unit.scripted import Reply, Scripted, problem, server

QUICK = Patience(attempts=4, first_wait_s=0.001, total_s=5.0)
PATIENT = Reply(200, {"id": "p1"})


def client(at: Scripted, **more: object) -> Client:
    return Client(at.url, "clarity_id_secret", patience=QUICK, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_get_is_asked_again_after_a_refusal_that_passes(status: int) -> None:
    with server(problem(status, "overloaded"), problem(status, "overloaded"), PATIENT) as at, client(at) as api:
        assert api.patient("p1").id == "p1"
    assert len(at.asked) == 3


def test_a_post_is_sent_again_with_the_idempotency_key_of_its_first_attempt() -> None:
    with (
        server(Reply(hang_up=True), problem(503, "storage_unavailable"), Reply(201, {"id": "p1"})) as at,
        client(at) as api,
    ):
        api.create_patient(name="Erika")
        api.create_patient(name="Erika")
    keys = [one.headers["Idempotency-Key"] for one in at.asked]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
    assert len({one.body for one in at.asked}) == 1


@pytest.mark.parametrize(
    "change", [lambda api: api.update_patient("p1", name="Erika"), lambda api: api.erase_patient("p1")]
)
@pytest.mark.parametrize("reply", [problem(503, "overloaded"), problem(429, "too_many"), Reply(hang_up=True)])
def test_what_is_not_safe_is_sent_once(change: Callable[[Client], object], reply: Reply) -> None:
    with server(reply, PATIENT) as at, client(at) as api, pytest.raises(errors.ClientError):
        change(api)
    assert len(at.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.RequestInvalid),
        (401, errors.KeyRefused),
        (403, errors.ScopeMissing),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (413, errors.RequestInvalid),
        (415, errors.RequestInvalid),
        (422, errors.RequestInvalid),
        (500, errors.ServiceFault),
    ],
)
def test_a_refusal_that_stays_is_not_asked_again_and_says_code_detail_and_request(
    status: int, kind: type[errors.Refused]
) -> None:
    with server(problem(status, "a_code")) as at, client(at) as api, pytest.raises(kind) as caught:
        api.patient("p1")
    assert len(at.asked) == 1
    error = caught.value
    assert (error.status, error.code, error.detail, error.request_id) == (
        status,
        "a_code",
        "subject: value, verdict",
        "r1",
    )
    assert str(error) == "a_code: subject: value, verdict (request r1)"


def test_it_gives_up_after_as_many_attempts_as_it_has_and_says_the_last_refusal() -> None:
    with server(problem(503, "no_champion")) as at, client(at) as api, pytest.raises(errors.Unavailable) as caught:
        api.model()
    assert (len(at.asked), caught.value.code) == (QUICK.attempts, "no_champion")


@pytest.mark.parametrize("seconds", [True, False], ids=["seconds", "a date"])
def test_retry_after_is_honoured_as_seconds_and_as_a_date(*, seconds: bool) -> None:
    said = "1" if seconds else format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    patience = Patience(attempts=2, first_wait_s=0.001, total_s=5.0)
    began = time.monotonic()
    with server(problem(503, "overloaded", retry_after=said), PATIENT) as at, Client(at.url, patience=patience) as api:
        if seconds:
            api.patient("p1")
            assert time.monotonic() - began >= 1.0
        else:  # longer than the caller's patience: said at once
            with pytest.raises(errors.Unavailable) as caught:
                api.patient("p1")
            assert caught.value.retry_after is not None
            assert 5 < caught.value.retry_after <= 30
            assert len(at.asked) == 1


def test_waits_grow_and_no_two_clients_wait_alike() -> None:
    patience = Patience(first_wait_s=0.2, longest_wait_s=1.0)
    waits = [[patience.wait_s(failures) for _ in range(50)] for failures in (1, 2, 3, 9)]
    assert [(min(w) >= low / 2, max(w) <= low) for w, low in zip(waits, (0.2, 0.4, 0.8, 1.0), strict=True)] == [
        (True, True)
    ] * 4
    assert all(len(set(w)) > 40 for w in waits)


def test_nobody_at_the_address_is_unreachable_after_the_attempts_and_without_the_key() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", "clarity_id_secret", patience=QUICK) as api,
        pytest.raises(errors.Unreachable, match=f"GET http://127.0.0.1:{port}.*ConnectError") as caught,
    ):
        api.patient("p1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>It works!</html>", b"[1, 2]", b'{"unknown": true}'])
def test_another_server_at_the_address_is_told_as_that(body: bytes) -> None:
    with (
        server(Reply(200, body, {"Content-Type": "text/html"})) as at,
        client(at) as api,
        pytest.raises(errors.Misunderstood),
    ):
        api.patient("p1")


def test_a_proxy_that_knows_no_problem_json_is_a_refusal_too() -> None:
    with (
        server(Reply(404, b"<h1>Not Found</h1>", {"Content-Type": "text/html"})) as at,
        client(at) as api,
        pytest.raises(errors.NotFound, match="http_404: refused without a reason"),
    ):
        api.patient("p1")


def test_a_redirect_is_not_followed_so_the_key_goes_nowhere_else() -> None:
    with (
        server(PATIENT) as other,
        server(Reply(307, {}, {"Location": f"{other.url}/v1/patients/p1"})) as at,
        client(at) as api,
        pytest.raises(errors.Refused, match="http_307"),
    ):
        api.patient("p1")
    assert other.asked == []


def test_the_key_is_sent_and_printed_nowhere() -> None:
    with server(PATIENT) as at, client(at) as api:
        api.patient("p1")
        assert at.asked[0].headers["Authorization"] == "Bearer clarity_id_secret"
        assert at.url in repr(api)
        assert "secret" not in repr(api) + repr(vars(api))


def test_a_download_takes_no_key_along() -> None:
    with server(Reply(200, b"\x89PNG")) as at, client(at) as api:
        assert api.download(f"{at.url}/bucket/heatmap.png?X-Amz-Signature=1") == b"\x89PNG"
    assert "Authorization" not in at.asked[0].headers


def test_address_and_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(PATIENT) as at:
        monkeypatch.setenv("CLARITY_API_URL", f"{at.url}/")
        monkeypatch.setenv("CLARITY_API_KEY", "clarity_of_environment")
        with Client() as api:
            api.patient("p1")
    assert at.asked[0].path == "/v1/patients/p1"
    assert at.asked[0].headers["Authorization"] == "Bearer clarity_of_environment"


@pytest.mark.parametrize("url", ["", "clarity.example.org", "ftp://clarity.example.org", "http://"])
def test_an_address_that_is_none_is_said_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLARITY_API_URL", raising=False)
    with pytest.raises(errors.NotConfigured, match="CLARITY_API_URL"):
        Client(url)


def test_an_id_cannot_lead_to_another_path() -> None:
    with server(problem(404, "unknown_record")) as at, client(at) as api:
        for name in ("../worklist", "a/b", "?search=x", "#", ""):
            with pytest.raises((errors.NotFound, ValueError)):
                api.patient(name)
    assert all(one.path.count("/") == 3 for one in at.asked), [one.path for one in at.asked]


def test_fields_that_are_new_are_kept_aside_and_missing_ones_have_their_default() -> None:
    body = {"id": "p1", "name": "Erika", "tomorrow": {"is": "new"}}
    with server(Reply(200, body)) as at, client(at) as api:
        found = api.patient("p1")
    assert (found.name, found.email) == ("Erika", None)
    assert found.raw["tomorrow"] == {"is": "new"}
    assert "Erika" not in repr(found)


def test_pages_are_asked_for_as_they_are_read() -> None:
    first, second = {"id": "p1"}, {"id": "p2"}
    with (
        server(Reply(200, {"patients": [first], "following": "abc"}), Reply(200, {"patients": [second]})) as at,
        client(at) as api,
    ):
        found = api.patients()
        assert next(found).id == "p1"
        assert len(at.asked) == 1
        assert [one.id for one in found] == ["p2"]
    assert "cursor=abc" in at.asked[1].path


def test_one_bad_photograph_of_a_batch_is_an_error_beside_the_others_answers() -> None:
    quality = {"gradable": True, "score": 0.9, "reasons": []}
    good = {"outcome": "graded", "grade": 2, "model": "m", "model_version": "1", "quality": quality}
    bad = problem(422, "unreadable_image").body
    items = [{"status": 200, "answer": good, "problem": None}, {"status": 422, "answer": None, "problem": bad}]
    with server(Reply(200, {"items": items})) as at, client(at) as api:
        one, other = api.predict_batch([b"1", b"2"])
    assert not isinstance(one, errors.Refused)
    assert one.grade == 2
    assert isinstance(other, errors.RequestInvalid)
    assert other.code == "unreadable_image"


def test_importing_it_loads_httpx_and_the_standard_library_alone() -> None:
    code = (
        "import sys, httpx\n"
        "before = {name.partition('.')[0] for name in sys.modules}\n"
        "import clarity.client\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} - before - sys.stdlib_module_names\n"
        "own = sorted(name for name in sys.modules if name.startswith('clarity.'))\n"
        "print(*sorted(loaded), '|', *(name for name in own if not name.startswith('clarity.client')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "clarity | clarity.errors"
