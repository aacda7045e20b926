"""Who patients are leaves the service in authorised answers alone: a full run, and then everything is searched.

A stack of its own (PostgreSQL, S3) and a live service meet planted people in every place where a request has room for
one: as patients, and in paths, addresses, headers, bodies and files of requests that go wrong. Afterwards every log,
figure, error, table and file of the run is searched for them, as they are, folded, percent-encoded, in base64, in hex.
"""

import base64
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest
from PIL import Image as Pillow
from sqlalchemy import text

from clarity.access import keys
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from clarity.storage import database
from tests import tiny
from tests.conftest import forget_addresses
from tests.serving.live import PROJECT, Live, environment, serving
from tests.unit.imaging_files import dataset, written

PERSON = {
    "name": "Zyxquella Quorvaldóttir",
    "birth_date": "1953-07-19",
    "email": "zyx.quella@planted-mail.example",
    "phone": "+49 171 86753094",
    "history": "Bexoriasis since 2009; takes Flumoxanil.",
}
CHANGED = {"name": "Zyxquella Wrenthauser", "phone": "0171 86753095", "history": "Krellopathy was ruled out."}
OTHER = {"name": "Ombrelix Thrandowicz", "email": "ombrelix@second-mail.example", "birth_date": "1948-11-23"}
PLANTED = (
    *("Zyxquella", "Quorvaldóttir", "Wrenthauser", "Ombrelix", "Thrandowicz"),
    *("zyx.quella", "planted-mail", "second-mail", "Bexoriasis", "Flumoxanil", "Krellopathy"),
    *("1953-07-19", "1948-11-23", "19530719", "86753094", "86753095"),
)
NAME, EMAIL, PHONE = PERSON["name"], PERSON["email"], PERSON["phone"]


def forms(said: str) -> set[bytes]:
    """How a text may stand in a file."""
    found: set[bytes] = set()
    for one in {said, said.lower(), said.upper()}:
        plain = one.encode()
        escaped = json.dumps(one)[1:-1].encode()
        found |= {
            plain,
            escaped,
            quote(one).encode(),
            quote_plus(one).encode(),
            one.encode("latin-1"),
            plain.hex().encode(),
        }
        for before in range(3):  # base64 has three alignments; what the neighbours reach into is cut off
            whole = base64.b64encode(bytes(before) + plain + bytes(3))
            found.add(whole[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6])
    return found


NEEDLES = re.compile(b"|".join(re.escape(form) for said in PLANTED for form in sorted(forms(said)) if len(form) > 5))


def traces(data: bytes | str) -> set[bytes]:
    return set(NEEDLES.findall(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data))


@pytest.mark.parametrize("said", PLANTED)
def test_the_search_finds_what_is_there(said: str) -> None:
    plain = said.encode()
    shown = [f"x {said.upper()} y", quote(f"a b {said}"), json.dumps({"k": said}), plain.hex()]
    shown += [base64.b64encode(b"x" * before + plain + b" and more").decode() for before in range(4)]
    assert [one for one in shown if not traces(one)] == []
    assert not traces("nothing of the kind, only 1961-04-30 and Erika")


@dataclass
class Run:
    """A stack and a service of their own, and every answer."""

    home: Path
    live: Live
    settings: Settings
    errors: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, **more: object) -> httpx.Response:
        """Errors, and what no scope protects, are kept for the search."""
        with self.live.client as client:
            answer = client.request(method, path, **more)  # type: ignore[arg-type]
        if answer.status_code >= 400:
            self.errors.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    def raw(self, request: bytes) -> None:
        at = urlsplit(self.live.url)
        with socket.create_connection((at.hostname, at.port), timeout=10) as link:
            link.sendall(request)
            link.shutdown(socket.SHUT_WR)
            link.settimeout(10)
            answer = b"".join(iter(lambda: link.recv(65536), b""))
        self.errors.append(answer.decode("latin-1"))

    def tables(self) -> Iterator[tuple[str, str]]:
        """Every row of every table, as text."""
        engine = database.engine(self.settings.need("database_url"))
        with database.connection(engine) as link:
            for name in link.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all():
                rows = link.scalars(text(f'SELECT to_jsonb(t)::text FROM "{name}" t')).all()  # noqa: S608
                yield name, "\n".join(rows)
        engine.dispose()


@pytest.fixture(scope="module")
def run(bundle: Bundle) -> Iterator[Run]:
    home = Path(tempfile.mkdtemp(prefix="clarity-privacy-"))  # not below pytest's own folder, as the stack's fixture
    clean = environment(home)
    clarity = [sys.executable, "-m", "clarity"]
    subprocess.run(
        [*clarity, "up", "--detach", "--part", "postgres", "--part", "s3"], env=clean, cwd=PROJECT, check=True
    )
    try:
        with pytest.MonkeyPatch.context() as patched:
            forget_addresses(patched)
            patched.setenv("CLARITY_HOME", str(home))
            settings = Settings.load()
        with serving(home, "--bundle", str(bundle.path), open_=False) as live:
            engine = database.engine(settings.need("database_url"))
            secret = keys.make(engine, "test", ["admin"], rate_per_minute=100_000, expires_at=None)[1]
            engine.dispose()
            live.headers = {"X-API-Key": secret}
            made = Run(home, live, settings)
            _everything(made)
            yield made
    finally:
        subprocess.run([*clarity, "down"], env=clean, cwd=PROJECT, check=True)
        shutil.rmtree(home, ignore_errors=True)


def _everything(run: Run) -> None:
    """A day of the service."""
    uid = _as_it_should_be(run)
    _in_paths_and_addresses(run, uid)
    _in_headers(run, uid)
    _in_bodies(run, uid)
    _in_files(run, uid)
    _behind_the_service(run)
    assert run.ask("DELETE", f"/v1/patients/{uid}").status_code == 200
    assert run.ask("PATCH", f"/v1/patients/{uid}", json=CHANGED).status_code == 410
    run.figures += [
        run.ask("GET", path).text for path in ("/metrics", "/ready", "/health", "/openapi.json", "/v1/worklist")
    ]


def _as_it_should_be(run: Run) -> str:
    key = {"Idempotency-Key": "planted-1"}
    made = run.ask("POST", "/v1/patients/", json=PERSON | {"external_id": "A17"}, headers=key)
    assert made.status_code == 201 and made.json()["name"] == NAME and traces(made.text)
    assert run.ask("POST", "/v1/patients/", json=PERSON | {"external_id": "A17"}, headers=key).text == made.text
    assert run.ask("POST", "/v1/patients/", json=OTHER, headers=key).status_code == 409
    assert run.ask("POST", "/v1/patients/", json=OTHER | {"external_id": "A17"}).status_code == 409
    assert run.ask("POST", "/v1/patients/", json=OTHER | {"external_id": "B"}).status_code == 201
    uid = str(made.json()["id"])
    for asked in ({name: PERSON[name]} for name in ("name", "email", "phone", "birth_date")):
        assert len(run.ask("GET", "/v1/patients/", params=asked).json()["patients"]) == 1
    assert run.ask("PATCH", f"/v1/patients/{uid}", json=CHANGED).json()["name"] == CHANGED["name"]
    image = {"image": (f"{NAME}.jpg", tiny.jpeg(tiny.eye()))}
    sent = run.ask("POST", "/v1/predict", files=image, data={"patient": uid, "eye": "left"})
    assert sent.status_code == 200 and not traces(sent.text)
    for path in (f"/v1/patients/{uid}/scans", f"/v1/predict/patient/{uid}/history", "/v1/worklist"):
        told = run.ask("GET", path)
        assert told.status_code == 200 and not traces(told.text)
    return uid


def _in_paths_and_addresses(run: Run, uid: str) -> None:
    for said in (NAME, EMAIL, PHONE, PERSON["birth_date"]):
        for path in (
            "/v1/patients/{}",
            "/v1/patients/{}/scans",
            "/v1/scans/{}",
            "/v1/predict/patient/{}/history",
            "/{}",
        ):
            assert run.ask("GET", path.format(quote(said))).status_code in (404, 405, 422)
        for method in ("DELETE", "PATCH", "PUT", "POST"):
            assert run.ask(method, f"/v1/patients/{quote(said)}", json=PERSON).status_code >= 400
        for name in ("cursor", "limit", "birth_date", said):
            asked = {name: f"{said} x"}
            assert run.ask("GET", "/v1/patients/", params=asked).status_code == 422, asked
        for name in ("cursor", "due_by", "result", "priority"):
            assert run.ask("GET", "/v1/worklist", params={name: f"{said} x"}).status_code == 422
        for name in ("patient", "heatmap", "format", "eye", "visit", "inline"):
            asked = {name: f"{said} x"}
            assert (
                run.ask("POST", "/v1/predict", params=asked, files={"image": tiny.jpeg(tiny.eye())}).status_code == 422
            )
    assert run.ask("GET", f"/v1/patients/{uuid4()}", params={"name": NAME}).status_code == 404
    assert run.ask("GET", f"/v1/patients/{uid}/scans", params={"cursor": NAME}).status_code == 422


def _in_headers(run: Run, uid: str) -> None:
    words = (NAME.encode().decode("latin-1"), EMAIL, PHONE)
    for said in words:
        for name in (
            "X-API-Key",
            "Authorization",
            "Cookie",
            "User-Agent",
            "Referer",
            "X-Request-Id",
            "Accept",
            "Origin",
        ):
            for value in (said, f"Bearer {said}", f"Bearer clarity_{said}_{said}"):
                run.ask("GET", f"/v1/patients/{uuid4()}", headers={name: value.encode("latin-1")})  # type: ignore[dict-item]
        basic = base64.b64encode(f"{said}:{said}".encode()).decode()
        assert run.ask("GET", "/docs", headers={"X-API-Key": "", "Authorization": f"Basic {basic}"}).status_code == 401
        kinds = [
            f"text/{said}",
            f"image/{said}",
            f'multipart/form-data; boundary="{said}"',
            f"application/json; charset={said}",
        ]
        for kind in kinds:
            headers = {"Content-Type": kind.encode("latin-1")}
            for path in ("/v1/predict", "/v1/patients/"):
                run.ask("POST", path, content=json.dumps(PERSON).encode()[:-2], headers=headers)  # type: ignore[dict-item]
        spoiled = {"Idempotency-Key": f"{said} \xfc".encode("latin-1")}
        assert run.ask("POST", "/v1/patients/", json=PERSON, headers=spoiled).status_code == 422  # type: ignore[arg-type]
    person = {"Idempotency-Key": EMAIL}  # it is the caller's to choose, and stands nowhere as it is
    assert run.ask("POST", "/v1/patients/", json={"external_id": "C"}, headers=person).status_code == 201
    assert run.ask("POST", "/v1/patients/", json={"external_id": "D"}, headers=person).status_code == 409
    line = f"{NAME} /{EMAIL} HTTP/1.1".encode()
    for request in (
        line + b"\r\nHost: x\r\n\r\n",
        b"GET /" + EMAIL.encode() + b"\r\n\r\n",
        b"GET /v1/patients/ HTTP/1.1\r\nHost: " + EMAIL.encode() + b"\r\n" + NAME.encode() + b"\r\n\r\n",
        b"ZYXQUELLA /v1/patients/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /v1/patients/ HTTP/1.1\r\nHost: x\r\nContent-Length: " + PHONE.encode() + b"\r\n\r\n" + NAME.encode(),
    ):
        run.raw(request)


def _in_bodies(run: Run, uid: str) -> None:
    wrong: list[object] = [
        PERSON | {NAME: EMAIL},
        PERSON | {"email": NAME},
        PERSON | {"phone": EMAIL},
        PERSON | {"birth_date": PHONE},
        PERSON | {"age": NAME},
        PERSON | {"age": 5},
        PERSON | {"external_id": NAME},
        PERSON | {"name": {"first": NAME}},
        PERSON | {"name": [NAME]},
        PERSON | {"name": f"{NAME}\u0000"},
        PERSON | {"name": NAME * 20},
        PERSON | {"history": f"{PERSON['history']}\u001b"},
        [PERSON],
        NAME,
        {NAME: {EMAIL: PHONE}},
    ]
    for body in wrong:
        for method, path in (("POST", "/v1/patients/"), ("PATCH", f"/v1/patients/{uid}")):
            assert run.ask(method, path, json=body).status_code == 422, body
        assert run.ask("POST", f"/v1/scans/{'0' * 64}/review", json=body).status_code == 422
    whole = json.dumps(PERSON).encode()
    for content in (
        whole[:-5],
        whole + b"}",
        whole.replace(b'"', b"'"),
        NAME.encode(),
        NAME.encode("utf-16"),
        b"\xff" + whole,
    ):
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
            headers = {"Content-Type": kind}
            assert run.ask("POST", "/v1/patients/", content=content, headers=headers).status_code >= 400
    assert run.ask("PATCH", f"/v1/patients/{uuid4()}", json=PERSON).status_code == 404
    comment = {"decision": "grade", "comment": f"{NAME}, {EMAIL}"}
    assert run.ask("POST", f"/v1/scans/{'0' * 64}/review", json=comment).status_code in (404, 422)
    assert run.ask("POST", "/v1/patients/", content=NAME.encode() * 100_000).status_code in (413, 422)


def _in_files(run: Run, uid: str) -> None:
    exif = Pillow.Exif()
    exif[0x010E], exif[0x013B] = NAME, EMAIL
    told = io.BytesIO()
    Pillow.fromarray(tiny.eye(seed=5)).save(told, "JPEG", exif=exif, comment=NAME.encode())
    found = dataset(tiny.eye(seed=6))
    found.PatientName, found.PatientID, found.PatientBirthDate = "Zyxquella^Quorvald", EMAIL, "19530719"
    dicom = written(found)
    for data, kind in ((told.getvalue(), "image/jpeg"), (dicom, "application/dicom")):
        answer = run.ask("POST", "/v1/predict", content=data, headers={"Content-Type": kind})
        assert answer.status_code == 200 and not traces(answer.text)
        run.ask("POST", "/v1/predict", content=data[: len(data) // 2], headers={"Content-Type": kind})
    for data in (json.dumps(PERSON).encode(), NAME.encode() * 500, b"DICM" + NAME.encode()):
        assert run.ask("POST", "/v1/predict", files={"image": (f"../{NAME}.jpg", data)}).status_code == 422
        assert run.ask("POST", "/v1/predict", files={NAME: (EMAIL, data)}).status_code == 422
    image = {"image": (NAME, tiny.jpeg(tiny.eye(seed=7)), f"image/{EMAIL}")}
    for name in ("patient", "eye", "visit", "field", "visit_type", "captures"):
        answer = run.ask("POST", "/v1/predict", files=image, data={name: NAME, "patient": NAME})
        assert answer.status_code == 422
    for captures in (json.dumps([{"eye": NAME}]), json.dumps([{NAME: 1}]), NAME):
        form = {"patient": uid, "captures": captures}
        assert run.ask("POST", "/v1/predict/batch", files={"images": image["image"]}, data=form).status_code == 422
    assert run.ask("POST", "/v1/predict", files=image, data={"patient": uid, NAME: EMAIL}).status_code in (200, 422)


def _behind_the_service(run: Run) -> None:
    """What PostgreSQL is asked that it refuses, with a person in it."""
    url = run.settings.need("database_url").replace("postgresql+psycopg", "postgresql")
    insert = "INSERT INTO patients (external_id) VALUES (%s)"
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(insert, ["taken"])
        for statement, values in (
            (insert, ["taken"]),
            ("INSERT INTO identities (patient_id, key_id, sealed) VALUES (-1, %s, NULL)", [NAME]),
            ("INSERT INTO api_keys (id, name, hash, scopes, rate_per_minute) VALUES ('x', %s, 'x', '[]', 1)", [NAME]),
            (
                "INSERT INTO access_log (key_id, action, record, status, request_id) VALUES (%s, 'x', 'x', NULL, 'x')",
                [EMAIL],
            ),
            (f"SELECT '{NAME}' FROM nowhere", None),  # noqa: S608
        ):
            with pytest.raises(psycopg.Error):
                link.execute(statement, values)  # type: ignore[arg-type]


# and then


def test_no_log_of_the_service_or_of_a_part_of_the_stack_has_any_of_them(run: Run) -> None:
    logs = sorted({run.live.log, *run.home.rglob("*.log")})
    assert {"serve.log", "postgres.log", "s3.log"} <= {log.name for log in logs}
    assert "refused 422" in run.live.log.read_text() and "refused 409" in run.live.log.read_text()
    assert [(log.name, line) for log in logs for line in log.read_bytes().splitlines() if traces(line)] == []


def test_the_log_has_a_search_by_its_path_and_nothing_of_what_was_searched(run: Run) -> None:
    logged = [line for line in run.live.log.read_text().splitlines() if "GET /v1/patients/ " in line]
    assert [line for line in logged if " 200 " in line]
    assert [line for line in logged if not re.search(r"GET /v1/patients/ \d{3} \d+ ms id=[0-9a-f]{32}$", line)] == []


def test_nothing_crashed(run: Run) -> None:
    assert not [one for one in run.errors if one.startswith("500")]
    assert "crashed" not in run.live.log.read_text() and "Traceback" not in run.live.log.read_text()


def test_the_log_of_postgresql_says_what_failed_and_not_of_whom(run: Run) -> None:
    log = (run.home / "logs" / "postgres.log").read_text()
    assert "duplicate key value violates unique constraint" in log and "violates check constraint" in log
    assert not re.search("DETAIL|STATEMENT|CONTEXT|parameters", log)


def test_no_error_and_no_figure_has_any_of_them(run: Run) -> None:
    assert len(run.errors) > 250 and "clarity_" in run.figures[0]
    assert [(found, one[:300]) for one in (*run.errors, *run.figures) if (found := traces(one))] == []


def test_no_row_of_any_table_has_any_of_them_in_the_clear_not_even_of_the_access_log(run: Run) -> None:
    whole = dict(run.tables())
    assert len(whole) > 12 and "GET /v1/patients/{id}" in whole["access_log"] and whole["identities"]
    assert {name: found for name, rows in whole.items() if (found := traces(rows))} == {}


def test_no_file_of_the_database_has_any_of_them_not_even_its_log_of_writes(run: Run) -> None:
    files = [one for one in (run.home / "postgres").rglob("*") if one.is_file()]
    assert any("pg_wal" in str(one) for one in files)
    assert {str(one): found for one in files if (found := traces(one.read_bytes()))} == {}


def test_nothing_beside_the_database_and_the_store_has_any_of_them(run: Run) -> None:
    folders = [one for one in run.home.iterdir() if one.name not in ("postgres", "s3")]
    files = [one for folder in folders for one in (folder, *folder.rglob("*")) if one.is_file()]
    assert {str(one): found for one in files if (found := traces(one.read_bytes()))} == {}
