"""A night's report, read back from a real PostgreSQL and written to a real S3; its page in a real browser."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import text

from clarity.inference.grader import Grader
from clarity.params import LimitParams
from clarity.screening import report
from clarity.screening.report import contact
from clarity.settings import Settings
from clarity.storage import comparison, database, keys, nights, quarantine, tables
from clarity.storage.objects import Objects
from clarity.storage.quarantine import Refused
from clarity.storage.scans import ScoredBy
from tests import tiny
from tests.integration.screening_night import Night

EYES = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(8)]
BLANKS = [tiny.jpeg(np.full((300, 300 + n, 3), 255, np.uint8)) for n in range(2)]
LIMITS = LimitParams(quarantined_share=0.9, ungradable_share=0.9, review_share=0.9, canaries_changed=0, drift=False)
RUN = "20261122T020000Z-abc"
CHROMIUM = shutil.which("chromium")


@pytest.fixture
def night(settings: Settings, grader: Grader) -> Iterator[Night]:
    engine = database.engine(settings.need("database_url"))
    yield Night(engine, Objects(settings), grader)
    engine.dispose()


def screened(night: Night, known: report.Known | None = None, limits: LimitParams | None = None) -> report.Summary:
    """A run over three eyes, two blank photographs and three files that are nobody's."""
    run = night.start(RUN)
    for number, data in enumerate(EYES[:3]):
        night.put(f"{number}.jpg", data, patient=f"pseudonym-{number}", eye="left")
    for number, data in enumerate(BLANKS):
        night.put(f"blank {number}.jpg", data, patient=f"pseudonym-b{number}", eye="right")
    for number in range(3, 6):
        night.put(f"nobody's {number}.jpg", EYES[number])
    taken = night.take_in(run_id=run)
    done = night.score(run_id=run)
    tally = {"registered": taken.registered, "quarantined": taken.quarantined + done.quarantined, "failed": 0}
    return report.summarise(night.engine, run, night.by, tally, [], known=known, limits=limits)


def sql(night: Night, statement: str, **values: object) -> None:
    with database.connection(night.engine) as link:
        link.execute(text(statement), values)


def earlier(night: Night, count: int, **changes: object) -> None:
    """Nights before, each of 100 photographs."""
    with database.session(night.engine) as session:
        for number in range(count):
            at = datetime.now(UTC) - timedelta(days=1 + number)
            by_grade = {"0": 70 + number % 3, "1": 10, "2": 15 - number % 3, "3": 3, "4": 2}
            values: dict[str, object] = {
                "id": f"before {number} {changes}", "model": "clarity-dr", "model_version": "1",
                "fingerprint": "f" * 16, "status": "completed", "started_at": at,
                "counts": {"scored": 100, "grades": by_grade},
            }  # fmt: skip
            session.add(tables.ScreeningRun(**(values | changes)))


def test_the_summary_counts_what_the_run_wrote_and_nothing_else(night: Night) -> None:
    told = screened(night, limits=LIMITS)
    assert (told.registered, told.scored, told.ungradable) == (5, 3, 2)
    assert (told.quarantined, told.quarantined_new, told.waiting_for_a_person) == (3, 3, 3)
    assert sum(told.grades.values()) == 3 and sum(told.outcomes.values()) == 5
    assert told.precision == "fp32" and told.seconds >= 0 and told.throughput
    assert sum(row["count"] for row in told.ungradable_reasons) >= 2
    assert told.ungradable_reasons[0]["share"] == pytest.approx(told.ungradable_reasons[0]["count"] / 5)
    assert told.status == "completed" and told.limits_passed == []
    night.start("the night after")
    later = report.summarise(night.engine, "the night after", night.by, {}, [])
    assert (later.scored, later.ungradable, later.quarantined_new, later.first[0]["visits"]) == (0, 0, 0, 0)
    assert later.waiting_for_a_person == 3 and later.throughput is None
    assert sum(row["waiting"] for row in later.first) == sum(row["visits"] for row in told.first) > 0


def test_hundreds_of_files_of_one_kind_of_trouble_are_one_row_with_an_example(night: Night) -> None:
    told = screened(night)
    (row,) = told.quarantine
    assert (row["count"], row["new"]) == (3, 3)
    assert row["key"].startswith("inbox/nobody's ") and "whose it is, is not known" in row["reason"]
    refused = [Refused(f"inbox/a/{n}.jpg", f"{1000 + n} bytes, more than the 900 that a photograph may have")
               for n in range(300)]  # fmt: skip
    refused += [Refused(f"inbox/b/{n}.jpg", f"eye '{n}': not left or right") for n in range(200)]
    with database.session(night.engine) as session:
        quarantine.note(session, refused, RUN)
    again = report.summarise(night.engine, RUN, night.by, {}, [])
    assert [row["count"] for row in again.quarantine] == [300, 200, 3]
    assert again.quarantine_more == 0


def test_what_is_met_again_is_not_new_and_passes_no_limit(night: Night) -> None:
    strict = LIMITS.model_copy(update={"quarantined_share": 0.1})
    assert screened(night, limits=strict).status == "failed"
    night.start("second")
    night.take_in(run_id="second")
    again = report.summarise(night.engine, "second", night.by, {"quarantined": 3}, [], limits=strict)
    assert [row["count"] for row in again.quarantine] == [3]
    assert again.quarantined_new == 0 and again.status == "completed"


def test_a_limit_that_is_passed_and_an_error_each_fail_the_night(night: Night) -> None:
    told = screened(night, report.Known(canaries=6, canaries_changed=["c1.png: grade 1, grade 3 before"]), LIMITS)
    assert told.status == "failed" and "canaries: 1 of 6" in told.limits_passed[0]
    assert report.summarise(night.engine, RUN, night.by, {}, ["score: refused"]).status == "failed"


def test_the_mix_is_compared_with_the_30_completed_nights_that_graded_something(night: Night) -> None:
    earlier(night, 33)
    earlier(night, 3, status="failed", counts={"scored": 9, "grades": {"4": 9}})
    earlier(night, 3, kind="rescore", counts={"scored": 9, "grades": {"4": 9}})
    earlier(night, 3, counts={"scored": 0, "grades": {"0": 0}})
    earlier(night, 3, counts={})
    told = screened(night)
    assert told.nights == 30
    assert told.mix[0]["median"] == pytest.approx(0.71, abs=0.011) and told.mix[4]["high"] == pytest.approx(0.02)


def test_priorities_due_dates_policy_and_abstention_are_read_from_their_rows(night: Night) -> None:
    screened(night)
    sql(night, "UPDATE outcomes SET policy = 'ada 2024.1', priority = 0, due_on = '2026-12-01' WHERE result <> 'x'")
    sql(night, "UPDATE outcomes SET due_on = '2026-11-25' WHERE id = (SELECT min(id) FROM outcomes)")
    sql(night, "UPDATE scans SET recapture = true WHERE state = 'ungradable'")
    reason = "jsonb_build_array(format('referable probability %s, within 0.05 of 0.4', round(energy_like, 3)))"
    sql(night, f"UPDATE predictions SET review_reasons = {reason.replace('energy_like', 'confidence::numeric')}")  # noqa: S608
    told = report.summarise(night.engine, RUN, night.by, {}, [])
    assert told.policy == "ada 2024.1" and told.recapture == 2 and told.abstained == 3
    assert told.first[0] == {"priority": 0, "visits": 5, "waiting": 5, "due_on": "2026-11-25"}
    assert [row["count"] for row in told.review_reasons] == [3]
    assert date.fromisoformat(told.first[0]["due_on"])


def test_the_report_lies_in_the_store_as_page_sheet_and_json(night: Night) -> None:
    known = report.Known({"register": 1.0, "score": 2.5}, 6, (), [])
    told = screened(night, known, LIMITS)
    report.write(night.objects, night.engine, told)
    page = night.objects.get(f"{told.report}report.html").decode()
    assert page.count("data:image/jpeg") == 3 and "Slowest step: score" in page and "nobody&#x27;s" in page
    sheet = cv2.imdecode(np.frombuffer(night.objects.get(f"{told.report}contact.png"), np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape[1] == 3 * (contact.SIDE + contact.GAP)
    assert report.Summary(**json.loads(night.objects.get(f"{told.report}summary.json"))) == told
    assert "pseudonym" not in page


def test_an_overlay_that_is_gone_costs_its_tile_and_not_the_report(night: Night) -> None:
    told = screened(night)
    night.objects.delete(keys.heatmap_key("clarity-dr", "1", keys.sha256(EYES[0])))
    night.objects.put(keys.heatmap_key("clarity-dr", "1", keys.sha256(EYES[1])), b"")
    report.write(night.objects, night.engine, told)
    assert night.objects.exists(f"{told.report}report.html")


def test_a_run_that_did_nothing_has_a_report_that_says_so(night: Night) -> None:
    night.start(RUN)
    told = report.summarise(night.engine, RUN, night.by, {}, [])
    report.write(night.objects, night.engine, told)
    assert b"No photograph was graded" in night.objects.get(f"{told.report}report.html")
    assert not night.objects.exists(f"{told.report}contact.png")


def test_who_changes_side_of_the_referable_line_is_counted_both_ways_and_listed(night: Night) -> None:
    screened(night)
    old, new = night.by, ScoredBy("clarity-dr", "2", "f" * 16)
    for number in range(6):
        night.put(f"more {number}.jpg", EYES[number], patient=f"pseudonym-{number}", eye="left")
    night.take_in()
    night.score()
    sql(night, "UPDATE predictions SET grade = 0, referable = false, referable_probability = 0.1")
    sick = keys.sha256(EYES[0])
    change = "UPDATE predictions SET grade = :grade, referable = :refers, referable_probability = :p"
    sql(night, f"{change} WHERE sha256 = :sha", grade=3, refers=True, p=0.9, sha=sick)
    night.by = new
    night.score([keys.sha256(data) for data in EYES[:5]])
    sql(night, f"{change} WHERE model_version = '2'", grade=2, refers=True, p=0.5)
    sql(night, f"{change} WHERE model_version = '2' AND sha256 = :sha", grade=1, refers=False, p=0.2, sha=sick)
    found = report.changes(night.engine, old, new, listed=2)
    assert (found.compared, found.only_new, found.to_referable, found.to_not_referable) == (5, 0, 4, 1)
    assert found.by_grade[0][2] == 4 and found.by_grade[3][1] == 1
    assert len(found.listed) == 2 and found.unlisted == 3
    assert all(one.new_referable for one in found.listed)  # newly referable first
    assert sum(sum(row.values()) for row in found.visits.values()) == 5
    assert report.changes(night.engine, ScoredBy("clarity-dr", "0", "f" * 16), new).only_new == 5
    key = report.write_changes(night.objects, "r2", found)
    page = night.objects.get(key).decode()
    assert found.listed[0].sha256[:12] in page and "3 more change side" in page and "pseudonym" not in page
    assert json.loads(night.objects.get("reports/r2/changes.json"))["to_referable"] == 4
    with database.session(night.engine) as session:
        *newly, lost = comparison.moved(session, old, new, 10)
    assert len(newly) == 4 and lost.sha256 == sick
    assert (lost.eye, lost.old_grade, lost.new_grade) == ("left", 3, 1)
    assert (lost.old_probability, lost.new_probability) == (0.9, 0.2)
    moves = [abs(one.new_probability - one.old_probability) for one in newly]
    assert moves == sorted(moves, reverse=True)


def test_the_version_before_is_that_of_the_latest_completed_run_of_another(night: Night) -> None:
    earlier(night, 2)
    earlier(night, 1, model_version="0", started_at=datetime.now(UTC) - timedelta(days=90))
    with database.session(night.engine) as session:
        assert nights.previous_version(session, ScoredBy("clarity-dr", "2", "f" * 16)) == night.by
        older = nights.previous_version(session, night.by)
        assert older is not None and older.version == "0"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_a_telephone_and_a_desktop(night: Night, tmp_path: Path, width: int) -> None:
    told = screened(night, report.Known({"score": 2.5}, 6, (), []), LIMITS)
    report.write(night.objects, night.engine, told)
    page = night.objects.get(f"{told.report}report.html").decode()
    # a script of the test's own, which the page's policy would refuse, writes its measures into its title
    measure = "document.title=[document.documentElement.scrollWidth,document.images.length].join()"
    open_page = page.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'", 1)
    (tmp_path / "page.html").write_text(open_page.replace("</body>", f"<script>{measure}</script></body>"))
    frame = f"<iframe id=f src=page.html style='border:0;width:{width}px;height:900px'></iframe>"
    read = "<script>f.onload=()=>document.body.dataset.seen=f.contentDocument.title</script>"
    (tmp_path / "frame.html").write_text(f"<body style='margin:0'>{frame}{read}")
    out = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--dump-dom", "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}",
         f"--window-size={width},900", f"file://{tmp_path}/frame.html"],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    assert f'data-seen="{width},3"' in out  # nothing is wider than the screen, and every overlay is there
