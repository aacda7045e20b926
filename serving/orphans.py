"""No process outlives the server that started it, even where that was killed."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
from multiprocessing.connection import wait
from pathlib import Path


def end_with_parent(*others: int, folder: Path | None = None) -> None:
    """Watch the process that started this one; when it is gone, end this one, ``others`` by their ids, and the folder.

    A graceful stop never comes here: it ends the children first.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        for process in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
