"""Keys of the environment, AES-GCM around who a patient is, and a Person that shows nobody."""

import base64
import re
from datetime import date
from uuid import UUID, uuid4

import pytest

from clarity.errors import PatientError, SealError
from clarity.patients import keyring, person
from clarity.patients.cipher import Cipher, Sealed
from clarity.patients.keyring import Keys
from clarity.patients.person import Person

ERIKA = Person("Erika Mustermann", date(1961, 4, 30), None, None, "erika@example.org", "+49 171 5550123", "diabetes")
TODAY = date(2026, 11, 26)
A, B = (f"{name}:{base64.b64encode(bytes([byte]) * 32).decode()}" for name, byte in (("a", 1), ("b", 2)))


def cipher(*keys: str) -> Cipher:
    return Cipher(Keys.parse(",".join(keys)))


def test_what_is_sealed_opens_with_any_key_of_the_ring_and_the_first_one_seals() -> None:
    uid, document = uuid4(), ERIKA.document()
    old = cipher(A).seal(document, uid)
    both = cipher(B, A)
    assert (old.key_id, both.seal(document, uid).key_id) == ("a", "b")
    assert both.open(old, uid) == both.open(both.seal(document, uid), uid) == document


def test_the_same_document_twice_is_not_seen_to_be_the_same_nor_its_length() -> None:
    uid, ring = uuid4(), cipher(A)
    seals = {
        ring.seal(document, uid).data for document in (b'{"name": "A"}', b'{"name": "A"}', b'{"name": "Anneliese"}')
    }
    assert len(seals) == 3 and len({len(data) for data in seals}) == 1
    assert len({data[:12] for data in seals}) == 3


def test_a_row_that_was_copied_to_another_patient_does_not_open() -> None:
    sealed = cipher(A).seal(ERIKA.document(), uuid4())
    with pytest.raises(SealError, match="another patient's"):
        cipher(A).open(sealed, uuid4())


@pytest.mark.parametrize("at", [0, 11, 12, 40, -1])
def test_one_changed_bit_anywhere_does_not_open(at: int) -> None:
    uid, ring = uuid4(), cipher(A)
    data = bytearray(ring.seal(ERIKA.document(), uid).data)
    data[at] ^= 1
    with pytest.raises(SealError, match="does not open"):
        ring.open(Sealed("a", bytes(data)), uid)


@pytest.mark.parametrize("data", [b"", b"short", bytes(12), bytes(27)])
def test_what_is_no_seal_is_a_named_error(data: bytes) -> None:
    with pytest.raises(SealError, match="does not open"):
        cipher(A).open(Sealed("a", data), uuid4())


def test_a_missing_key_is_named_and_neither_key_nor_person_is() -> None:
    uid = UUID(int=7)
    with pytest.raises(SealError, match=f"patient {uid}: sealed with key 'a', which is not in") as refused:
        cipher(B).open(cipher(A).seal(ERIKA.document(), uid), uid)
    assert "Erika" not in str(refused.value)


def test_another_key_under_the_same_id_does_not_open() -> None:
    uid = uuid4()
    with pytest.raises(SealError, match="another key of that id"):
        cipher(B.replace("b:", "a:")).open(cipher(A).seal(ERIKA.document(), uid), uid)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("", "key 1, not id:base64"),
        ("abcdef", "key 1, not id:base64"),
        (f"{A},", "key 2, not id:base64"),
        ("a b:xx", "key 1, not id:base64"),
        ("a:not-base64!", "key 'a': not base64"),
        ("a:QUJD", "key 'a': 3 bytes, not 32"),
        (f"{A},{A}", "id 'a', given to two keys"),
    ],
)
def test_malformed_keys_are_named_by_id_and_never_repeated(text: str, verdict: str) -> None:
    with pytest.raises(SealError, match=re.escape(verdict)) as refused:
        Keys.parse(text)
    assert "QUJD" not in str(refused.value) and A[2:] not in str(refused.value)


def test_fresh_keys_are_keys_and_no_two_are_the_same() -> None:
    made = [keyring.fresh_identity_key(TODAY) for _ in range(20)]
    assert Keys.parse(",".join(made)).first.startswith("2026-11-26-")
    assert len(set(made)) == 20
    assert len(keyring.decode(keyring.fresh_search_key(), "search")) == 32
    assert not re.search("[A-Za-z0-9+/]{43}", repr(Keys.parse(made[0])))


# persons


def test_a_person_comes_back_from_its_document_as_it_was() -> None:
    for who in (ERIKA, Person(), Person(age=57, age_said_in=2026), Person(name="Ægir Þór 王芳", history="a\nb")):
        assert Person.of_document(who.document()) == who
        uid, ring = uuid4(), cipher(A)
        assert ring.open(ring.seal(who.document(), uid), uid) == who.document()


def test_a_repr_says_which_fields_are_known_and_nothing_of_what_they_hold() -> None:
    assert repr(ERIKA) == "Person(name, birth_date, email, phone, history)"
    assert f"{[ERIKA]!r} {ERIKA}".count("Erika") == 0


def test_changes_take_the_place_of_what_was_and_none_takes_away() -> None:
    changed = ERIKA.with_changes({"phone": None, "name": "Erika Beispiel"}, TODAY)
    assert (changed.phone, changed.name, changed.email) == (None, "Erika Beispiel", "erika@example.org")


def test_an_age_is_kept_with_the_year_in_which_it_was_said_and_takes_the_place_of_a_birth_date() -> None:
    aged = ERIKA.with_changes({"age": 65}, TODAY)
    assert (aged.age, aged.age_said_in, aged.birth_date) == (65, 2026, None)
    born = aged.with_changes({"birth_date": date(1961, 4, 30)}, TODAY)
    assert (born.age, born.age_said_in, born.birth_date) == (None, None, date(1961, 4, 30))
    assert aged.with_changes({"phone": None}, date(2030, 1, 1)).age_said_in == 2026
    assert aged.with_changes({"age": None}, TODAY).age_said_in is None
    with pytest.raises(PatientError, match="both given"):
        ERIKA.with_changes({"age": 65, "birth_date": date(1961, 4, 30)}, TODAY)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", bad) for bad in ("", " ", " Erika", "Eri\x00ka", "Eri\nka", "Erika\n", "Eri\x85ka", "x" * 201)),
        *(("email", bad) for bad in ("erika", "@", "a@", "@b", "a b@c", "a@b@c", "a@b\n", f"a@{'b' * 260}")),
        *(("phone", bad) for bad in ("", "12", "abc", "1234x", "1" * 21, "+", "12\n34", "1234\n", "١٢٣٤٥")),
        *(("history", bad) for bad in ("", "a\x00b", "a\x1b[31m", "x" * 20_001)),
        *(("birth_date", bad) for bad in (date(1899, 12, 31), date(2026, 11, 28), date(3000, 1, 1))),
        *(("age", bad) for bad in (-1, 131)),
    ],
)
def test_what_cannot_be_is_refused_by_its_field_and_never_repeated(field: str, value: object) -> None:
    with pytest.raises(PatientError, match=f"^{field}: ") as refused:
        Person().with_changes({field: value}, TODAY)
    assert len(str(value)) < 3 or str(value) not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", good) for good in ("O", "Ægir Þór", "王芳", "Nguyễn Văn A", "O'Neil-Smith, Jr.", "x" * 200)),
        *(("email", good) for good in ("a@b", "e.m+x@sub.example.org", "ü@müller.example")),
        *(("phone", good) for good in ("0171 555-0123", "+49 (0)171/5550123", "1234", "(030) 1234.56")),
        ("history", "Type 2 since 2009.\n\tHbA1c 7.4 %"),
        *(("birth_date", good) for good in (date(1900, 1, 1), TODAY, date(2026, 11, 27))),
        *(("age", good) for good in (0, 130)),
    ],
)
def test_what_people_are_really_called_and_reached_by_is_kept(field: str, value: object) -> None:
    assert getattr(Person().with_changes({field: value}, TODAY), field) == value


@pytest.mark.parametrize("bad", ["", "Erika Mustermann", "a@b", "+49171", "a\n", "x" * 129, "erased-1", "Müller"])
def test_an_external_id_is_a_pseudonym_and_never_that_of_an_erased_patient(bad: str) -> None:
    with pytest.raises(PatientError, match=r"^external_id: "):
        person.check_external_id(bad)


@pytest.mark.parametrize(
    "bad", ["", "30.4.1961", "1961-4-30", "1961-02-29", "1961-04-31", "1961-04-30T00:00", "19610430"]
)
def test_a_birth_date_is_a_day_of_the_calendar(bad: str) -> None:
    with pytest.raises(PatientError, match="birth_date: not a day"):
        person.read_birth_date(bad)


def test_leap_days_are_days() -> None:
    assert person.read_birth_date("1964-02-29") == date(1964, 2, 29)
