"""An MLflow server on our PostgreSQL, its artifacts proxied into our S3."""

import sys

import httpx

from clarity.settings import Settings
from clarity.stack import postgres
from clarity.stack.addresses import Home
from clarity.stack.part import Part
from clarity.stack.process import Command


class MLflow(Part):
    """Runs, metrics, artifacts and the model registry."""

    name = "mlflow"
    needs = ("postgres", "s3")
    ports = ("mlflow",)
    address = "MLFLOW_TRACKING_URI"
    patience_s = 150  # the first start makes its tables

    def variables(self, home: Home) -> dict[str, str]:
        return {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{home.ports['mlflow']}"}

    def url(self, settings: Settings) -> str:
        return settings.need("mlflow_tracking_uri")

    def command(self, home: Home) -> Command:
        settings = home.settings
        postgres.ensure_database(settings, "mlflow")
        folder = home.root / "mlflow"
        folder.mkdir(exist_ok=True)
        storage = {name: value for name, value in settings.environment().items() if name.startswith("AWS_")}
        variables = storage | {
            "MLFLOW_BACKEND_STORE_URI": postgres.sibling_url(settings, "mlflow", "psycopg"),  # a secret: no argument
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{settings.s3_bucket}/mlflow",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its job workers hold 2 GB
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
        }
        listen = ["--host", "127.0.0.1", "--port", str(home.ports["mlflow"]), "--workers", "1"]
        return Command([sys.executable, "-m", "mlflow", "server", *listen], variables, folder)

    def check(self, settings: Settings) -> None:
        url = settings.need("mlflow_tracking_uri")
        httpx.get(f"{url}/health", timeout=5, trust_env="127.0.0.1" not in url).raise_for_status()
