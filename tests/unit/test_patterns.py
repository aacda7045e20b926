"""File names that say whose a photograph is: checked when the configuration is read, harmless whatever the name."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarity import params as parameters
from clarity import patterns
from clarity.errors import ParameterError

PROJECT = Path(__file__).resolve().parents[2]
USUAL = r"(?:.*/)?(?P<patient>[^/_]+)_(?P<captured_at>\d{8})_(?P<eye>OD|OS)\.jpe?g"


def test_a_name_that_fits_says_patient_eye_and_time() -> None:
    assert patterns.match("clinic-7/A17_20261122_OS.jpg", [USUAL]) == {
        "patient": "A17",
        "eye": "OS",
        "captured_at": "20261122",
    }


@pytest.mark.parametrize("name", ["A17_20261122_OS.jpg.exe", "A17_OS.jpg", "", "A17_20261122_OS.jpg\n"])
def test_only_a_whole_name_fits(name: str) -> None:
    assert patterns.match(name, [USUAL]) == {}


def test_the_first_pattern_that_fits_is_the_one() -> None:
    other = r"(?P<eye>left|right)/(?P<patient>[^/]+)\.png"
    assert patterns.match("left/B2.png", [USUAL, other]) == {"eye": "left", "patient": "B2"}


@pytest.mark.parametrize(
    ("pattern", "verdict"),
    [
        ("(?P<patient>", "no RE2 expression"),
        (r"(?P<patient>.)(?=x)(?P<eye>.)", "no RE2 expression"),
        (r"(?P<patient>.)_(?P<side>.)", "side: not one of patient, eye"),
        (r"(?P<patient>.+)\.jpg", "no group eye"),
        (r".+\.jpg", "no group patient and no group eye"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_with_the_configuration(
    pattern: str, verdict: str, tmp_path: Path
) -> None:
    overlay = tmp_path / "patterns.yaml"
    overlay.write_text(f"screening:\n  patterns: ['{pattern}']\n")
    with pytest.raises(ParameterError, match=verdict):
        parameters.load(PROJECT / "conf/pipeline.yaml", overlay)


def test_no_pattern_and_no_name_can_hold_up_a_night() -> None:
    evil = r"(?P<patient>(a+)+)+(?P<eye>(.*.*.*)*)!"
    patterns.check(evil)
    began = time.perf_counter()
    assert patterns.match("a" * 1024, [evil]) == {}
    assert time.perf_counter() - began < 10  # tried every way, this name would outlast the night


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(codec="utf-8")))
def test_any_name_fits_or_does_not(name: str) -> None:
    assert set(patterns.match(name, [USUAL])) in (set(), {"patient", "eye", "captured_at"})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_is_refused_by_a_sentence(text: str) -> None:
    try:
        patterns.check(text)
    except ValueError as error:
        assert str(error)
    else:
        patterns.match("a.jpg", [text])
