"""A live process on loopback: what it answers to photographs and to everything that is none."""

import base64
import io
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from clarity import grades
from clarity.inference import heatmap
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Graded, Grader
from serving.records import Predicted
from serving.schemas import Problem
from tests import tiny
from tests.serving.live import Live, serving

MAX_BYTES = 400_000
EYE = tiny.jpeg(tiny.eye())
BLANK = tiny.jpeg(np.full((300, 300, 3), 255, np.uint8))


@pytest.fixture(scope="module")
def live(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    limits = home / "limits.yaml"
    limits.write_text(f"serving:\n  max_upload_bytes: {MAX_BYTES}\n  timeout_s: 20.0\n")
    with serving(home / "serve", "--bundle", str(bundle.path), configuration=[limits]) as running:
        yield running


def refused(response: httpx.Response, status: int, code: str) -> Problem:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    problem = Problem.model_validate(response.json())
    assert (problem.status, problem.code) == (status, code)
    assert problem.request_id == response.headers["x-request-id"]
    return problem


def test_it_answers_what_the_library_says_of_the_same_bytes(live: Live, bundle: Bundle) -> None:
    response = live.predict(EYE)
    assert response.status_code == 200
    answer = Predicted.model_validate(response.json())
    with Grader(bundle, Engine.load(bundle, threads=1), "x") as grader:
        (wanted,) = grader.grade([EYE])
    assert isinstance(wanted, Graded) and wanted.prediction is not None
    assert answer.grade == wanted.prediction.grade and answer.name == grades.name(wanted.prediction.grade)
    np.testing.assert_allclose(answer.probabilities or [], wanted.prediction.probabilities, atol=1e-5)
    assert answer.referable == wanted.prediction.referable
    assert answer.referable_threshold == bundle.spec.thresholds.referable
    assert answer.fingerprint == bundle.spec.fingerprint
    assert answer.model_version == f"bundle-{bundle.digest[:12]}"


def test_every_answer_says_what_was_not_assessed_and_what_clarity_is_not(live: Live) -> None:
    for photograph in (EYE, BLANK):
        answer = live.predict(photograph).json()
        assert answer["macular_oedema"] == "not assessed"
        assert "not a medical device" in answer["statement"]


@pytest.mark.parametrize("kind", ["image/jpeg", "image/x-anything", "application/octet-stream", "IMAGE/JPEG; q=1"])
def test_an_image_as_the_whole_body_is_the_same_as_in_a_form(live: Live, kind: str) -> None:
    with live.client as client:
        raw = client.post("/predict", content=EYE, headers={"content-type": kind})
    assert raw.status_code == 200
    assert raw.json()["probabilities"] == pytest.approx(live.predict(EYE).json()["probabilities"], abs=1e-6)


def test_a_form_may_have_other_fields_beside_the_image(live: Live) -> None:
    assert live.predict(EYE, data={"eye": "left", "note": "Grüße"}).status_code == 200


def test_the_heatmap_is_a_picture_without_metadata(live: Live) -> None:
    original = io.BytesIO()
    photograph = PillowImage.fromarray(tiny.eye())
    exif = photograph.getexif()
    exif[0x0132] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    photograph.save(original, "JPEG", exif=exif, quality=95)
    drawn = live.predict(original.getvalue()).json()["heatmap"]
    data = base64.b64decode(drawn["data"], validate=True)
    assert b"2020" not in data
    with PillowImage.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.size) == ("PNG", (drawn["width"], drawn["height"]))
        assert picture.info == {} and not picture.getexif()


@pytest.mark.parametrize("subject", [0, 4, "referable"])
@pytest.mark.parametrize("format", ["png", "webp"])
def test_the_caller_chooses_what_the_heatmap_explains_and_its_kind_of_file(
    live: Live, subject: int | str, format: str
) -> None:
    plain = live.predict(EYE).json()
    answer = live.predict(EYE, params={"heatmap": subject, "format": format}).json()
    drawn = Predicted.model_validate(answer).heatmap
    assert drawn is not None and (drawn.subject, drawn.media_type) == (subject, f"image/{format}")
    assert answer["grade"] == plain["grade"], "what is explained does not change what is found"
    data = base64.b64decode(drawn.data, validate=True)
    with PillowImage.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.size) == (format.upper(), (drawn.width, drawn.height))
    wanted = heatmap.evidence(heatmap.numbers(data), drawn.subject)
    np.testing.assert_allclose(drawn.cells, wanted, atol=2e-2, rtol=2e-3)


@pytest.mark.parametrize("asked", [{"heatmap": "5"}, {"heatmap": "worst"}, {"heatmap": ""}, {"format": "gif"}])
def test_an_unknown_class_or_kind_of_file_is_a_problem(live: Live, asked: dict[str, str]) -> None:
    problem = refused(live.predict(EYE, params=asked), 422, "invalid_parameter")
    assert problem.detail.startswith(next(iter(asked)))


def test_an_ungradable_photograph_has_no_grade_and_is_never_no_dr(live: Live) -> None:
    response = live.predict(BLANK)
    answer = Predicted.model_validate(response.json())
    assert response.status_code == 200 and answer.outcome == "ungradable"
    for found in (answer.grade, answer.name, answer.probabilities, answer.confidence, answer.referable):
        assert found is None
    assert answer.vision_threatening is None and answer.heatmap is None
    assert answer.quality.reasons and answer.advice and 'not "no DR"' in answer.advice
    assert grades.NAMES[0] not in response.text


BAD_PHOTOGRAPHS = {
    "nothing": (b"", 422, "unreadable_image"),
    "text": (b"this is a text named .jpg", 422, "unreadable_image"),
    "half a photograph": (EYE[: len(EYE) // 2], 422, "unreadable_image"),
    "noise": (np.random.default_rng(0).bytes(5000), 422, "unreadable_image"),
    "a bomb": (tiny.bomb(), 413, "image_too_large"),
    "a film": (b"\x00\x00\x00\x18ftypmp42" + bytes(4000), 422, "unreadable_image"),
    "a zip": (b"PK\x03\x04" + bytes(100), 422, "unreadable_image"),
    "too many bytes": (bytes(MAX_BYTES + 1), 413, "body_too_large"),
}


@pytest.mark.parametrize(("data", "status", "code"), BAD_PHOTOGRAPHS.values(), ids=BAD_PHOTOGRAPHS)
@pytest.mark.parametrize("form", [True, False], ids=["in a form", "as the body"])
def test_what_is_no_photograph_is_refused_by_name(
    live: Live, *, data: bytes, status: int, code: str, form: bool
) -> None:
    with live.client as client:
        sent = {"files": {"image": ("../../etc/passwd.jpg", data)}} if form else {"content": data}
        headers = {} if form else {"content-type": "image/jpeg"}
        refused(client.post("/predict", headers=headers, **sent), status, code)  # type: ignore[arg-type]


BOUNDARY = {"content-type": "multipart/form-data; boundary=xyz"}
PART = b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
BAD_BODIES = {
    "no body at all": ({}, b"", 415, "unsupported_body"),
    "json": ({"content-type": "application/json"}, b'{"image": 1}', 415, "unsupported_body"),
    "broken json": ({"content-type": "application/json"}, b"{", 415, "unsupported_body"),
    "a plain form": ({"content-type": "application/x-www-form-urlencoded"}, b"image=1", 415, "unsupported_body"),
    "no boundary": ({"content-type": "multipart/form-data"}, PART + EYE, 400, "malformed_body"),
    "another boundary": (BOUNDARY, PART.replace(b"xyz", b"abc") + EYE, 400, "malformed_body"),
    "an unknown charset": (
        {"content-type": "multipart/form-data; boundary=xyz; charset=klingon"},
        PART.replace(b"image", b"im\xffge") + EYE + b"\r\n--xyz--\r\n",
        422,
        "missing_image",
    ),
    "an empty form": (BOUNDARY, b"--xyz--\r\n", 422, "missing_image"),
    "another field": (BOUNDARY, PART.replace(b"image", b"photo") + EYE + b"\r\n--xyz--\r\n", 422, "missing_image"),
    "a text in the field": (
        BOUNDARY,
        b'--xyz\r\nContent-Disposition: form-data; name="image"\r\n\r\nhello\r\n--xyz--\r\n',
        422,
        "missing_image",
    ),
    "too many parts": (BOUNDARY, (PART + b"x\r\n") * 40 + b"--xyz--\r\n", 400, "malformed_body"),
    "too large a form": (BOUNDARY, PART + bytes(MAX_BYTES + 100_000), 413, "body_too_large"),
    "too large a text": (
        BOUNDARY,
        b'--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + b"a" * 100_000 + b"\r\n--xyz--\r\n",
        400,
        "malformed_body",
    ),
}


@pytest.mark.parametrize(("headers", "body", "status", "code"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_is_not_as_documented_is_refused_by_name(
    live: Live, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    with live.client as client:
        refused(client.post("/predict", content=body, headers=headers), status, code)


def test_a_body_without_a_length_is_cut_off_where_it_becomes_too_large(live: Live) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(MAX_BYTES // 10_000 + 20):
            yield bytes(10_000)

    with live.client as client:
        response = client.post("/predict", content=endless(), headers={"content-type": "image/jpeg"})
    refused(response, 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/predict", 405, "unknown_method"),
        ("DELETE", "/predict", 405, "unknown_method"),
        ("POST", "/health", 405, "unknown_method"),
        ("GET", "/nowhere", 404, "unknown_path"),
        ("GET", "/..%2f..%2fetc/passwd", 404, "unknown_path"),
        ("POST", "/predict/patient/1", 404, "unknown_path"),
        ("GET", "/info", 404, "unknown_path"),
    ],
)
def test_an_unknown_path_or_method_is_a_problem_too(live: Live, method: str, path: str, status: int, code: str) -> None:
    with live.client as client:
        refused(client.request(method, path), status, code)


KINDS = ["multipart/form-data; boundary=xyz", "image/jpeg", "image/png", "application/dicom", "text/plain", ""]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    body=st.binary(max_size=600)
    | st.binary(max_size=200).map(lambda data: PART + data + b"\r\n--xyz--\r\n")
    | st.integers(0, len(EYE)).map(lambda end: EYE[:end])
    | st.integers(0, 600).map(lambda at: EYE[:at] + b"\x00\xff" + EYE[at + 2 :]),
)
def test_no_body_whatsoever_gives_a_500(live: Live, kind: str, body: bytes) -> None:
    with live.client as client:
        response = client.post("/predict", content=body, headers={"content-type": kind.strip()})
    assert response.status_code in (200, 400, 413, 415, 422), response.text
    (Predicted if response.status_code == 200 else Problem).model_validate(response.json())


def test_bad_photographs_in_a_crowd_cost_themselves_alone(live: Live) -> None:
    crowd = [EYE, b"", EYE, BLANK, b"text", EYE[:900], EYE, tiny.bomb(), EYE, BLANK] * 3
    with ThreadPoolExecutor(10) as pool:
        statuses = [response.status_code for response in pool.map(live.predict, crowd)]
    assert statuses == [200, 422, 200, 200, 422, 422, 200, 413, 200, 200] * 3


def test_a_caller_who_hangs_up_harms_nobody(live: Live) -> None:
    address = httpx.URL(live.url)
    head = f"POST /predict HTTP/1.1\r\nHost: clarity\r\nContent-Type: image/jpeg\r\nContent-Length: {len(EYE)}\r\n\r\n"
    for sent in (head.encode(), head.encode() + EYE[:100], head.encode() + EYE):
        with socket.create_connection((address.host, address.port or 80), timeout=5) as caller:
            caller.sendall(sent)
    assert live.predict(EYE).status_code == 200


def test_the_documentation_says_what_is_answered(live: Live) -> None:
    with live.client as client:
        assert "swagger" in client.get("/docs").text.lower()
        document = client.get("/openapi.json").json()
    assert {"/v1/predict", "/v1/model", "/health", "/ready", "/metrics"} <= set(document["paths"])
    predict = document["paths"]["/v1/predict"]["post"]
    body = predict["requestBody"]["content"]
    assert body["multipart/form-data"]["schema"]["required"] == ["image"] and "image/*" in body
    answers = predict["responses"]
    assert answers["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Predicted"}
    for status in ("400", "413", "415", "422", "503"):
        assert answers[status]["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }
    assert document["components"]["schemas"]["Predicted"]["properties"]["macular_oedema"]["const"] == "not assessed"


def test_the_documentation_page_loads_everything_from_this_machine(live: Live) -> None:
    with live.client as client:
        page = client.get("/docs").text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(loaded) == 3
        for address in loaded:
            assert address.startswith("/docs/assets/"), address
            assert len(client.get(address).raise_for_status().content) > 1000
    assert "://" not in page


def test_the_log_has_the_request_id_and_nothing_of_the_patient(live: Live) -> None:
    with live.client as client:
        answers = [
            client.post("/predict", files={"image": ("Erika Mustermann 1951.jpg", data)}, params={"name": "Mustermann"})
            for data in (EYE, b"Mustermann")
        ]
        client.get("/Mustermann")
    log = live.log.read_text()
    assert all(answer.headers["x-request-id"] in log for answer in answers)
    assert "Mustermann" not in log and "Traceback" not in log


def test_no_process_of_the_server_has_torch_loaded(live: Live) -> None:
    live.predict(EYE)
    for process in live.processes():
        loaded = {Path(region.path).name for region in process.memory_maps()}
        assert not {name for name in loaded if "torch" in name}, process.cmdline()
