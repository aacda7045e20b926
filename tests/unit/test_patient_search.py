"""Searching by keyed hashes: who is found by what, and what a hash gives away."""

import base64
import hashlib
import hmac
from datetime import date

import pytest

from clarity.errors import SealError
from clarity.patients.person import Person
from clarity.patients.search import Index, Wanted

KEY = bytes(range(32))
INDEX = Index(KEY)


def found(person: Person, wanted: Wanted) -> bool:
    """As the database compares them."""
    tokens, query = set(INDEX.tokens(person)), INDEX.query(wanted)
    by_words = bool(query.name) and all(group & tokens for group in query.name)
    named = by_words or bool(query.whole & tokens) or not query.name
    return not query.impossible and named and all(group & tokens for group in query.groups)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("Erika Mustermann", "Erika Mustermann"),
        ("Erika Mustermann", "mustermann, ERIKA"),
        ("Erika Mustermann", "Mustermann"),
        ("Jürgen Müller", "Jurgen Muller"),
        ("Jürgen Müller", "Juergen Mueller"),
        ("Juergen Mueller", "Jürgen Müller"),
        ("Ju\u0308rgen Mu\u0308ller", "Jürgen Müller"),
        ("Groß", "GROSS"),
        ("José Ñuñez", "jose nunez"),
        ("Søren Ærø", "Soeren Aeroe"),
        ("Anna Müller-Lüdenscheidt", "Lüdenscheidt"),
        ("MacDonald", "Mac Donald"),
        ("Mac Donald", "MacDonald"),
        ("王芳", "王芳"),
        ("Иван Петров", "ИВАН петров"),
        ("O'Neil", "ONeil"),
    ],
)
def test_a_name_is_found_by_words_without_accents_case_or_order(name: str, asked: str) -> None:
    assert found(Person(name=name), Wanted(name=asked))


@pytest.mark.parametrize("asked", ["Erik", "Muster", "Erika Beispiel", "rika", "!!!", "Erika Mustermann Beispiel"])
def test_a_part_of_a_word_or_a_word_too_many_finds_nobody(asked: str) -> None:
    assert not found(Person(name="Erika Mustermann"), Wanted(name=asked))


@pytest.mark.parametrize("asked", ["+49 171 5550123", "0171/555 01 23", "0049171-5550123", "171 5550123"])
def test_a_telephone_number_is_found_with_and_without_its_country(asked: str) -> None:
    assert found(Person(phone="+49 171 5550123"), Wanted(phone=asked))
    assert not found(Person(phone="+49 171 5550124"), Wanted(phone=asked))


def test_an_e_mail_is_found_in_any_case_and_only_whole() -> None:
    who = Person(email="Erika@Example.org")
    assert found(who, Wanted(email=" erika@example.ORG"))
    assert not found(who, Wanted(email="erika")) and not found(who, Wanted(email="example.org"))


def test_everything_that_is_asked_has_to_be_so() -> None:
    who = Person(name="Erika Mustermann", birth_date=date(1961, 4, 30), email="e@example.org")
    assert found(who, Wanted(name="Erika", birth_date=date(1961, 4, 30), email="e@example.org"))
    assert not found(who, Wanted(name="Erika", birth_date=date(1961, 4, 29)))
    assert not found(who, Wanted(name="Erika", phone="no digits"))


def test_a_word_of_one_kind_is_no_word_of_another() -> None:
    assert not found(Person(name="1961-04-30"), Wanted(birth_date=date(1961, 4, 30)))
    assert not found(Person(name="17155501"), Wanted(phone="17155501"))


def test_hashes_are_hmac_of_the_key_and_say_nothing_without_it() -> None:
    who = Person(name="Erika Mustermann", email="erika@example.org", phone="0171 5550123", birth_date=date(1961, 4, 30))
    tokens = INDEX.tokens(who)
    assert hmac.digest(KEY, b"name\0erika", hashlib.sha256).hex()[:32] in tokens
    assert not set(tokens) & set(Index(bytes(32)).tokens(who))
    assert all(len(token) == 32 and set(token) <= set("0123456789abcdef") for token in tokens)
    assert tokens == sorted(tokens)
    assert hashlib.sha256(b"name\0erika").hexdigest()[:32] not in tokens


def test_what_nobody_said_has_no_hash() -> None:
    assert INDEX.tokens(Person(history="Erika has diabetes")) == []


def test_a_request_is_hashed_with_the_key_too() -> None:
    assert INDEX.digest(b"x") != Index(bytes(32)).digest(b"x") != hashlib.sha256(b"x").digest()


def test_a_search_shows_nobody() -> None:
    assert "Erika" not in f"{Wanted(name='Erika')!r}{INDEX.query(Wanted(name='Erika'))!r}"


@pytest.mark.parametrize("text", ["", "Erika", base64.b64encode(bytes(31)).decode()])
def test_a_search_key_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(SealError, match="CLARITY_SEARCH_KEY") as refused:
        Index.of(text)
    assert not text or text not in str(refused.value)
