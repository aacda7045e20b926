"""Other libraries' chatter, put away while they work; their exceptions still come through."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def quiet(loggers: Sequence[str] = (), warned: Sequence[str] = ("",), *, printed: bool = True) -> Iterator[None]:
    """Within it ``loggers`` say errors only, warnings that begin as one of ``warned`` (a pattern; any, by default) are
    dropped, and so is what is ``printed`` or drawn as progress.
    """
    levels = {name: logging.getLogger(name).level for name in loggers}
    with contextlib.ExitStack() as stack:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(logging.ERROR)
            stack.callback(logging.getLogger(name).setLevel, level)
        stack.enter_context(warnings.catch_warnings())
        for message in warned:
            warnings.filterwarnings("ignore", message=message)
        if printed:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield
