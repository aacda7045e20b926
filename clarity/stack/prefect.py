"""A Prefect server on our PostgreSQL (on SQLite a few parallel tasks give "database is locked")."""

import sys

import httpx

from clarity.settings import Settings
from clarity.stack import postgres
from clarity.stack.addresses import Home
from clarity.stack.part import Part
from clarity.stack.process import Command


class Prefect(Part):
    """API, user interface and scheduler of the flows."""

    name = "prefect"
    needs = ("postgres",)
    ports = ("prefect",)
    address = "PREFECT_API_URL"
    patience_s = 150  # the first start makes its tables

    def variables(self, home: Home) -> dict[str, str]:
        return {"PREFECT_API_URL": f"http://127.0.0.1:{home.ports['prefect']}/api"}

    def url(self, settings: Settings) -> str:
        return settings.need("prefect_api_url").removesuffix("/api")

    def command(self, home: Home) -> Command:
        postgres.ensure_database(home.settings, "prefect")
        database = postgres.sibling_url(home.settings, "prefect", "asyncpg")
        variables = client_environment(home) | {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home.root / "prefect" / "ui"),  # site-packages may be read-only
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        }
        listen = ["--host", "127.0.0.1", "--port", str(home.ports["prefect"])]
        return Command([sys.executable, "-m", "prefect", "server", "start", *listen], variables, home.root / "prefect")

    def check(self, settings: Settings) -> None:
        with client(settings) as api:
            api.get("/health").raise_for_status()


def client(settings: Settings) -> httpx.Client:
    """A client of Prefect's HTTP interface; the library itself never imports Prefect."""
    url = settings.need("prefect_api_url")
    return httpx.Client(base_url=url, timeout=5, trust_env="127.0.0.1" not in url)


def client_environment(home: Home) -> dict[str, str]:
    """What every Prefect process of this home gets: a folder of its own, no questions, no analytics."""
    folder = home.root / "prefect"
    folder.mkdir(exist_ok=True)
    return {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": home.settings.need("prefect_api_url"),
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_CLI_COLORS": "false",
        "DO_NOT_TRACK": "1",
    }
