"""``python -I leash.py SECONDS COMMAND…``: runs the command for as long as somebody holds the other end of its input.

What they write there is the command's. Once they let go, or are dead of whatever signal, the command and all that it
has started are asked to end (SIGTERM) and after ``SECONDS`` made to. PR_SET_PDEATHSIG would reach DVC and not the stage
that DVC has started, and knows threads, not processes. Started by its path, so that a workspace's own copy of the code
is not imported in its place.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_POLL_S = 0.05


def main(arguments: Sequence[str]) -> int:
    """Run ``arguments[1:]``; its exit code, 128 and the signal's number where one ended it.

    This process leads the group of all that is to end with it: it has to be started in a session of its own.
    """
    child = subprocess.Popen(arguments[1:], stdin=subprocess.PIPE)
    # our own signal to the group; a handler and not SIG_IGN, which the command would have inherited
    signal.signal(signal.SIGTERM, lambda *_: None)
    let_go = threading.Event()
    follower = threading.Thread(target=_follow, args=(child, let_go, float(arguments[0])), daemon=True)
    follower.start()
    code = child.wait()
    if let_go.is_set():
        follower.join()  # what the command started may outlive it
    return code if code >= 0 else 128 - code


def _follow(child: subprocess.Popen[bytes], let_go: threading.Event, grace_s: float) -> None:
    while said := os.read(sys.stdin.fileno(), 65536):
        with contextlib.suppress(OSError):  # of a command that does not read, or has ended
            os.write(child.stdin.fileno(), said)  # type: ignore[union-attr]
    let_go.set()
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + grace_s
    while _others() and time.monotonic() < until:
        time.sleep(_POLL_S)
    os.killpg(0, signal.SIGKILL)


def _others() -> bool:
    import psutil  # a command that ends by itself, as most do, need not wait for it

    return any(_of_our_group(process) for process in psutil.process_iter() if process.pid != os.getpid())


def _of_our_group(process: "psutil.Process") -> bool:
    """A zombie is over, and in a container perhaps nobody's to reap."""
    import psutil

    try:
        return os.getpgid(process.pid) == os.getpgrp() and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
