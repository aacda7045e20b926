"""An inference worker follows the champion: the new model is loaded and checked beside the old one, then takes over.

Photographs that are being graded keep the model they began with; what comes next gets the new one. A champion that
fails is refused and the old one goes on; it is tried again when the alias has named another version in between.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from clarity.errors import BundleError, ClarityError, NoChampion, StorageError, StorageUnavailable
from clarity.inference import canary
from clarity.inference.grader import Grader
from serving import champion, errors, refusals
from serving.champion import Champion
from serving.site import Site
from serving.source import Source
from serving.state import Board, Report

log = logging.getLogger("clarity.serving")
_LONGEST_PAUSE_S = 30.0


class _Held:
    """A grader and how many batches use it. The last user of one that was replaced closes it."""

    def __init__(self, grader: Grader) -> None:
        self.grader = grader
        self.users = 0
        self.replaced = False


class Follower:
    """The model of one worker process, and the thread that keeps it the champion."""

    def __init__(self, source: Source, site: Site, board: Board, worker: int) -> None:
        self._source, self._site = source, site
        self._report = Report(board, worker)
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._why: ClarityError = StorageUnavailable("model: is being loaded, ask again in a moment")
        self._settled = threading.Event()
        self._client: httpx.Client | None = None
        self._refused: Champion | None = None
        self._pause, self._not_before = 0.0, 0.0

    def start(self) -> None:
        """Begin. The model is loaded in the background."""
        threading.Thread(target=self._run, name="follow-champion", daemon=True).start()

    @contextmanager
    def lease(self, patience_s: float) -> Iterator[Grader]:
        """The model, which stays whole until the block ends. Waits for the first one to be loaded.

        Raises the error that says why there is none.
        """
        self._settled.wait(max(0.0, patience_s))
        with self._lock:
            held = self._held
            if held is None:
                raise self._why
            held.users += 1
        try:
            yield held.grader
        finally:
            with self._lock:
                held.users -= 1
                done = held.replaced and not held.users
            if done:
                held.grader.close()

    def _run(self) -> None:
        if self._source.bundle is not None:
            self._try(lambda: self._serve(*self._source.locate()))
            return
        self._resume()
        while True:
            self._try(self._look)
            time.sleep(self._site.params.serving.follow_s)

    def _try(self, step: Callable[[], None]) -> None:
        """One step; whatever becomes of it, this thread goes on."""
        try:
            step()
        except ClarityError as error:
            self._explain(error)
        except Exception as error:
            log.exception("the model could not be followed")
            self._explain(ClarityError(f"model: {type(error).__name__}, could not be loaded"))
        self._settled.set()
        self._report.say(settled=True)

    def _resume(self) -> None:
        """Where this worker replaces one that died: its model, at once and without the registry."""
        before = self._report.before
        if before is not None and before.version is not None:
            with suppress(ClarityError):
                self._serve(Path(before.bundle), before.version)
                self._settled.set()

    def _look(self) -> None:
        if self._client is None:
            self._client = champion.client(self._source.tracking_uri)
        found = champion.ask(self._client, self._source.name)
        if found.version == self._version:
            self._refused, self._pause = None, 0.0
            self._report.say(code="", reason="", refused_version="", refused_reason="")
        elif found != self._refused and time.monotonic() >= self._not_before:
            self._take_over(self._client, found)

    def _take_over(self, client: httpx.Client, found: Champion) -> None:
        try:
            self._serve(self._source.bring(client, found), found.version, checked=True)
        except StorageError:
            self._pause = min(_LONGEST_PAUSE_S, 2 * self._pause + self._site.params.serving.follow_s)
            self._not_before = time.monotonic() + self._pause
            raise
        except Exception as error:
            self._refuse(found, error)
            raise
        self._refused, self._pause, self._not_before = None, 0.0, 0.0

    def _serve(self, path: Path, version: str, *, checked: bool = False) -> None:
        """Load beside what serves, ask the canaries, then take over. Raises BundleError, InferenceError."""
        grader = self._source.open(path, version)
        changed = canary.check(grader) if checked else []
        if changed:
            grader.close()
            of = len(grader.bundle.spec.canaries)
            raise BundleError(f"version {version}: {len(changed)} of {of} canaries came back changed; {changed[0]}")
        with self._lock:
            old, self._held = self._held, _Held(grader)
            if old is not None:
                old.replaced = True
        if old is not None and not old.users:
            old.grader.close()
        spec = grader.bundle.spec
        log.info("serving %s version %s at %s", spec.name, version, grader.engine.precision)
        self._report.say(
            settled=True,
            generation=self._report.now.generation + 1,
            name=spec.name,
            version=version,
            bundle=str(path),
            precision=grader.engine.precision,
            since=time.time(),
            code="",
            reason="",
            refused_version="",
            refused_reason="",
        )

    def _refuse(self, found: Champion, error: Exception) -> None:
        self._refused = found
        reason = str(error) if isinstance(error, ClarityError) else type(error).__name__
        self._report.say(refused_version=found.version, refused_reason=reason)
        log.warning("version %s of %s is refused: %s", found.version, self._source.name, reason)
        refusals.tell(self._site.settings, self._source.name, found.version, reason)

    def _explain(self, error: ClarityError) -> None:
        """Why there is no model, or why this one may not be the champion."""
        if isinstance(error, NoChampion):
            self._refused = None
        self._why = error
        code = errors.situation(error).code
        if (code, str(error)) != (self._report.now.code, self._report.now.reason):
            log.warning("%s: %s", code, error)
        self._report.say(code=code, reason=str(error))

    @property
    def _version(self) -> str | None:
        return self._held.grader.model_version if self._held else None
