"""The worklist on a real PostgreSQL: its order, its pages, and that it never reads more than it shows."""

import json
import random
import re
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from typer.testing import CliRunner

from clarity.cli import app
from clarity.errors import ParameterError
from clarity.settings import Settings
from clarity.storage import database, worklist
from clarity.storage.worklist import Cursor, Filters
from tests.integration.clinic import V1, V2, Clinic

ROWS = 6000
TODAY = date(2026, 11, 22)


@pytest.fixture
def clinic(settings: Settings) -> Iterator[Clinic]:
    engine = database.engine(settings.need("database_url"))
    yield Clinic(engine)
    engine.dispose()


@pytest.fixture
def filled(clinic: Clinic) -> Clinic:
    """6,000 outcomes of every priority, with and without due dates, reviewed and superseded ones among them."""
    seed = random.Random(4)
    with database.connection(clinic.engine) as link:
        link.execute(
            text("INSERT INTO patients (external_id) SELECT 'P' || n FROM generate_series(1, :rows) n"),
            {"rows": ROWS},
        )
        rows = [
            {
                "patient": number,
                "priority": priority,
                "result": ("refer", "refer", "review", "incomplete", "no referral")[priority],
                "due": None if seed.random() < 0.1 else TODAY + timedelta(days=seed.randrange(60)),
                "superseded": seed.random() < 0.1,
                "reviewed": seed.random() < 0.2,
            }
            for number in range(1, ROWS + 1)
            for priority in [seed.randrange(5)]
        ]
        link.execute(
            text(
                "INSERT INTO outcomes (patient_id, visit, model, model_version, result, reasons, priority, due_on,"
                " superseded, reviewed_at) VALUES (:patient, 'v1', 'clarity-dr', '1', :result, '[]', :priority, :due,"
                " :superseded, CASE WHEN :reviewed THEN now() END)"
            ),
            rows,
        )
        link.execute(text("ANALYZE"))
    return clinic


def test_what_waits_is_counted_by_priority_with_its_earliest_date(
    filled: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now = "reviewed_at IS NULL AND NOT superseded"
    with database.session(filled.engine) as session:
        found = worklist.standing(session)
        counted = f"SELECT count(*), min(due_on) FROM outcomes WHERE priority = :p AND {open_now}"  # noqa: S608
        for priority in range(4):
            visits, due = session.execute(text(counted), {"p": priority}).tuples().one()
            assert (found[priority].visits, found[priority].due_on) == (visits, due)
        monkeypatch.setattr(worklist, "MOST_COUNTED", 100)
        assert [one.visits for one in worklist.standing(session)] == [100] * 4


def walk(clinic: Clinic, limit: int, filters: Filters | None = None) -> list[worklist.Entry]:
    """Every page, through the cursor's text as a client sends it back."""
    entries: list[worklist.Entry] = []
    cursor: Cursor | None = None
    while True:
        with database.session(clinic.engine) as session:
            page = worklist.page(session, cursor, filters, limit)
        assert len(page.entries) <= limit
        entries += page.entries
        if page.following is None:
            return entries
        cursor = Cursor.parse(str(page.following))


def open_ids(clinic: Clinic) -> list[int]:
    """The order said another way, sorted by the database without the index's help."""
    with database.connection(clinic.engine) as link:
        found = link.execute(
            text(
                "SELECT id FROM outcomes WHERE reviewed_at IS NULL AND NOT superseded AND result <> 'no referral'"
                " ORDER BY priority, coalesce(due_on, 'infinity'), id"
            )
        )
        return list(found.scalars())


@pytest.mark.parametrize("limit", [7, 250, 1000])
def test_the_pages_together_are_the_whole_list_in_its_order_once(filled: Clinic, limit: int) -> None:
    if limit == 7:  # thousands of pages add nothing: the first 40, and around each change of priority by the others
        with database.session(filled.engine) as session:
            cursor, seen = None, []
            for _ in range(40):
                page = worklist.page(session, cursor, None, limit)
                seen += [entry.cursor.id for entry in page.entries]
                cursor = page.following
        assert seen == open_ids(filled)[: len(seen)]
        return
    assert [entry.cursor.id for entry in walk(filled, limit)] == open_ids(filled)


def test_a_page_may_end_anywhere_also_where_due_dates_end_and_priorities_change(filled: Clinic) -> None:
    expected = open_ids(filled)
    entries = walk(filled, 1000)
    ends = [
        n
        for n in range(1, len(entries))
        if (entries[n].cursor.priority, entries[n].cursor.due_on is None)
        != (entries[n - 1].cursor.priority, entries[n - 1].cursor.due_on is None)
    ]
    assert len(ends) == 7  # four priorities, each with and without a date
    for end in ends:
        for behind in (end - 1, end, end + 1):
            with database.session(filled.engine) as session:
                page = worklist.page(session, entries[behind - 1].cursor, None, 3)
            assert [entry.cursor.id for entry in page.entries] == expected[behind : behind + 3]


def test_what_is_reviewed_between_two_pages_shifts_nothing(filled: Clinic) -> None:
    expected = open_ids(filled)
    with database.session(filled.engine) as session:
        first = worklist.page(session, None, None, 10)
    with database.connection(filled.engine) as link:
        link.execute(text("UPDATE outcomes SET reviewed_at = now() WHERE id = ANY(:ids)"), {"ids": expected[:10]})
    with database.session(filled.engine) as session:
        second = worklist.page(session, first.following, None, 10)
    assert [entry.cursor.id for entry in second.entries] == expected[10:20]


def test_filters_narrow_the_list_and_keep_its_order(filled: Clinic) -> None:
    everything = walk(filled, 1000)
    for filters, kept in (
        (Filters(priority=2), lambda entry: entry.cursor.priority == 2),
        (Filters(result="incomplete"), lambda entry: entry.result == "incomplete"),
        (
            Filters(due_by=TODAY + timedelta(days=7)),
            lambda entry: entry.cursor.due_on is not None and entry.cursor.due_on <= TODAY + timedelta(days=7),
        ),
    ):
        assert walk(filled, 500, filters) == [entry for entry in everything if kept(entry)]


def plans(clinic: Clinic, cursor: Cursor | None, *, generic: bool) -> list[str]:
    """How PostgreSQL would run each query of a page; ``generic``: as a prepared statement, values unknown."""
    found = []
    for query in worklist.queries(cursor, Filters()):
        compiled = query.limit(50).compile(
            dialect=postgresql.dialect(paramstyle="named"), compile_kwargs={"literal_binds": not generic}
        )
        statement, number = str(compiled), 0
        if generic:

            def dollar(_: re.Match[str]) -> str:
                nonlocal number
                number += 1
                return f"${number}"

            statement = re.sub(r"(?<!:):\w+", dollar, statement)
        option = "GENERIC_PLAN" if generic else "ANALYZE, BUFFERS"
        with clinic.engine.connect() as link:
            rows = link.exec_driver_sql(f"EXPLAIN ({option}) {statement}").scalars()
            found.append("\n".join(rows))
    return found


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("place", ["first", "dated", "undated", "last"])
def test_a_page_reads_the_index_in_its_order_and_sorts_nothing(filled: Clinic, place: str, generic: bool) -> None:
    entries = walk(filled, 1000)
    cursor = {
        "first": None,
        "dated": next(e.cursor for e in entries[len(entries) // 2 :] if e.cursor.due_on),
        "undated": next(e.cursor for e in entries[len(entries) // 2 :] if not e.cursor.due_on),
        "last": entries[-2].cursor,
    }[place]
    for plan in plans(filled, cursor, generic=generic):
        assert "ix_outcomes_worklist" in plan, plan
        assert "Seq Scan" not in plan and "Rows Removed by Filter" not in plan, plan
        if "due_on IS NULL" in plan:  # rows that no visit with a capture has: a few may be put in order in memory
            continue
        assert "Sort" not in plan, plan
        assert all(float(rows) <= 50 for rows in re.findall(r"actual time=\S+ rows=([\d.]+)", plan)), plan


WRONG = ["", "x", "4_none_1", "0_2026-13-01_1", "0_none_-1", "0_none_1; DROP", "0_none_" + "9" * 30]


@pytest.mark.parametrize("said", WRONG)
def test_what_is_no_cursor_is_refused(said: str) -> None:
    with pytest.raises(ParameterError, match="not one that a page"):
        Cursor.parse(said)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_a_size(clinic: Clinic, limit: int) -> None:
    with database.session(clinic.engine) as session, pytest.raises(ParameterError, match="limit"):
        worklist.page(session, None, None, limit)


def test_the_order_is_threat_referable_uncertain_ungradable_and_the_rest_is_not_shown(clinic: Clinic) -> None:
    grades = {"calm": (0, 1), "moderate": (2, 0), "severe": (0, 3), "proliferative": (4, 4)}
    for patient, pair in grades.items():
        clinic.join([clinic.seen(eye, g, patient=patient) for eye, g in zip(("left", "right"), pair, strict=True)])
    clinic.join([clinic.seen("left", 1, "near", patient="unsure"), clinic.seen("right", 0, patient="unsure")])
    clinic.join([clinic.scan("blind", "left", state="ungradable", reasons=["blurred"])])
    clinic.join([clinic.seen("left", 0, patient="blind")])
    names = [entry.patient for entry in walk(clinic, 2)]
    assert set(names[:2]) == {"severe", "proliferative"}
    assert names[2:] == ["moderate", "unsure", "blind"]


def test_an_entry_says_where_to_look_and_leaves_with_its_review(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 2), clinic.seen("right", 0)]
    clinic.join(shas)
    (entry,) = walk(clinic, 10)
    assert {(shown.sha256, shown.eye) for shown in entry.captures} == {(shas[0], "left"), (shas[1], "right")}
    assert entry.action.startswith("Refer") and entry.macular_oedema == "not assessed"
    clinic.review(shas[0], "agree")
    assert walk(clinic, 10) == []


def test_only_the_version_that_stands_is_shown(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 2), clinic.seen("right", 0)]
    clinic.join(shas, V1)
    for sha in shas:
        clinic.say(sha, 4, V2)
    clinic.join(shas, V2)
    (entry,) = walk(clinic, 10)
    assert (entry.model_version, entry.cursor.priority) == ("2", 0)


# the commands


def test_the_command_shows_the_list_and_pages_through_it(clinic: Clinic, settings: Settings) -> None:
    for number in range(3):
        clinic.join([clinic.seen("left", 4, patient=f"P{number}"), clinic.seen("right", 0, patient=f"P{number}")])
    answer = CliRunner().invoke(app, ["worklist", "--json", "--limit", "2"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert [entry["patient"] for entry in told["entries"]] == ["P0", "P1"]
    assert told["entries"][0]["due_on"] == "2026-11-21" and "not a medical device" in told["notice"]
    rest = CliRunner().invoke(app, ["worklist", "--json", "--after", told["following"]])
    assert [entry["patient"] for entry in json.loads(rest.stdout)["entries"]] == ["P2"]
    shown = CliRunner().invoke(app, ["worklist"])
    assert "P0" in shown.stdout and "vision-threatening" in shown.stdout and "not a medical device" in shown.stdout


def test_the_command_reviews_and_says_what_became_of_the_visit(clinic: Clinic, settings: Settings) -> None:
    shas = [clinic.seen("left", 2), clinic.seen("right", 1, "near the threshold")]
    clinic.join(shas)
    answer = CliRunner().invoke(app, ["review", shas[0], "--agree", "--reviewer", "dr-1"])
    assert answer.exit_code == 0 and "stays on the worklist" in answer.stdout, answer.output
    answer = CliRunner().invoke(
        app, ["review", shas[1][:10], "--grade", "0", "--reviewer", "dr-1", "--comment", "an artefact"]
    )
    assert answer.exit_code == 0 and "off the worklist" in answer.stdout, answer.output
    assert "refer" in answer.stdout
    assert "No visit waits" in CliRunner().invoke(app, ["worklist"]).stdout


@pytest.mark.parametrize("options", [[], ["--agree", "--ungradable"], ["--agree", "--grade", "2"], ["--grade", "7"]])
def test_the_command_wants_one_decision(clinic: Clinic, settings: Settings, options: list[str]) -> None:
    sha = clinic.seen("left", 2)
    clinic.join([sha])
    answer = CliRunner().invoke(app, ["review", sha, "--reviewer", "dr-1", *options])
    assert answer.exit_code != 0
    assert "Traceback" not in answer.output
    assert walk(clinic, 10)
