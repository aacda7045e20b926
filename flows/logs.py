"""What Prefect logs, held to Clarity's custom: a named error is one line, and a command's last line is its own."""

import logging

from clarity.errors import ClarityError


class _Untraced(logging.Filter):
    """Passes all records; those of a named error without their traceback, which is for what nobody foresaw."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], ClarityError):
            record.exc_info = record.exc_text = None
        return True


_UNTRACED = _Untraced()


def plain() -> None:
    """From now on the runs of this process log so. Again, it changes nothing.

    Modules of flows and of their tasks call it when imported: one is wherever a run is, also on Dask's workers.
    """
    for runs in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(runs).addFilter(_UNTRACED)
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)  # warns at the very end that it still has to send
