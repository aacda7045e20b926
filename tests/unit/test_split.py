"""The split: by patient, the same for ever, official sides kept, nobody and nothing on two sides."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarity.data import manifest, split
from clarity.data.manifest import COLUMNS
from clarity.data.merge import merge, nothing
from clarity.errors import LeakError
from clarity.params import Params, SplitParams

PARAMS = SplitParams(validation=0.2, test=0.2, salt="clarity")
NOBODY = pd.DataFrame({"patient_a": [], "patient_b": []}, dtype=str)


def table(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Rows of (source, patient, official side), two photographs each."""
    records = [
        dict.fromkeys(COLUMNS, "")
        | {"sha256": f"{n:04d}{eye}", "source": source, "patient": f"{source}:{patient}", "split": side, "eye": eye}
        | {"name": f"{patient}_{eye}", "grade": 0, "width": 9, "height": 9, "bytes": 9}
        for n, (source, patient, side) in enumerate(rows)
        for eye in ("left", "right")
    ]
    return manifest.typed(pd.DataFrame(records, columns=list(COLUMNS)))


def many(count: int, source: str = "s", side: str = "") -> list[tuple[str, str, str]]:
    return [(source, str(n), side) for n in range(count)]


def pictured(frame: pd.DataFrame) -> pd.DataFrame:
    """No photograph looks like another."""
    random = np.random.default_rng(0)
    hashes = [(random.bytes(8).hex(), random.bytes(32).hex()) for _ in range(len(frame))]
    return frame.assign(phash=[short for short, _ in hashes], detail=[long for _, long in hashes])


def pairs(frame: pd.DataFrame, *patients: tuple[str, str]) -> pd.DataFrame:
    first = frame.drop_duplicates("patient").set_index("patient")
    rows = [
        {"sha256_a": first.loc[a, "sha256"], "patient_a": a, "name_a": first.loc[a, "name"],
         "sha256_b": first.loc[b, "sha256"], "patient_b": b, "name_b": first.loc[b, "name"]}
        for a, b in patients
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_both_eyes_of_a_patient_stand_on_one_side_and_shares_are_about_those_asked_for() -> None:
    frame = table(*many(2000))
    sides = split.assign(frame, PARAMS, NOBODY)
    assert (sides.groupby(frame["patient"]).nunique() == 1).all()
    assert sides.value_counts(normalize=True)["test"] == pytest.approx(0.2, abs=0.03)
    assert sides.value_counts(normalize=True)["validation"] == pytest.approx(0.2, abs=0.03)
    split.check(frame, sides, NOBODY)


@settings(max_examples=20)
@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=60), st.sets(st.integers(0, 10_000), max_size=60))
def test_adding_patients_moves_nobody(before: set[int], more: set[int]) -> None:
    small = table(*[("s", str(n), "") for n in sorted(before)])
    large = table(*[("s", str(n), "") for n in sorted(before | more)])
    side = split.assign(large, PARAMS, NOBODY).groupby(large["patient"]).first()
    old = split.assign(small, PARAMS, NOBODY).groupby(small["patient"]).first()
    assert (side[old.index] == old).all()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=25),
       st.lists(st.sampled_from(["", "train", "test"]), min_size=31, max_size=31))  # fmt: skip
def test_linked_patients_are_never_parted(links: list[tuple[int, int]], official: list[str]) -> None:
    frame = table(*[("s", str(n), side) for n, side in enumerate(official)])
    linked = (
        pairs(frame, *[(f"s:{a}", f"s:{b}") for a, b in links if a != b]) if any(a != b for a, b in links) else NOBODY
    )
    sides = split.assign(frame, PARAMS, linked)
    used = sides[sides != ""]
    by_patient = used.groupby(frame["patient"][used.index]).agg(set)
    assert all(len(side) == 1 for side in by_patient)
    for a, b in zip(linked["patient_a"], linked["patient_b"], strict=True):
        if a in by_patient.index and b in by_patient.index:
            assert by_patient[a] == by_patient[b]


def test_official_sides_are_kept_where_there_is_an_official_test() -> None:
    rows = [
        *many(5, side="test"),
        *[("s", f"v{n}", "validation") for n in range(5)],
        *[("s", f"t{n}", "train") for n in range(50)],
    ]
    frame = table(*rows)
    assert (split.assign(frame, PARAMS, NOBODY) == frame["split"]).all()


def test_an_official_train_without_validation_gives_some_of_itself_and_never_tests() -> None:
    frame = table(*many(20, side="test"), *[("s", f"t{n}", "train") for n in range(300)])
    sides = split.assign(frame, PARAMS, NOBODY)
    assert (sides[frame["split"] == "test"] == "test").all()
    own = sides[frame["split"] == "train"]
    assert set(own) == {"train", "validation"}
    assert (own == "validation").mean() == pytest.approx(0.2, abs=0.07)


def test_when_the_official_test_comes_later_nobody_moves(params: Params) -> None:
    """Ingested again with the official test beside it, as a folder that has grown is; and once more."""
    trained = table(*[("eyepacs", f"t{n}", "train") for n in range(300)])
    grown = table(*[("eyepacs", f"t{n}", "train") for n in range(300)], *many(60, "eyepacs", "test"))
    trained, grown = pictured(trained), pictured(grown)
    first = merge(nothing(), trained.assign(reason=""), params.ingest)
    before = split.assign(first.manifest, PARAMS, NOBODY).set_axis(first.manifest["sha256"])
    assert set(before) == {"train", "validation", "test"}
    data = merge(first, grown.assign(reason=""), params.ingest)
    for again in (data, merge(data, grown.assign(reason=""), params.ingest)):
        after = split.assign(again.manifest, PARAMS, NOBODY).set_axis(again.manifest["sha256"])
        assert (after[before.index] == before).all()
        assert set(after.drop(before.index)) == {"test"}


def test_official_sides_that_come_together_lose_nobody(params: Params) -> None:
    frame = pictured(table(*[("s", f"t{n}", "train") for n in range(300)], *many(60, "s", "test")))
    data = merge(nothing(), frame.assign(reason=""), params.ingest)
    sides = split.assign(data.manifest, PARAMS, NOBODY)
    assert "" not in set(sides)
    assert set(sides[data.manifest["split"] == "test"]) == {"test"}
    assert set(sides[data.manifest["split"] == "train"]) == {"train", "validation"}


def test_the_stage_says_how_many_stand_where(tmp_path: Path, caplog: pytest.LogCaptureFixture, params: Params) -> None:
    frame = pictured(table(*many(20, side="test"), *[("s", f"t{n}", "train") for n in range(50)]))
    (tmp_path / "data").mkdir()
    for name, rows in (
        ("manifest", frame),
        ("duplicates", manifest.empty()),
        ("quarantine", manifest.empty(reason=True)),
    ):
        manifest.write(rows, tmp_path / "data" / f"{name}.csv")
    with caplog.at_level(logging.INFO, "clarity"):
        written = pd.read_csv(split.split_all(tmp_path, PARAMS, params.ingest))
    train, validation = ((written["split"] == side).sum() for side in ("train", "validation"))
    assert train + validation == 100
    assert f"split: {train} train, {validation} validation, 40 test, 0 left out" in caplog.text


def test_an_official_train_whose_test_is_not_here_is_divided_like_any_other() -> None:
    frame = table(*many(300, side="train"))
    assert set(split.assign(frame, PARAMS, NOBODY)) == {"train", "validation", "test"}


def test_a_near_duplicate_across_official_sides_stays_where_it_counts_most() -> None:
    frame = table(("s", "a", "test"), ("s", "b", "train"), ("s", "c", "train"))
    sides = split.assign(frame, PARAMS, pairs(frame, ("s:a", "s:b")))
    by_patient = sides.groupby(frame["patient"]).first()
    assert (by_patient["s:a"], by_patient["s:b"]) == ("test", "")
    assert by_patient["s:c"] in ("train", "validation")


def test_a_near_duplicate_of_an_official_test_photograph_in_another_set_follows_it() -> None:
    frame = table(("s", "a", "test"), *many(30, source="free"))
    linked = pairs(frame, *[("s:a", f"free:{n}") for n in range(30)])
    assert set(split.assign(frame, PARAMS, linked)) == {"test"}


def test_a_patient_on_two_sides_stops_the_pipeline_and_the_rows_are_named() -> None:
    frame = table(*many(50))
    sides = split.assign(frame, PARAMS, NOBODY)
    row = frame.index[(frame["patient"] == "s:7") & (frame["eye"] == "left")][0]
    sides[row] = "test" if sides[row] != "test" else "train"
    with pytest.raises(LeakError, match=r"1 patients on two sides: s:7 \(7_(left|right), .*s:7 \(7_(left|right), "):
        split.check(frame, sides, NOBODY)


def test_official_sides_that_tear_a_patient_are_found() -> None:
    frame = table(*many(3, side="train"), *many(30, source="t"), ("s", "0", "test"))
    with pytest.raises(LeakError, match="s:0"):
        split.check(frame, split.assign(frame, PARAMS, NOBODY), NOBODY)


def test_a_near_duplicate_on_two_sides_stops_the_pipeline_and_both_are_named() -> None:
    frame = table(*many(50))
    sides = split.assign(frame, PARAMS, NOBODY)
    one = frame.loc[sides == "train", "patient"].iloc[0]
    other = frame.loc[sides == "test", "patient"].iloc[0]
    with pytest.raises(LeakError, match=r"1 near-duplicates on two sides: \d+_left \(train\) and \d+_left \(test\)"):
        split.check(frame, sides, pairs(frame, (one, other)))


def test_near_duplicates_on_two_sides_are_found_where_what_links_them_is_on_no_side() -> None:
    frame = table(*many(50))
    sides = split.assign(frame, PARAMS, NOBODY)
    one, between = frame.loc[sides == "train", "patient"].unique()[:2]
    other = frame.loc[sides == "test", "patient"].iloc[0]
    sides[frame["patient"] == between] = ""
    with pytest.raises(LeakError, match=r"1 near-duplicates on two sides: \d+_left \(train\) and \d+_left \(test\)"):
        split.check(frame, sides, pairs(frame, (between, one), (between, other)))


def test_an_empty_side_is_said() -> None:
    frame = table(("s", "1", ""))
    with pytest.raises(LeakError, match="1 patients, nobody on the side"):
        split.check(frame, split.assign(frame, PARAMS, NOBODY), NOBODY)


def test_another_salt_divides_otherwise() -> None:
    frame = table(*many(200))
    other = SplitParams(validation=0.2, test=0.2, salt="other")
    assert (split.assign(frame, PARAMS, NOBODY) != split.assign(frame, other, NOBODY)).any()
