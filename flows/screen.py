"""A night of screening: what happens when. How it happens is ``clarity.screening``; delete this file and that remains.

champion -> lock of the night -> inbox, chunk by chunk -> waiting visits, batch by batch -> report
One night uses one model version: the champion of its beginning, whatever is promoted meanwhile.
"""

import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from clarity import params as parameters
from clarity.errors import (
    AlreadyRunning,
    ClarityError,
    ClusterUnavailable,
    ScreeningIncomplete,
    StorageError,
    StorageUnavailable,
)
from clarity.params import Params
from clarity.screening import report
from clarity.screening.score import Work
from clarity.settings import Settings
from clarity.storage.lock import NightLock
from flows import runners
from flows import screening_steps as steps
from flows.runners import Call
from flows.screening_steps import Champion

CONFIGURATION = ["conf/pipeline.yaml"]
_DELAYS_S = [2.0, 5.0, 15.0, 30.0, 60.0]
"""Between attempts: a restart of PostgreSQL or of the object store takes seconds."""
_CHUNK = 64
"""Inbox objects registered in one transaction."""


@flow(name="screen")
def screen(
    configuration: list[str] = CONFIGURATION, run_id: str | None = None, rescore: bool = False
) -> dict[str, Any]:
    """Grade what came in, explain it, write results and outcomes. Again, it changes nothing.

    ``configuration``: files below the project's folder, later ones on top. ``rescore``: instead of the inbox, score
    with the champion what earlier model versions scored; their predictions stay beside the new ones.

    Returns the summary of the run. Raises NoChampion and AlreadyRunning before anything is touched,
    ScreeningIncomplete where a part failed after retries, LimitPassed where it found more than is admitted.
    """
    settings = Settings.load()
    params = parameters.load(*(settings.project / name for name in configuration))
    run_id = run_id or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"
    steps.find_policy(params.screening.policy)  # a wrong name is known before anything is touched
    champion = _step(steps.find_champion, "champion", params)(params.model.name)
    night = _Night(run_id, champion, params, rescore)
    engine = steps.engine_of(settings.need("database_url"))
    try:
        with NightLock(engine) as lock:
            summary = _work(night, lock)
    finally:
        engine.dispose()
    report.insist(summary)
    return summary.counts()


class _Night:
    """What a run has done so far."""

    def __init__(self, run_id: str, champion: Champion, params: Params, rescore: bool) -> None:
        self.run_id, self.champion, self.params, self.rescore = run_id, champion, params, rescore
        self.failed = 0
        self.errors: list[str] = []
        self.seconds: dict[str, float] = defaultdict(float)
        self.canaries: int | None = None
        self.canaries_changed: list[str] = []
        self.drift: list[dict[str, Any]] | None = None
        self._chunks = itertools.count(1)

    def work(self) -> Work:
        """The next chunk of this night, by a name that its retries keep."""
        return Work(
            run_id=self.run_id,
            chunk=f"{self.run_id}:{next(self._chunks)}",
            lease_s=self.params.screening.lease_s,
            max_attempts=self.params.screening.max_attempts,
            overlay_size=self.params.screening.overlay_size,
            rescore=self.rescore,
        )

    def step(self, function: Any, name: str, *arguments: object) -> Any:
        """Run a step with its retries, and add to its time."""
        with self.timed(name):
            return _step(function, name, self.params)(*arguments)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add what happens meanwhile to a step's time."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += time.monotonic() - began

    def attempt(self, function: Any, name: str, *arguments: object) -> Any:
        """Run a step with its retries; a failure of this part alone is noted and gives None.

        Where a service stays away after all retries nothing else would work either: that is raised.
        """
        with self.timed(name):
            state = _step(function, name, self.params)(*arguments, return_state=True)
        return self.took(name, state)

    def took(self, name: str, ended: State[Any] | ClarityError) -> Any:
        """What a part of the night came to, as ``attempt`` says."""
        if isinstance(ended, State):
            if ended.is_completed():
                return ended.result()
            error = ended.result(raise_on_failure=False)
        else:
            error = ended
        if isinstance(error, StorageUnavailable | ClusterUnavailable) or not isinstance(error, ClarityError):
            raise error
        self.errors.append(f"{name}: {error}")
        return None


def _work(night: _Night, lock: NightLock) -> report.Summary:
    night.step(steps.begin, "begin", night.run_id, night.champion.by, "rescore" if night.rescore else "night")
    try:
        _watch_model(night)
        if not night.rescore:
            _take_in(night, lock)
        _score(night, lock)
    except (StorageError, AlreadyRunning, ClusterUnavailable) as error:
        night.errors.append(f"stopped: {error}")
    return _close(night)


def _watch_model(night: _Night) -> None:
    """Canaries ride first: a model that no longer answers as it did is known before its answers are."""
    done = night.attempt(steps.ride_canaries, "canaries", night.champion)
    if done is not None:
        night.canaries, night.canaries_changed = done


def _take_in(night: _Night, lock: NightLock) -> None:
    after: str | None = ""
    while after is not None:
        found, after = night.step(steps.look, "look", night.params.screening.inbox, after)
        for chunk in _chunks(found, _CHUNK):
            lock.confirm(patience_s=_DELAYS_S[: night.params.screening.batch_retries])
            night.attempt(steps.register, "register", chunk, night.params, night.run_id)


def _score(night: _Night, lock: NightLock) -> None:
    screening, timer = night.params.screening, partial(night.timed, "score")
    with contextlib.closing(runners.run(_calls(night, lock), screening, Settings.load(), timer)) as finished:
        for call, state in finished:
            done = night.took("score", state)
            night.failed += done.failed if done else len(call.arguments[0])
            night.errors += done.errors if done else ()


def _calls(night: _Night, lock: NightLock) -> Iterator[Call]:
    """The night's chunks, drawn as they can be worked on; before each the lock is confirmed."""
    by, params = night.champion.by, night.params.screening
    score = _step(steps.score_batch, "score", night.params)
    visits, after = night.step(steps.waiting, "waiting", by, None, night.rescore)
    while after is not None:
        for chunk in _whole(visits, params.batch_size):
            lock.confirm(patience_s=_DELAYS_S[: params.batch_retries])
            yield Call(score, (chunk, night.champion, night.work(), params.policy))
        visits, after = night.step(steps.waiting, "waiting", by, after, night.rescore)


def _close(night: _Night) -> report.Summary:
    """Report, tell, then publish; where the services stay away, say what came first."""
    try:
        if not night.rescore:
            night.drift = night.attempt(steps.find_drift, "drift", night.run_id, night.champion)
        elif night.attempt(steps.compare_versions, "changes", night.run_id, night.champion.by) is None:
            get_run_logger().info("no earlier model version to compare with")
        summary = _summary(night)
        if night.attempt(steps.publish, "publish", summary) is None and night.errors[len(summary.errors) :]:
            summary = _summary(night)
    except StorageError as error:
        first = night.errors[0] if night.errors else str(error)
        told = steps.tell_of_death(night.run_id)
        raise ScreeningIncomplete(
            f"screening {night.run_id}: {first}; run it again when that is mended ({told})"
        ) from None
    _show(summary)
    return summary


def _summary(night: _Night) -> report.Summary:
    known = report.Known(dict(night.seconds), night.canaries, night.canaries_changed, night.drift)
    limits = night.params.screening.limits
    arguments = (night.run_id, night.champion.by, night.failed, night.errors, known, limits)
    summary: report.Summary = night.step(steps.finish, "finish", *arguments)
    told: report.Summary = night.step(steps.tell, "tell", summary)
    return told


def _show(summary: report.Summary) -> None:
    create_markdown_artifact(report.markdown(summary), key="screening", description=f"Screening {summary.run}")
    if summary.quarantine:
        create_table_artifact(summary.quarantine, key="screening-quarantine", description=f"Screening {summary.run}")
    get_run_logger().info("screening %s %s: %s", summary.run, summary.status, dict(summary.outcomes))


def _step(function: Any, name: str, params: Params) -> Any:
    """A library call as a Prefect task: never cached, as every step has an effect or reads what changes."""
    retries = params.screening.batch_retries
    return task(
        function,
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=retries,
        retry_delay_seconds=_DELAYS_S[:retries] or 0,
        retry_condition_fn=_may_pass,
    )


def _may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    """Retry what a restart of PostgreSQL, the store or MLflow would heal, and no photograph's own fault."""
    return isinstance(state.data, StorageUnavailable)


def _chunks(items: list[Any], size: int) -> list[list[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _whole(visits: list[list[str]], size: int) -> Iterator[list[str]]:
    """Chunks of ``size`` photographs and no visit in two of them, so the largest may be larger."""
    chunk: list[str] = []
    for visit in visits:
        if chunk and len(chunk) + len(visit) > size:
            yield chunk
            chunk = []
        chunk = chunk + visit
    if chunk:
        yield chunk
