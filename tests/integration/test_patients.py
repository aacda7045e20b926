"""Patients on a real PostgreSQL and S3: sealed, searched, paged, rotated, erased."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from clarity.errors import (
    Erased,
    IdempotencyConflict,
    ParameterError,
    PatientError,
    PatientExists,
    SealError,
    StorageError,
    StorageUnavailable,
    UnknownRecord,
)
from clarity.patients import erasure, rotation
from clarity.patients.keyring import Keys
from clarity.patients.register import Register, Remember
from clarity.patients.search import Index, Wanted
from clarity.screening import listing
from clarity.settings import Settings
from clarity.storage import database, idempotency, quarantine, scans, tables
from clarity.storage.objects import Objects
from clarity.storage.quarantine import Refused
from tests.integration.clinic import V1, V2, Clinic

OLD, NEW = (f"{name}:{base64.b64encode(bytes([byte]) * 32).decode()}" for name, byte in (("old", 1), ("new", 2)))
SEARCH = Index(bytes(32))
BORN = date(1961, 4, 30)
ERIKA = {
    "name": "Erika Mustermann",
    "birth_date": BORN,
    "email": "erika@example.org",
    "phone": "+49 171 5550123",
    "history": "Type 2 diabetes",
}


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    made = database.engine(settings.need("database_url"), pool_size=10)
    yield made
    made.dispose()


@pytest.fixture
def register(engine: Engine) -> Register:
    return Register(engine, Keys.parse(OLD), SEARCH)


@pytest.fixture
def objects(settings: Settings) -> Objects:
    return Objects(settings)


def count(engine: Engine, table: type[tables.Base]) -> int:
    with database.session(engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def remember(request: bytes, key: str = "k1") -> Remember:
    def told(session: Session, record: str) -> str | None:
        return idempotency.remember(
            session, key_id="app", key=key, request=request, record=record, lifetime=timedelta(days=1)
        )

    return told


def names(register: Register, **wanted: object) -> list[str | None]:
    return [one.person and one.person.name for one in register.page(Wanted(**wanted)).patients]  # type: ignore[arg-type]


# made, read, changed


def test_a_patient_comes_back_as_it_was_said(register: Register) -> None:
    made = register.create(ERIKA, "A17")
    again = register.get(made.uid)
    assert again == made and again.external_id == "A17" and again.erased_at is None
    assert again.person is not None and again.person.birth_date == BORN and again.person.name == ERIKA["name"]
    assert again.created_at.tzinfo is UTC and abs((datetime.now(UTC) - again.created_at).total_seconds()) < 60


def test_no_row_holds_anything_of_a_person_in_the_clear(register: Register, engine: Engine) -> None:
    register.create(ERIKA, "A17")
    with database.connection(engine) as link:
        row = link.execute(text("SELECT * FROM identities, patients")).one()
    # bytes as bytes, and at least five letters of each: in hexadecimal digits "171" turns up by chance
    whole = b"\n".join(bytes(part) if isinstance(part, bytes | memoryview) else str(part).encode() for part in row)
    assert b"A17" in whole, "what is not secret is seen, so that what is would be"
    told = (b"erika", b"muster", b"1961-04", b"19610430", b"5550123", b"example", b"diabetes")
    assert not [said for said in told if said in whole.lower()]


def test_a_patient_of_whom_nothing_is_said_has_no_identity_row(register: Register, engine: Engine) -> None:
    made = register.create({})
    assert (made.person, made.external_id) == (None, None)
    assert count(engine, tables.Identified) == 0


def test_a_patient_of_the_nightly_inbox_is_one_and_can_be_given_who_it_is(register: Register, engine: Engine) -> None:
    Clinic(engine).scan("A17")
    (known,) = register.page(Wanted(external_id="A17")).patients
    assert known.person is None and register.get(known.uid) == known
    named = register.update(known.uid, {"name": "Erika Mustermann"})
    assert named.person is not None and named.external_id == "A17"
    assert names(register, name="erika") == ["Erika Mustermann"]
    assert Clinic(engine).scan("A17", "right") and count(engine, tables.Patient) == 1


def test_an_external_id_given_twice_is_a_conflict_that_does_not_say_whose_it_is(register: Register) -> None:
    first, second = register.create(ERIKA, "A17"), register.create({"name": "Other"}, "B")
    for act in (lambda: register.create({}, "A17"), lambda: register.update(second.uid, {"external_id": "A17"})):
        with pytest.raises(PatientExists) as refused:
            act()
        assert str(first.uid) not in str(refused.value) and "A17" not in str(refused.value)
    assert register.get(second.uid).external_id == "B"


def test_of_many_who_make_the_same_external_id_at_once_one_does(register: Register) -> None:
    def make(_: int) -> UUID | None:
        try:
            return register.create({"name": "Erika"}, "A17").uid
        except PatientExists:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [uid for uid in pool.map(make, range(16)) if uid]
    assert len(made) == 1


def test_changes_at_once_are_both_kept(register: Register) -> None:
    uid = register.create(ERIKA).uid
    changes = [{"phone": "0171 1111"}, {"email": "new@example.org"}, {"external_id": "Z"}, {"history": "none"}]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda change: register.update(uid, change), changes))
    known = register.get(uid)
    assert known.person is not None and known.external_id == "Z" and known.person.history == "none"
    assert (known.person.phone, known.person.email) == ("0171 1111", "new@example.org")
    assert known.updated_at > known.created_at


def test_a_change_moves_what_it_is_found_by(register: Register) -> None:
    uid = register.create(ERIKA, "A17").uid
    register.update(uid, {"name": "Maria Beispiel", "external_id": None, "phone": None})
    assert (
        names(register, name="erika")
        == names(register, phone="0171 5550123")
        == names(register, external_id="A17")
        == []
    )
    assert names(register, name="maria", email="ERIKA@example.org") == ["Maria Beispiel"]
    assert register.get(uid).external_id is None


def test_nothing_to_change_changes_nothing(register: Register) -> None:
    made = register.create(ERIKA)
    assert register.update(made.uid, {}) == made


def test_what_cannot_be_kept_leaves_no_row(register: Register, engine: Engine) -> None:
    for said, external_id in (({"name": "a\nb"}, None), ({}, "Erika Mustermann"), ({"age": 200}, None)):
        with pytest.raises(PatientError):
            register.create(said, external_id)
    assert count(engine, tables.Patient) == 0


def test_an_unknown_id_is_unknown(register: Register, engine: Engine, objects: Objects) -> None:
    for act in (register.get, lambda uid: register.update(uid, {"name": "x"})):
        with pytest.raises(UnknownRecord):
            act(uuid4())
    with pytest.raises(UnknownRecord):
        erasure.erase(engine, lambda: objects, uuid4(), "remove")


# the same request again


def test_the_same_request_again_is_the_same_patient_and_another_is_refused(register: Register, engine: Engine) -> None:
    made = register.create(ERIKA, "A17", remember=remember(b"one"))
    assert register.create(ERIKA, "A17", remember=remember(b"one")) == made
    with pytest.raises(IdempotencyConflict):
        register.create(ERIKA, "B", remember=remember(b"two"))
    assert count(engine, tables.Patient) == 1


def test_the_same_request_many_times_at_once_ends_with_one_patient(register: Register, engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: register.create(ERIKA, remember=remember(b"one")).uid, range(16)))
    assert len(made) == 1 and count(engine, tables.Patient) == count(engine, tables.Identified) == 1


def test_a_request_that_was_refused_can_be_sent_again(register: Register) -> None:
    register.create({}, "A17")
    with pytest.raises(PatientExists):
        register.create(ERIKA, "A17", remember=remember(b"one"))
    register.update(register.page(Wanted(external_id="A17")).patients[0].uid, {"external_id": "B"})
    assert register.create(ERIKA, "A17", remember=remember(b"one")).external_id == "A17"


def test_the_request_of_a_patient_who_was_erased_since_does_not_bring_anybody_back(
    register: Register, engine: Engine, objects: Objects
) -> None:
    made = register.create(ERIKA, remember=remember(b"one"))
    erasure.erase(engine, lambda: objects, made.uid, "pseudonymise")
    with pytest.raises(Erased):
        register.create(ERIKA, remember=remember(b"one"))


# searched and paged


def test_pages_show_everybody_once_the_newest_first_whoever_comes_meanwhile(register: Register) -> None:
    made = [register.create({"name": f"Patient {number}"}).uid for number in range(7)]
    seen: list[UUID] = []
    after = None
    while True:
        page = register.page(Wanted(), after=after, limit=3)
        seen += [one.uid for one in page.patients]
        register.create({"name": "Newcomer"})
        after = page.following
        if after is None:
            break
    assert seen == made[::-1]


def test_a_search_has_pages_too_and_a_strange_cursor_is_refused(register: Register) -> None:
    for number in range(5):
        register.create({"name": f"Erika {'Odd' if number % 2 else 'Even'}"})
    first = register.page(Wanted(name="even"), limit=2)
    rest = register.page(Wanted(name="even"), after=first.following, limit=2)
    assert (len(first.patients), len(rest.patients), rest.following) == (2, 1, None)
    with pytest.raises(ParameterError, match="cursor"):
        register.page(Wanted(), after=uuid4())


def test_a_search_is_by_all_that_is_asked_and_by_whole_words(register: Register) -> None:
    register.create(ERIKA, "A17")
    register.create({"name": "Erika Beispiel", "birth_date": BORN}, "B")
    assert len(names(register, name="erika")) == 2
    assert names(register, name="erika", phone="0171 5550123") == ["Erika Mustermann"]
    assert names(register, birth_date=BORN, external_id="B") == ["Erika Beispiel"]
    assert names(register, name="erik") == names(register, phone="none") == names(register, name="!") == []


def test_a_search_reads_the_index(register: Register, engine: Engine) -> None:
    with database.connection(engine) as link:
        link.execute(text("SET LOCAL enable_seqscan = off"))
        plan = str(link.execute(text("EXPLAIN SELECT 1 FROM identities WHERE tokens ?| array['a', 'b']")).all())
    assert "ix_identities_tokens" in plan


# keys


def test_rotation_seals_again_what_older_keys_sealed_and_can_be_interrupted(register: Register, engine: Engine) -> None:
    made = [register.create({"name": f"Patient {number}"}) for number in range(7)]
    both = Keys.parse(f"{NEW},{OLD}")

    def interrupt(far: rotation.Rotated) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(engine, both, page=3, on_progress=interrupt)
    told: list[rotation.Rotated] = []
    done = rotation.rotate(engine, both, page=3, on_progress=told.append)
    assert (done.done, done.left) == (4, 0) and told[0] == rotation.Rotated(3, 1)
    only_new = Register(engine, Keys.parse(NEW), SEARCH)
    assert [only_new.get(one.uid) for one in made] == made
    assert rotation.rotate(engine, both).done == 0


def test_rotation_and_changes_at_the_same_time_lose_nothing(engine: Engine) -> None:
    old, both = Register(engine, Keys.parse(OLD), SEARCH), Keys.parse(f"{NEW},{OLD}")
    made = [old.create({"name": f"Patient {number}"}).uid for number in range(40)]
    changing = Register(engine, both, SEARCH)
    with ThreadPoolExecutor(4) as pool:
        rotating = [pool.submit(rotation.rotate, engine, both, page=5) for _ in range(2)]
        changed = [pool.submit(changing.update, uid, {"phone": "0171 1234"}) for uid in made]
        for one in (*rotating, *changed):
            one.result()
    rotation.rotate(engine, both)
    new = Register(engine, Keys.parse(NEW), SEARCH)
    assert {new.get(uid).person.phone for uid in made} == {"0171 1234"}  # type: ignore[union-attr]


def test_rotation_without_the_older_key_changes_nothing_and_names_it(register: Register, engine: Engine) -> None:
    register.create(ERIKA)
    with pytest.raises(SealError, match="1 sealed with 'old', not in"):
        rotation.rotate(engine, Keys.parse(NEW))


def test_the_commands_make_keys_and_rotate(
    register: Register, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clarity.cli import app

    made = register.create(ERIKA)
    run = CliRunner().invoke(app, ["patients", "keys", "new"])
    said = dict(line.split("=", 1) for line in run.stdout.splitlines())
    fresh = said["CLARITY_IDENTITY_KEYS"].strip("'")
    assert Index.of(said["CLARITY_SEARCH_KEY"].strip("'"))
    monkeypatch.setenv("CLARITY_IDENTITY_KEYS", f"{fresh},{OLD}")
    done = CliRunner().invoke(app, ["patients", "rotate", "--page", "1"])
    assert done.exit_code == 0 and "1 sealed again, 0 to go" in done.stdout and "older keys can go" in done.stdout
    assert Register(register._engine, Keys.parse(fresh), SEARCH).get(made.uid) == made


# erasure


class Case:
    """A patient with two visits, in the tables, the store, the inbox and the quarantine; and a neighbour."""

    def __init__(self, engine: Engine, objects: Objects, register: Register) -> None:
        self.engine, self.objects, self.register, self.clinic = engine, objects, register, Clinic(engine)
        self.uid = register.create(ERIKA, "A17").uid
        self.mine, self.inbox = self._scans("A17"), ["inbox/a/1.jpg", "inbox/a/2.jpg"]
        self.others = self._scans("B")
        with database.session(engine) as session:
            marked = list(zip(self.inbox, ("e1", "e2"), self.mine, strict=True))
            scans.mark_inbox(session, [*marked, ("inbox/b/1.jpg", "e3", self.others[0])])
            claim = {"patient": "A17", "eye": "left", "visit": "v9"}
            refused = [
                Refused("inbox/x.jpg", "another's", "e4", self.others[0], "conflict", claim),
                Refused("inbox/y.jpg", "another's", "e5", self.mine[0], "conflict", claim | {"patient": "B"}),
                Refused("inbox/z.jpg", "said by a person", "e6"),
            ]
            quarantine.note(session, refused, None)
            (row,) = session.scalars(select(tables.Quarantined).where(tables.Quarantined.key == "inbox/z.jpg"))
            quarantine.resolve(
                session, row.id, "moved by me: from patient B, left eye to patient A17, left eye, visit v"
            )
            mine = session.scalars(select(tables.Scan).where(tables.Scan.sha256.in_(self.mine))).all()
            self.keys = [one.key for one in mine]
            said = session.scalars(select(tables.Prediction).where(tables.Prediction.sha256.in_(self.mine))).all()
            self.keys += [one.heatmap_key for one in said]
        for key in (
            *self.keys,
            *self.inbox,
            *(f"{key}.json" for key in self.inbox),
            "inbox/b/1.jpg",
            "inbox/b/1.jpg.json",
        ):
            objects.put(key, b'{"patient": "A17"}' if key.endswith(".json") else b"photograph")

    def _scans(self, patient: str) -> list[str]:
        shas = [self.clinic.seen("left", 2, patient=patient), self.clinic.seen("right", 1, patient=patient, visit="v2")]
        self.clinic.join(shas)
        self.clinic.say(shas[0], 1, V2)
        with database.session(self.engine) as session:
            session.add(
                tables.Review(sha256=shas[0], model=V1.model, model_version=V1.version, decision="agree", reviewer="r1")
            )
        return shas

    def erase(self, policy: str) -> erasure.Done:
        return erasure.erase(self.engine, lambda: self.objects, self.uid, policy)

    def left(self) -> dict[str, int]:
        own = {one: table for one, table in vars(tables).items() if isinstance(table, type)}
        counted = ("Scan", "Prediction", "Outcome", "Review", "InboxObject", "Identified", "Lease")
        return {name: count(self.engine, own[name]) for name in counted}

    def stored(self) -> set[str]:
        return {entry.key for entry in self.objects.list()}

    def whole(self) -> str:
        """All rows of all tables."""
        with database.connection(self.engine) as link:
            names_ = link.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
            rows = [link.scalar(text(f'SELECT jsonb_agg(t) FROM "{name}" t')) for name in names_]  # noqa: S608
        return json.dumps(rows, default=str)


@pytest.fixture
def case(engine: Engine, objects: Objects, register: Register) -> Case:
    return Case(engine, objects, register)


def test_pseudonymise_takes_who_it_was_and_the_clinics_id_and_keeps_the_clinical_record(case: Case) -> None:
    before, stored = case.left(), case.stored()
    done = case.erase("pseudonymise")
    assert case.left() == before | {"Identified": 0}
    assert stored - case.stored() == {f"{key}.json" for key in case.inbox}
    assert "A17" not in case.whole()
    known = case.register.get(case.uid)
    assert (known.person, known.external_id, known.erased_at) == (None, None, done.erased_at)
    assert done.policy == "pseudonymise" and "2 scans with photographs" in " ".join(done.kept)
    assert not names(case.register, name="Erika") and case.uid not in {
        p.uid for p in case.register.page(Wanted()).patients
    }


def test_remove_takes_the_clinical_record_too_and_nothing_of_anybody_else(case: Case) -> None:
    stored = case.stored()
    done = case.erase("remove")
    assert case.left() == {
        "Scan": 2, "Prediction": 3, "Outcome": 2, "Review": 1, "InboxObject": 1, "Identified": 0, "Lease": 0,
    }  # fmt: skip
    assert stored - case.stored() == {*case.keys, *case.inbox, *(f"{key}.json" for key in case.inbox)}
    whole = case.whole()
    assert "A17" not in whole and case.mine[1] not in whole
    assert "2 scans with every prediction, outcome and review" in done.erased
    assert case.register.get(case.uid).erased_at == done.erased_at


def test_a_folder_that_is_synchronised_again_does_not_bring_an_erased_patient_back(case: Case) -> None:
    case.erase("remove")
    for key in case.inbox:
        case.objects.put(key, b"photograph")
    etags = {entry.key: entry.etag for entry in case.objects.list("inbox/a/")}
    with database.session(case.engine) as session:  # the rows of the case have etags of its own making
        for row in session.scalars(select(tables.Quarantined).where(tables.Quarantined.key.in_(case.inbox))):
            row.etag = etags[row.key]
    waiting, _ = listing.waiting(case.objects, case.engine, "inbox/a/")
    assert waiting == []


@pytest.mark.parametrize("policy", ["pseudonymise", "remove"])
def test_erasing_twice_is_harmless_and_says_the_same(case: Case, policy: str) -> None:
    first = case.erase(policy)
    rows = case.whole()
    assert case.erase(policy) == first
    assert case.whole() == rows


def test_a_policy_that_became_stricter_removes_what_was_kept_and_one_that_became_milder_changes_nothing(
    case: Case,
) -> None:
    first = case.erase("pseudonymise")
    done = case.erase("remove")
    assert done.policy == "remove" and done.erased_at == first.erased_at and case.left()["Scan"] == 2
    assert case.erase("pseudonymise") == done


def test_an_erased_patient_can_be_neither_changed_nor_found_and_the_clinics_id_is_free(case: Case) -> None:
    case.erase("pseudonymise")
    with pytest.raises(Erased):
        case.register.update(case.uid, {"name": "Erika"})
    assert case.register.create({}, "A17").uid != case.uid


def test_where_the_store_is_away_the_rows_are_gone_and_the_same_call_finishes(case: Case) -> None:
    real, failed = case.objects, []

    class Away:
        def delete(self, key: str) -> None:
            failed.append(key)
            raise StorageUnavailable("store: away")

    with pytest.raises(StorageUnavailable):
        erasure.erase(case.engine, Away, case.uid, "remove")  # type: ignore[arg-type]
    assert len(failed) == 1 and case.left()["Scan"] == 2 and case.register.get(case.uid).erased_at is not None
    assert set(case.keys) <= case.stored()
    done = case.erase("remove")
    assert not set(case.keys) & case.stored() and done.policy == "remove"
    assert real.exists("inbox/b/1.jpg")


def test_the_command_finishes_what_a_store_that_was_away_left(case: Case) -> None:
    from clarity.cli import app

    def away() -> Objects:
        raise StorageUnavailable("store: away")

    with pytest.raises(StorageUnavailable):
        erasure.erase(case.engine, away, case.uid, "remove")
    run = CliRunner().invoke(app, ["patients", "finish"])
    assert run.exit_code == 0 and "9 objects deleted" in run.stdout, run.output
    assert not set(case.keys) & case.stored()


def test_a_photograph_that_came_back_with_another_patient_keeps_its_object(case: Case) -> None:
    def back() -> Objects:  # the rows are gone by now; another patient's photograph has the same bytes
        with database.session(case.engine) as session:
            known = session.scalar(select(tables.Scan.id).where(tables.Scan.key == case.keys[0]))
        if known is None:
            neighbour = case.register.page(Wanted(external_id="B")).patients[0]
            with database.session(case.engine) as session:
                owner = session.scalars(select(tables.Patient).where(tables.Patient.uid == neighbour.uid)).one()
                sha = case.keys[0].rpartition("/")[2].removesuffix(".jpg")
                session.add(tables.Scan(sha256=sha, patient_id=owner.id, key=case.keys[0], eye="left", visit="v"))
            raise StorageUnavailable("store: away for a moment")
        return case.objects

    with pytest.raises(StorageUnavailable):
        erasure.erase(case.engine, back, case.uid, "remove")
    erasure.finish(case.engine, back, case.uid)
    assert case.keys[0] in case.stored() and case.keys[1] not in case.stored()


def test_reviews_go_with_an_erasure_that_removes_and_in_no_other_way(case: Case) -> None:
    def delete(sha: str) -> None:
        with database.connection(case.engine) as link:
            link.execute(text("DELETE FROM reviews WHERE sha256 = :sha"), {"sha": sha})

    case.erase("pseudonymise")
    for sha in (case.mine[0], case.others[0]):
        with pytest.raises(StorageError, match="append-only"):
            delete(sha)
    case.erase("remove")
    with pytest.raises(StorageError, match="append-only"):
        delete(case.others[0])
    for statement in (
        "UPDATE reviews SET comment = ''",
        "TRUNCATE reviews",
        "DELETE FROM erasures",
        "TRUNCATE erasures",
    ):
        with pytest.raises(StorageError, match=r"append-only|stays written"), database.connection(case.engine) as link:
            link.execute(text(statement))


def test_a_night_that_has_claimed_a_scan_and_an_erasure_at_once_harm_neither(case: Case) -> None:
    """A night holds its leases and then locks patients; an erasure takes them in the same order."""
    with database.session(case.engine) as session:
        session.add(tables.ScreeningRun(id="r1", model="m", model_version="1", fingerprint="f"))
        session.flush()
        session.add(
            tables.Lease(
                sha256=case.mine[0], model="m", model_version="1", fingerprint="f", owner="w", run_id="r1",
                until=datetime.now(UTC), attempts=1,
            )
        )  # fmt: skip
    held, go = threading.Event(), threading.Event()

    def night() -> None:
        with database.session(case.engine) as session:
            session.execute(select(tables.Lease).with_for_update())
            held.set()
            go.wait(5)
            session.execute(select(tables.Patient).with_for_update(key_share=True))

    with ThreadPoolExecutor(2) as pool:
        working = pool.submit(night)
        held.wait(5)
        erasing = pool.submit(case.erase, "remove")
        go.set()
        working.result(10)
        assert erasing.result(10).policy == "remove"
    assert case.left()["Lease"] == 0


def test_a_patient_without_anything_in_the_store_needs_no_store(register: Register, engine: Engine) -> None:
    def no_store() -> Objects:
        raise AssertionError

    made = register.create(ERIKA)
    assert erasure.erase(engine, no_store, made.uid, "remove").kept == (
        "the access log, which names the patient by this id alone",
    )


def test_an_inbox_patient_is_erased_as_well(engine: Engine, objects: Objects, register: Register) -> None:
    Clinic(engine).scan("A17")
    (known,) = register.page(Wanted(external_id="A17")).patients
    erasure.erase(engine, lambda: objects, known.uid, "pseudonymise")
    with database.session(engine) as session:
        assert session.scalars(select(tables.Patient.external_id)).all() == [f"erased-{known.uid}"]
