"""A night's report without its services: limits, the usual mix, and a page that nothing from outside can break."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from clarity.errors import LimitPassed, ScreeningIncomplete
from clarity.params import LimitParams
from clarity.screening import report
from clarity.screening.report import mix, night, page, plots
from clarity.screening.report.contact import SIDE, Tile
from tests.reporting import summary

LIMITS = LimitParams(quarantined_share=0.25, ungradable_share=0.4, review_share=0.5, canaries_changed=0, drift=False)
DRIFTED = {"name": "quality", "found": True, "sentence": "changed", "n": 90, "psi": 0.4, "critical": 0.1}
HOSTILE = "a|b\n# <script>alert(1)</script> '\"> \u202egpj.& é漢字 \ud800 [l](u) $x^2$"


@pytest.mark.parametrize(
    ("found", "limits", "said"),
    [
        ({}, {}, []),
        ({"scored": 60, "ungradable": 40}, {}, []),  # at the limit is not beyond it
        ({"scored": 59, "ungradable": 41}, {}, ["ungradable: 41 of 100 photographs (41.0%), more than"]),
        ({"quarantined": 400, "quarantined_new": 0}, {}, []),  # yesterday's, met again
        ({"quarantined_new": 50}, {}, ["new in quarantine: 50 of 150 photographs"]),
        ({"scored": 0, "ungradable": 0, "quarantined_new": 1}, {}, ["new in quarantine: 1 of 1"]),
        ({"scored": 90, "abstained": 46}, {}, ["left to a person by the model: 46 of 90"]),
        ({"scored": 0, "ungradable": 0, "abstained": 0}, {}, []),  # an empty inbox is no alarm
        ({"canaries_changed": ["c1.png: grade 1, grade 3 when made"]}, {}, ["canaries: 1 of 6 came back changed"]),
        ({"canaries_changed": ["c1.png: grade 1"]}, {"canaries_changed": 1}, []),
        ({"canaries": None}, {}, []),
        ({"drift": [DRIFTED]}, {}, []),
        ({"drift": [DRIFTED]}, {"drift": True}, ["drift: found in quality"]),
        ({"drift": None}, {"drift": True}, []),
        (
            {"scored": 0, "ungradable": 9, "quarantined_new": 9},
            {},
            ["new in quarantine: 9 of 18", "ungradable: 9"],
        ),
    ],
)
def test_a_limit_is_passed_beyond_it_and_said_with_its_figure(
    found: dict[str, Any], limits: dict[str, Any], said: list[str]
) -> None:
    sentences = report.judge(summary(**found), LIMITS.model_copy(update=limits))
    assert len(sentences) == len(said)
    for sentence, start in zip(sentences, said, strict=True):
        assert sentence.startswith(start) and "screening.limits." in sentence


def test_a_failure_ends_the_night_before_a_limit_does_and_a_quiet_night_ends_well() -> None:
    report.insist(summary())
    with pytest.raises(LimitPassed, match="canaries"):
        report.insist(summary(limits_passed=["canaries: 1 of 6 came back changed"]))
    with pytest.raises(ScreeningIncomplete, match="2 failures, first: score: AccessDenied"):
        report.insist(summary(errors=["score: AccessDenied"], error_count=2, limits_passed=["canaries"]))


def test_the_mix_is_usual_until_it_leaves_the_range_by_more_than_chance() -> None:
    before = [{"0": 70 + n, "1": 10, "2": 15 - n, "3": 3, "4": 2} for n in range(6)]
    usual = mix.compare({0: 77, 1: 8, 2: 12, 3: 2, 4: 1}, before)
    assert [row["outside"] for row in usual] == [False] * 5  # 77 % is above the range, and 100 photographs scatter
    assert usual[0]["median"] == pytest.approx(0.725) and usual[0]["high"] == pytest.approx(0.75)
    strange = mix.compare({0: 40, 1: 8, 2: 30, 3: 12, 4: 10}, before)
    assert [row["grade"] for row in strange if row["outside"]] == [0, 2] or strange[0]["outside"]
    assert strange[1]["outside"] is False


@pytest.mark.parametrize(
    ("tonight", "before"),
    [({}, [{"0": 10}] * 9), ({0: 9, 4: 9}, [{"0": 10}] * 4), ({0: 9}, []), ({0: 9}, [{}, {"0": 0}] * 9)],
)
def test_where_nothing_is_to_be_compared_nothing_is_unusual(
    tonight: dict[int, int], before: list[dict[str, int]]
) -> None:
    assert [row["outside"] for row in mix.compare(tonight, before)] == [None] * 5


def test_wilson_contains_the_share_and_stays_within_0_and_1() -> None:
    assert mix.wilson(9, 10, z=1.959964) == pytest.approx((0.5958, 0.9821), abs=1e-4)  # as in training.metrics
    assert mix.wilson(0, 0) == (0.0, 1.0)
    assert mix.wilson(0, 50)[0] == 0.0 and mix.wilson(50, 50)[1] == 1.0


class Page(HTMLParser):
    """What of a page a browser would fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def hostile_page() -> str:
    group = {"kind": HOSTILE, "count": 3, "new": 1, "reason": HOSTILE, "key": HOSTILE}
    told = summary(
        status="failed", quarantine=[group], errors=[HOSTILE], error_count=1, limits_passed=[HOSTILE], notified=HOSTILE,
        canaries_changed=[HOSTILE], drift=[DRIFTED | {"name": HOSTILE, "sentence": HOSTILE}], steps={HOSTILE: 1.0},
        ungradable_reasons=[{"reason": HOSTILE, "count": 1, "share": None}], run=HOSTILE, model=HOSTILE, policy=HOSTILE,
    )  # fmt: skip
    tile = Tile(np.zeros((SIDE, SIDE, 3), np.uint8), (HOSTILE, HOSTILE, HOSTILE))
    return night.page(told, night.Pictures([tile], [1] * 20, [0] * 20)).decode()


def test_a_page_fetches_nothing_runs_nothing_and_shows_what_names_try_to_hide() -> None:
    text = hostile_page()
    seen = Page(text)
    assert "script" not in seen.tags and seen.handlers == []
    assert all(address.startswith(("data:image/", "#")) for address in seen.addresses)
    assert re.findall(r"url\((?!#)", text) == []
    assert "\u202e" not in text and "\\u202e" in text.replace("\\202e", "\\u202e")
    assert "&lt;script&gt;" in text and "漢字" in text
    assert "not a medical device" in text and "Macular oedema" in text


def test_names_from_outside_become_no_markup_in_the_artifact() -> None:
    group = {"kind": "photograph", "count": 1, "new": 1, "key": "a|b\n# <x>", "reason": "[l](u)"}
    assert "\\[l\\](u) | a\\|b \\# \\<x\\> |" in report.markdown(summary(quarantine=[group]))


def test_what_is_not_known_is_said_to_be_not_known() -> None:
    nothing = summary(
        precision=None, policy=None, throughput=None, steps={}, canaries=None, drift=None, limits_known=False, scored=0,
        ungradable=0, outcomes={}, mix=mix.compare({}, []),
    )  # fmt: skip
    values = dict(report.rows(nothing))
    for name in ("precision", "referral policy", "photographs a second", "slowest step", "canaries", "drift", "limits"):
        assert values[name] == "not known", name
    text = night.page(nothing, night.Pictures()).decode()
    assert text.count("ot known") >= 6
    few = summary(drift=[DRIFTED | {"found": False, "psi": None, "critical": None}])
    assert dict(report.rows(few))["drift"].startswith("not known")


def test_a_summary_is_json_and_reads_back_as_it_was() -> None:
    told = summary()
    assert report.Summary(**json.loads(json.dumps(told.counts()))) == told


def test_plots_are_in_the_pages_colours_and_keep_their_text() -> None:
    svg = plots.grade_mix(mix.compare({0: 5, 2: 3}, [{"0": 5, "2": 3}] * 6))
    assert "2 moderate</text>" in svg and "var(--accent)" in svg and not re.search(r"#0[1-4]0", svg)
    assert "DejaVu" not in svg and ' width="' not in svg.partition(">")[0]


@pytest.mark.parametrize(("value", "said"), [(1, "1 visit"), (0, "0 visits"), (12345, "12,345 visits")])
def test_counts_agree_with_their_noun(value: int, said: str) -> None:
    assert page.many(value, "visit") == said
