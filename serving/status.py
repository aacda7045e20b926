"""GET /health, /ready and /metrics at the root; GET /v1/model."""

from fastapi import APIRouter, FastAPI
from litserve import LitServer
from litserve.utils import WorkerSetupStatus
from starlette.responses import Response

from serving.schemas import Health


def root(app: FastAPI, server: LitServer) -> None:
    """Add what stands at the root and has no version."""
    routes = APIRouter(tags=["service"])

    @routes.get("/health", response_model=Health, responses={503: {"model": Health}}, operation_id="health")
    async def health() -> Response:
        """Whether the service is up. It is up without a model too; /ready then says why there is none."""
        ready = sum(state == WorkerSetupStatus.READY for state in dict(server.workers_setup_status).values())
        answer = Health(status="ok" if ready else "starting", workers=ready)
        return Response(answer.model_dump_json(), 200 if ready else 503, media_type="application/json")

    app.include_router(routes)
