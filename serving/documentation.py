"""/docs: the OpenAPI document as a page, its script and style from this machine. A clinic's network has no internet."""

from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

PAGE = "/docs"
_ASSETS = "/docs/assets"


def offer(app: FastAPI) -> None:
    """Add the page and what it loads: Swagger UI as the package fastapi-offline ships it."""
    # Its files alone: its factory would make an app, and LitServe has made ours.
    folder = Path(str(resources.files("fastapi_offline"))) / "static"

    @app.get(PAGE, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title}: API",
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )

    app.mount(_ASSETS, StaticFiles(directory=folder), name="docs-assets")
