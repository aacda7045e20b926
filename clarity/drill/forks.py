"""The process that a drill's nights are forked from.

``python -m clarity.drill.forks`` reads a request a line (JSON: ``command``, a module and its arguments as after
``python -m``, and ``log``, a file) and answers on its output, a line of JSON each: ``{"began": pid}`` at once,
``{"ended": pid, "code": code}`` later. It runs in one thread and has its modules: no connection, no model, nothing that
forks must not share.
"""

import json
import os
import runpy
import selectors
import sys
from contextlib import suppress

_LOOK_S = 0.02


def main() -> None:
    """Fork a process at each request and tell of its end, until no more can come."""
    _learn()
    command = _forked()
    if command is not None:  # in one of them: it runs and ends as any process does
        sys.argv[1:] = command[1:]
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def _learn() -> None:
    """Import what a night imports, also what it would import on its way: its forks have it then."""
    import matplotlib.figure  # noqa: F401
    import psycopg  # noqa: F401

    import flows.screen
    import flows.screening_steps  # noqa: F401
    from clarity.inference import openvino_cpu, processor  # noqa: F401
    from clarity.registry import tracking

    tracking.library()
    processor.openvino()


def _forked() -> list[str] | None:
    """Returns in each fork with its command, and at the end in the nursery with None."""
    requests = open(0, "rb", buffering=0)  # noqa: SIM115  a buffer would hide a second request from the selector
    waiting = selectors.DefaultSelector()
    waiting.register(requests, selectors.EVENT_READ)
    while True:
        if waiting.select(_LOOK_S):
            line = requests.readline()
            if not line:
                return None
            request = json.loads(line)
            if not (pid := os.fork()):
                _detach(request["log"])
                command: list[str] = request["command"]
                return command
            _say(began=pid)
        with suppress(ChildProcessError):  # there is none
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                _say(ended=ended[0], code=os.waitstatus_to_exitcode(ended[1]))


def _detach(log: str) -> None:
    os.setsid()
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream, taken in ((0, os.open(os.devnull, os.O_RDONLY)), (1, written), (2, written)):
        os.dup2(taken, stream)


def _say(**said: int) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
