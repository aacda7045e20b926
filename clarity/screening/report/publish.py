"""A night's report into the object store."""

import json

from sqlalchemy import Engine

from clarity.inference import heatmap
from clarity.screening.report import contact, night
from clarity.screening.report.summary import NOTICE, Summary
from clarity.storage import database, nights
from clarity.storage.objects import Objects

SHOWN = 24
"""Overlays on a page."""


def write(objects: Objects, engine: Engine, summary: Summary) -> None:
    """Put ``report.html``, ``summary.json`` and, where anything was scored, ``contact.png`` under ``reports/<run>/``.

    Raises StorageError.
    """
    with database.session(engine) as session:
        worst = nights.worst(session, summary.run, SHOWN)
        graded, ungradable = nights.qualities(session, summary.run)
    tiles = contact.tiles(objects, worst)
    shown = f"{len(tiles)} of {summary.scored} scored photographs, worst first"
    sheet = contact.draw(tiles, f"{summary.model} {summary.model_version}: {shown}", NOTICE)
    if sheet is not None:
        objects.put(f"{summary.report}contact.png", heatmap.encode(sheet), "image/png")
    page = night.page(summary, night.Pictures(tiles, graded, ungradable))
    objects.put(f"{summary.report}report.html", page, "text/html; charset=utf-8")
    text = json.dumps(summary.counts(), indent=2, ensure_ascii=False)
    objects.put(f"{summary.report}summary.json", text.encode(errors="backslashreplace"), "application/json")
