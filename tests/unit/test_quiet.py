"""Chatter is put away for as long as it is asked for, and no longer; errors come through."""

import logging
import sys
import warnings

import pytest

from clarity.inference.quiet import quiet


def test_nothing_is_heard_within_and_everything_again_after(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("chatty")
    logger.setLevel(logging.INFO)
    with quiet(("chatty",)):
        print("progress")  # noqa: T201
        sys.stderr.write("50 %")
        warnings.warn("odd", stacklevel=1)
        assert not logger.isEnabledFor(logging.WARNING) and logger.isEnabledFor(logging.ERROR)
    assert capsys.readouterr() == ("", "")
    assert logger.level == logging.INFO
    with pytest.warns(UserWarning, match="odd"):
        warnings.warn("odd", stacklevel=1)


def test_only_the_warnings_that_are_named_are_dropped_and_print_may_stay(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="new") as heard, quiet((), (".*known",), printed=False):
        print("kept")  # noqa: T201
        warnings.warn("well known", stacklevel=1)
        warnings.warn("new", stacklevel=1)
    assert [str(one.message) for one in heard] == ["new"]
    assert capsys.readouterr().out == "kept\n"


def test_an_error_comes_through_and_the_loggers_are_given_back() -> None:
    logger = logging.getLogger("chatty")
    logger.setLevel(logging.DEBUG)
    with pytest.raises(ValueError, match="broken"), quiet(("chatty",)):
        raise ValueError("broken")
    assert logger.level == logging.DEBUG
