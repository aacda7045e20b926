"""The online service, ``clarity serve`` with keys, on the stack's PostgreSQL, S3 and MLflow."""

import ssl
import sys

import httpx

from clarity.errors import StackError
from clarity.settings import Settings
from clarity.stack.addresses import Home
from clarity.stack.part import Part
from clarity.stack.process import Command

CONFIGURATION = "conf/pipeline.yaml"


class Serving(Part):
    """The API that apps and clinicians call; up without a champion, and it takes the next one by itself.

    It is started while MLflow still starts: a registry that does not answer yet is to it one without a champion.
    """

    name = "serving"
    needs = ("postgres", "s3")
    beside = ("mlflow",)
    ports = ("serving",)
    address = "CLARITY_API_URL"

    def variables(self, home: Home) -> dict[str, str]:
        scheme = "https" if home.settings.tls_certificate else "http"
        return {"CLARITY_API_URL": f"{scheme}://127.0.0.1:{home.ports['serving']}"}

    def url(self, settings: Settings) -> str:
        return settings.need("api_url")

    def command(self, home: Home) -> Command:
        said = home.settings.serving_config or CONFIGURATION
        files = [home.settings.project / file.strip() for file in said.split(",")]
        if missing := [file for file in files if not file.is_file()]:
            raise StackError(f"serving: {missing[0]}: not there; `clarity up` is typed in the project's folder")
        options = [text for file in files for text in ("--config", str(file))]
        listen = ["--host", "127.0.0.1", "--port", str(home.ports["serving"])]
        folder = home.root / "serving"
        folder.mkdir(exist_ok=True)
        variables = home.settings.environment()
        variables.pop("CLARITY_API_KEY", None)  # of its clients
        return Command([sys.executable, "-m", "clarity", "serve", *listen, *options], variables, folder)

    def check(self, settings: Settings) -> None:
        url = settings.need("api_url")
        local = "127.0.0.1" in url
        answer = httpx.get(f"{url}/health", timeout=5, trust_env=not local, verify=_trust(settings, local=local))
        answer.raise_for_status()

    def finish(self, home: Home) -> str | None:
        return f"{home.settings.need('api_url')}/docs, with a key of `clarity key create`"


def _trust(settings: Settings, *, local: bool) -> ssl.SSLContext:
    """The system's certificates; on loopback our own one too, whatever name it was made for."""
    context = ssl.create_default_context()
    if local and settings.tls_certificate is not None:
        context.load_verify_locations(settings.tls_certificate)
        context.check_hostname = False
    return context
