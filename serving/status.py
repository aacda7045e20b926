"""Whether the service is up and able: GET /health, /ready and /metrics at the root, GET /v1/model."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from clarity.errors import ClarityError, NoChampion
from clarity.inference.bundle import CARD, Bundle
from clarity.inference.spec import Spec
from serving import metrics
from serving.access import requires
from serving.schemas import Health, ModelCard, Part, Problem, Ready, WorkerAnswer
from serving.site import Site
from serving.state import Board, State

_PATIENCE_S = 2.0
_FRESH_S = 1.0
_OK = Part(state="ok")


def live(board: Board) -> APIRouter:
    """``GET /health``, which asks nobody for a key."""
    routes = APIRouter(tags=["service"])

    @routes.get("/health", response_model=Health, responses={503: {"model": Health}}, operation_id="health")
    def health() -> Response:
        """Whether the service is up. It is up without a model too; /ready then says why there is none."""
        settled = sum(state.settled for state in board.living())
        answer = Health(status="ok" if settled else "starting", workers=settled)
        return _json(answer.model_dump_json(), ok=bool(settled))

    return routes


def root(site: Site, board: Board) -> APIRouter:
    """``GET /ready`` and ``GET /metrics``."""
    routes = APIRouter(tags=["service"])
    database = _Check("database", lambda: _ask_database(site))
    objects = _Check("objects", lambda: _ask_objects(site))

    @routes.get("/ready", response_model=Ready, responses={503: {"model": Ready}}, operation_id="ready")
    async def ready() -> Response:
        """Whether the service can do its work now, and what is missing: model, database, object store, each named."""
        data, store = await asyncio.gather(database.part(), objects.part())
        states = board.living()
        model = _model_part(states)
        well = all(part.state == "ok" for part in (model, data, store))
        answer = Ready(
            status="ready" if well else "not ready",
            model=model,
            database=data,
            objects=store,
            registry=_registry_part(states),
            workers=[WorkerAnswer.of(state) for state in states],
        )
        return _json(answer.model_dump_json(), ok=well)

    @routes.get("/metrics", operation_id="metrics", response_class=Response)
    def counted() -> Response:
        """For Prometheus, as text: latency by step, queue, batch size, outcomes, refusals, model versions."""
        content, kind = metrics.text(board)
        return Response(content, media_type=kind)

    return routes


def router(site: Site) -> APIRouter:  # noqa: ARG001 - as every module of routes has it
    """``GET /model``."""
    routes = APIRouter(tags=["service"])

    @routes.get(
        "/model",
        response_model=ModelCard,
        responses={503: {"model": Problem}},
        operation_id="model",
        dependencies=[Depends(requires("read"))],
    )
    def model(request: Request) -> ModelCard:
        """The model in service: version, figures, card; and which version each worker serves."""
        board: Board = request.app.state.board
        states = board.living()
        state = board.in_service()
        if state is None or state.version is None:
            raise NoChampion(next((one.reason for one in states if one.reason), "model: none is in service"))
        return _card(state, states)

    return routes


class _Check:
    """One service behind this one, asked at most once a second and by one thread, however many ask here."""

    def __init__(self, name: str, ask: Callable[[], None]) -> None:
        self._name, self._ask = name, ask
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ready-{name}")
        self._running: asyncio.Future[Part] | None = None
        self._found: tuple[float, Part] = (float("-inf"), _OK)

    async def part(self) -> Part:
        """What it says within two seconds."""
        if time.monotonic() - self._found[0] < _FRESH_S:
            return self._found[1]
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().run_in_executor(self._thread, self._asked)
        try:
            return await asyncio.wait_for(asyncio.shield(self._running), _PATIENCE_S)
        except TimeoutError:
            return Part(state="failed", reason=f"{self._name}: no answer within {_PATIENCE_S:g} s")

    def _asked(self) -> Part:
        try:
            self._ask()
            found = _OK
        except ClarityError as error:
            found = Part(state="failed", reason=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the part is not well
            found = Part(state="failed", reason=f"{self._name}: {type(error).__name__}")
        self._found = (time.monotonic(), found)
        return found


def _ask_database(site: Site) -> None:
    """On a connection of its own: the routes' may all be in use."""
    from sqlalchemy import text

    from clarity.storage import database

    engine = database.engine(site.settings.need("database_url"), pool_size=1)
    try:
        with database.connection(engine) as link:
            link.execute(text("SELECT 1"))
    finally:
        engine.dispose()


def _ask_objects(site: Site) -> None:
    site.objects.check()


def _model_part(states: list[State]) -> Part:
    """Well where every worker has a model; which champion was refused is said even so."""
    without = [state for state in states if state.version is None]
    if not states:
        return Part(state="failed", reason="model: no inference worker runs")
    if without:
        reasons = {state.reason or "model: is being loaded" for state in without}
        return Part(state="failed", reason="; ".join(sorted(reasons)))
    refused = Counter((state.refused_version, state.refused_reason) for state in states if state.refused_version)
    said = [f"version {version} is refused, {_versions(states)} serves on: {why}" for version, why in refused]
    return Part(state="ok", reason="; ".join(said))


def _versions(states: list[State]) -> str:
    """The versions in service, in words."""
    return "version " + ", ".join(sorted({state.version for state in states if state.version}))


def _registry_part(states: list[State]) -> Part:
    reasons = {state.reason for state in states if state.code in ("storage_unavailable", "not_configured")}
    return Part(state="failed", reason="; ".join(sorted(reasons))) if reasons else _OK


def _card(state: State, states: list[State]) -> ModelCard:
    spec, card = _read(state.bundle)
    return ModelCard(
        name=spec.name,
        version=state.version or "",
        fingerprint=spec.fingerprint,
        backbone=spec.backbone,
        precision=state.precision,
        referable_threshold=spec.thresholds.referable,
        vision_threatening_threshold=spec.thresholds.vision_threatening,
        metrics=spec.model_dump(mode="json")["metrics"],
        data_version=spec.data_version,
        git_commit=spec.git_commit,
        card=card,
        workers=[WorkerAnswer.of(one) for one in states],
    )


@lru_cache(4)
def _read(bundle: str) -> tuple[Spec, str]:
    loaded = Bundle.load(Path(bundle))
    return loaded.spec, (loaded.path / CARD).read_text()


def _json(text: str, *, ok: bool) -> Response:
    return Response(text, 200 if ok else 503, media_type="application/json")
