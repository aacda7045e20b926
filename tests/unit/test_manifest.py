"""The manifest, and what it becomes when rows are added."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarity import params as parameters
from clarity.data import dataset, likeness, manifest
from clarity.data.groups import join
from clarity.data.manifest import COLUMNS, REASON
from clarity.data.merge import merge, nothing
from clarity.errors import ManifestError
from clarity.params import Params

INGEST = parameters.IngestParams(
    max_bad_share=0.2, near_duplicate_bits=4, near_duplicate_detail_bits=12, same_photograph_bits=8, jobs=1
)


def picture(sha: str) -> dict[str, object]:
    """A row whose perceptual hashes are as far from every other one's as chance has it."""
    random = np.random.default_rng(int.from_bytes(sha.encode(), "big") % 2**32)
    return {"sha256": sha, "phash": random.bytes(8).hex(), "detail": random.bytes(32).hex()}


def table(*rows: dict[str, object]) -> pd.DataFrame:
    base = dict.fromkeys(COLUMNS, "") | {
        "width": 512,
        "height": 512,
        "bytes": 9,
        "suffix": ".jpg",
        "eye": "left",
        REASON: "",
    }
    return manifest.typed(pd.DataFrame([base | row for row in rows], columns=[*COLUMNS, REASON]))


def row(sha: str, name: str, grade: int | None = 0, source: str = "s", **more: object) -> dict[str, object]:
    return picture(sha) | {"source": source, "name": name, "patient": f"{source}:{name}", "grade": grade} | more


def names(frame: pd.DataFrame) -> list[str]:
    return sorted(frame["name"])


def test_the_same_photograph_twice_is_one_capture() -> None:
    data = merge(nothing(), table(row("aa", "one"), row("aa", "two"), row("bb", "three")), INGEST)
    assert names(data.manifest) == ["one", "three"]
    assert names(data.duplicates) == ["two"]


def test_two_grades_for_one_photograph_quarantine_every_row_and_name_the_others() -> None:
    data = merge(nothing(), table(row("aa", "one", 1), row("aa", "two", 3), row("bb", "three")), INGEST)
    assert names(data.manifest) == ["three"]
    assert names(data.quarantine) == ["one", "two"]
    assert set(data.quarantine[REASON]) == {"two grades for one photograph: s one says 1; s two says 3"}


def test_thousands_of_rows_for_one_photograph_name_some_of_each_grade_and_say_how_many_more() -> None:
    data = merge(nothing(), table(*(row("aa", f"n{n:03d}", 1 + n // 290) for n in range(300))), INGEST)
    (reason,) = set(data.quarantine[REASON])
    first, second = (f"s n{n:03d} says {1 + n // 290}" for n in (0, 290))
    assert reason.startswith(f"two grades for one photograph: {first}; ")
    assert f"; {second}; " in reason
    assert reason.endswith("; and 290 more")
    assert len(data.quarantine) == 300


def test_an_ungraded_row_of_a_photograph_with_two_grades_is_named_too() -> None:
    said = table(row("aa", "one", None), row("aa", "two", 1), row("aa", "three", 3))
    (reason,) = set(merge(nothing(), said, INGEST).quarantine[REASON])
    assert reason == "two grades for one photograph: s one says none; s three says 3; s two says 1"


def test_a_new_row_against_an_old_one_takes_both_out() -> None:
    first = merge(nothing(), table(row("aa", "one", 1)), INGEST)
    second = merge(first, table(row("aa", "two", 3, source="t")), INGEST)
    assert len(second.manifest) == 0
    assert names(second.quarantine) == ["one", "two"]
    third = merge(second, table(row("aa", "three", 1, source="u")), INGEST)
    assert names(third.quarantine) == ["one", "three", "two"]


def test_a_photograph_encoded_again_with_another_grade_is_one_photograph_with_two_grades() -> None:
    again = row("bb", "two", 3) | {key: picture("aa")[key] for key in ("phash", "detail")}
    data = merge(nothing(), table(row("aa", "one", 1), again), INGEST)
    assert names(data.quarantine) == ["one", "two"]
    same_grade = merge(nothing(), table(row("aa", "one", 1), again | {"grade": 1}), INGEST)
    assert names(same_grade.manifest) == ["one", "two"]
    tiny = {"width": 28, "height": 28}
    assert len(merge(nothing(), table(row("aa", "one", 1) | tiny, again | tiny), INGEST).manifest) == 2


def test_a_corrected_table_takes_the_photograph_back_in() -> None:
    torn = merge(nothing(), table(row("aa", "one", 1), row("aa", "two", 3)), INGEST)
    mended = merge(torn, table(row("aa", "two", 1)), INGEST)
    assert names(mended.manifest) == ["one"]
    assert names(mended.duplicates) == ["two"]
    assert len(mended.quarantine) == 0


def test_a_photograph_that_is_no_longer_at_hand_does_not_come_back_by_itself() -> None:
    again = row("bb", "two", 3) | {key: picture("aa")[key] for key in ("phash", "detail")}
    torn = merge(nothing(), table(row("aa", "one", 1), again), INGEST)
    mended = merge(torn, table(again | {"grade": 1}), INGEST)
    assert names(mended.manifest) == ["two"]
    assert mended.quarantine[REASON].str.contains("ingest its source again").all()
    assert names(merge(mended, table(row("aa", "one", 1)), INGEST).manifest) == ["one", "two"]


def test_a_file_that_was_bad_and_is_good_now_leaves_the_quarantine() -> None:
    bad = merge(nothing(), table(row("aa", "one") | {REASON: "truncated"}), INGEST)
    assert (len(bad.manifest), names(bad.quarantine)) == (0, ["one"])
    good = merge(bad, table(row("bb", "one")), INGEST)
    assert (names(good.manifest), len(good.quarantine)) == (["one"], 0)


def test_a_relabelled_row_is_corrected_not_contradicted() -> None:
    data = merge(merge(nothing(), table(row("aa", "one", 1)), INGEST), table(row("aa", "one", 2)), INGEST)
    assert data.manifest["grade"].tolist() == [2]


def test_graded_under_one_name_and_ungraded_under_another_is_graded() -> None:
    data = merge(nothing(), table(row("aa", "one", None), row("aa", "two", 2)), INGEST)
    assert data.manifest["grade"].tolist() == [2]


seen_rows = st.lists(
    st.tuples(st.sampled_from(["aa", "bb", "cc"]), st.sampled_from("pqrs"), st.sampled_from([0, 1, None])),
    min_size=1, max_size=8, unique_by=lambda said: (said[0], said[1]),
)  # fmt: skip


@settings(max_examples=25)
@given(seen_rows)
def test_the_same_source_twice_changes_nothing(said: list[tuple[str, str, int | None]]) -> None:
    seen = table(*(row(sha, name, grade) for sha, name, grade in said))
    once = merge(nothing(), seen, INGEST)
    assert dataset.same(once, merge(once, seen, INGEST))


@settings(max_examples=25)
@given(seen_rows)
def test_every_row_is_in_exactly_one_table_and_every_capture_has_one_grade(
    said: list[tuple[str, str, int | None]],
) -> None:
    data = merge(nothing(), table(*(row(sha, name, grade) for sha, name, grade in said)), INGEST)
    assert len(data.manifest) + len(data.duplicates) + len(data.quarantine) == len(said)
    assert data.manifest["sha256"].is_unique
    torn = {sha for sha in ["aa", "bb", "cc"] if len({g for s, _, g in said if s == sha and g is not None}) > 1}
    assert set(data.manifest["sha256"]) & torn == set()


def test_the_manifest_is_written_the_same_whatever_the_order_and_read_back_whole(tmp_path: Path) -> None:
    seen = table(row("aa", "one", 3), row("bb", "two", None, eye="right"))
    for name, frame in (("a.csv", seen), ("b.csv", seen[::-1])):
        manifest.write(frame[list(COLUMNS)], tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    back = manifest.read(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(back, seen[list(COLUMNS)])


def test_a_manifest_that_is_absent_incomplete_or_has_an_unknown_grade_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="`clarity ingest` makes one"):
        manifest.read(tmp_path / "manifest.csv")
    (tmp_path / "short.csv").write_text("sha256,phash\n")
    with pytest.raises(ManifestError, match="no column detail, source"):
        manifest.read(tmp_path / "short.csv")
    manifest.write(table(row("aa", "one", 7)), tmp_path / "wrong.csv")
    with pytest.raises(ManifestError, match="grade 7 of one: not 0 to 4"):
        manifest.read(tmp_path / "wrong.csv")


# likeness


def noise(seed: int, size: int = 400) -> np.ndarray:
    import cv2

    coarse = np.random.default_rng(seed).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def hashed(*images: np.ndarray) -> pd.DataFrame:
    rows = []
    for index, image in enumerate(images):
        alike = likeness.likeness(image)
        rows.append(row(f"{index:02d}", f"n{index}") | {"phash": alike.phash, "detail": alike.detail})
    return table(*rows)


def test_a_photograph_reduced_or_encoded_again_is_found_and_others_are_not(params: Params) -> None:
    import cv2

    image = noise(1)
    encoded = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_UNCHANGED)
    small = cv2.resize(image, (200, 200), interpolation=cv2.INTER_AREA)
    before = image.copy()
    pairs = likeness.near_pairs(hashed(image, encoded, small, noise(2), noise(3)), params.ingest)
    # the hashes of n0 and n1 are equal, and n0 stands for both
    assert list(zip(pairs["name_a"], pairs["name_b"], strict=True)) == [("n0", "n1"), ("n0", "n2")]
    assert (image == before).all()


def test_photographs_of_one_patient_are_not_listed(params: Params) -> None:
    frame = hashed(noise(1), noise(1)).assign(patient="s:same")
    assert len(likeness.near_pairs(frame, params.ingest)) == 0


@given(st.lists(st.sets(st.integers(0, 127), max_size=12), max_size=40), st.integers(0, 16))
def test_close_words_are_those_that_a_slow_loop_finds(bits: list[set[int]], limit: int) -> None:
    words = [sum(1 << bit for bit in each) for each in bits]  # few bits set: near and far pairs are both common
    array = np.array([[word >> 64, word & (2**64 - 1)] for word in words], dtype=np.uint64).reshape(-1, 2)
    left, right = likeness._close(array, limit)
    slow = [
        (i, j)
        for i in range(len(words))
        for j in range(i + 1, len(words))
        if (words[i] ^ words[j]).bit_count() <= limit
    ]
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == slow


def test_thousands_of_black_frames_are_linked_in_little_time_and_memory(params: Params) -> None:
    frame = table(*(row(f"{n:04d}", f"n{n}") | {"phash": "0" * 16, "detail": "0" * 64} for n in range(2500)))
    tracemalloc.start()
    pairs = likeness.near_pairs(frame, params.ingest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pairs) == 2499
    assert set(pairs["name_a"]) == {"n0"}
    assert set(join(frame["patient"], zip(pairs["patient_a"], pairs["patient_b"], strict=True)).values()) == {"s:n0"}
    assert peak < 20e6


@given(st.lists(st.tuples(st.sets(st.integers(0, 255), max_size=8), st.integers(0, 6)), max_size=30))
def test_whom_all_near_pairs_link_is_linked(said: list[tuple[set[int], int]]) -> None:
    """Many photographs are equal here, many nearly, and a patient has several."""
    details = [sum(1 << bit for bit in bits) for bits, _ in said]
    rows = [
        row(f"{n:02d}", f"n{n}") | {"patient": f"s:{said[n][1]}", "phash": "0" * 16, "detail": f"{detail:064x}"}
        for n, detail in enumerate(details)
    ]
    frame = table(*rows)
    listed = likeness.near_pairs(frame, INGEST)
    patients = frame["patient"].tolist()
    near = [
        (patients[i], patients[j])
        for i in range(len(said))
        for j in range(i + 1, len(said))
        if (details[i] ^ details[j]).bit_count() <= INGEST.near_duplicate_detail_bits
    ]
    assert join(patients, zip(listed["patient_a"], listed["patient_b"], strict=True)) == join(patients, near)


def test_tiny_pictures_have_hashes_too() -> None:
    for size in (1, 5, 28, 63, 65):
        alike = likeness.likeness(noise(3, size))
        assert (len(alike.phash), len(alike.detail)) == (16, 64)
