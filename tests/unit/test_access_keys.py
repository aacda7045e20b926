"""Keys: what is kept of them, what proves them, what they may do."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarity.access import keys, scopes
from clarity.errors import AccessRefused, ParameterError
from clarity.storage.access import Key

NOW = datetime(2027, 1, 1, tzinfo=UTC)
SECRET = "s" * 43


def key(**more: object) -> Key:
    made = {"id": "0" * 12, "name": "camera", "hash": keys._hash(SECRET), "scopes": ("read",), "rate_per_minute": 60}
    return Key(**(made | more))  # type: ignore[arg-type]


def test_a_key_is_proved_by_its_secret() -> None:
    assert keys.verify(key(), SECRET, NOW) == key()
    assert keys.verify(key(expires_at=NOW + timedelta(seconds=1)), SECRET, NOW).id == "0" * 12


@pytest.mark.parametrize("secret", ["", "s" * 42, "t" * 43, "s" * 44, "ß"])
@pytest.mark.parametrize("found", [key(), key(revoked_at=NOW), key(expires_at=NOW), None])
def test_who_does_not_know_the_secret_does_not_hear_whether_there_is_such_a_key(secret: str, found: Key | None) -> None:
    with pytest.raises(AccessRefused, match=r"^key: not known$"):
        keys.verify(found, secret, NOW)


def test_who_knows_it_hears_why_it_counts_no_more() -> None:
    with pytest.raises(AccessRefused, match="revoked"):
        keys.verify(key(revoked_at=NOW), SECRET, NOW)
    with pytest.raises(AccessRefused, match="expired on 2027-01-01"):
        keys.verify(key(expires_at=NOW), SECRET, NOW)


def test_an_unknown_id_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda one, other: compared.append((one, other)) or False)
    for found in (None, key()):
        with pytest.raises(AccessRefused):
            keys.verify(found, SECRET, NOW)
    assert [len(text) for pair in compared for text in pair] == [64] * 4


@given(st.text(max_size=80) | st.from_regex(r"clarity_[0-9a-f]{11,13}_[A-Za-z0-9_-]{42,44}", fullmatch=True))
def test_only_the_documented_form_is_a_key(text: str) -> None:
    read = keys.read(text)
    if read is not None:
        assert f"clarity_{read.id}_{read.secret}" == text and (len(read.id), len(read.secret)) == (12, 43)


def test_admin_may_do_all_and_the_others_only_their_own() -> None:
    for held in scopes.SCOPES:
        assert [wanted for wanted in scopes.SCOPES if scopes.allows((held,), wanted)] == (
            list(scopes.SCOPES) if held == "admin" else [held]
        )
    assert not scopes.allows((), "read")


def test_scopes_are_checked_by_name() -> None:
    assert scopes.checked(["read", "predict", "read"]) == ("predict", "read")
    with pytest.raises(ParameterError, match="'write': unknown, one of predict"):
        scopes.checked(["read", "write"])
    with pytest.raises(ParameterError, match="none"):
        scopes.checked([])
