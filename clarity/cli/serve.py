"""``clarity serve`` and ``clarity predict``: the promoted model over HTTP, or on files."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from clarity.errors import OverlayError

if TYPE_CHECKING:
    from clarity.errors import ClarityError
    from clarity.inference.grader import Graded, Grader
    from serving.reply import Drawing

_BUNDLE = typer.Option(None, "--bundle", help="A bundle directory instead of the registry's champion.")
_CONFIGURATION = typer.Option(None, "--config", help="conf/pipeline.yaml, then overlays in order (repeat the option).")
_IMAGES = typer.Argument(..., metavar="IMAGE...", help="Fundus photographs.")
_OVERLAYS = typer.Option(None, "--overlays", help="Write heatmap overlays into this folder.")
_HEATMAP = typer.Option("predicted", "--heatmap", help="What the heatmap explains; referable: grades 2 to 4.")
_FORMAT = typer.Option("png", "--format", help="Of the overlays; WebP has an eighth of the bytes.")
_CHUNK = 16


def register(app: typer.Typer) -> None:
    """Add this group's commands to the application."""
    app.command()(serve)
    app.command()(predict)


def serve(
    bundle: Path | None = _BUNDLE,
    host: str | None = typer.Option(None, help="Address to listen on; loopback unless configured otherwise."),
    port: int | None = typer.Option(None, help="Port to listen on; 0 for any free one."),
    config: list[Path] | None = _CONFIGURATION,
    open: bool = typer.Option(False, "--open", help="Ask nobody for a key; on loopback only."),
) -> None:
    """The online service over HTTP: documentation at /docs."""
    from serving import app

    app.main(bundle=bundle, host=host, port=port, configuration=config or [], open_=open)


def predict(
    images: list[Path] = _IMAGES,
    as_json: bool = typer.Option(False, "--json", help="What POST /predict answers, as a list."),
    bundle: Path | None = _BUNDLE,
    overlays: Path | None = _OVERLAYS,
    heatmap: Literal["predicted", "referable", "0", "1", "2", "3", "4"] = _HEATMAP,
    format: Literal["png", "webp"] = _FORMAT,
    config: list[Path] | None = _CONFIGURATION,
) -> None:
    """Grade photographs without a server. Exit code 1 where one of them could not be read."""
    import json

    from clarity import params
    from clarity.settings import Settings
    from serving.reply import Drawing
    from serving.schemas import STATEMENT
    from serving.source import Source

    settings = Settings.load()
    loaded = params.load(*(config or [settings.project / "conf/pipeline.yaml"]))
    names, drawing = _names(images), Drawing.of(heatmap, format)
    if overlays is not None:
        _made(overlays)  # before anything is graded, which would be lost
    rows: list[dict[str, object]] = []
    with Source.of(settings, loaded.model.name, bundle).load() as grader:
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            rows += _graded(
                grader, chunk, names, size=loaded.screening.overlay_size, overlays=overlays, drawing=drawing
            )
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _table(rows)
        typer.echo(STATEMENT, err=True)
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def _graded(
    grader: "Grader",
    images: list[Path],
    names: dict[Path, str],
    *,
    size: int,
    overlays: Path | None,
    drawing: "Drawing",
) -> list[dict[str, object]]:
    import time

    from clarity.errors import ClarityError, UnreadableImage

    read: list[bytes | ClarityError] = []
    for image in images:
        try:
            read.append(image.read_bytes())
        except OSError as error:
            read.append(UnreadableImage(f"{image}: {error.strerror}"))
    started = time.monotonic()
    graded = iter(grader.grade([data for data in read if isinstance(data, bytes)]))
    results = [next(graded) if isinstance(data, bytes) else data for data in read]
    took = (time.monotonic() - started) * 1e3
    rows = []
    for image, data, result in zip(images, read, results, strict=True):
        rows.append({"image": str(image)} | _row(grader, result, size=size, took=took, drawing=drawing))
        if overlays is not None and isinstance(data, bytes) and not isinstance(result, ClarityError):
            _write_overlays(overlays / names[image], data, result, grader, size, drawing)
    return rows


def _row(
    grader: "Grader", result: "Graded | ClarityError", *, size: int, took: float, drawing: "Drawing"
) -> dict[str, object]:
    import time

    from clarity.errors import ClarityError
    from serving.reply import Reply, draw
    from serving.schemas import Answer

    if isinstance(result, ClarityError):
        return {"error": type(result).__name__, "detail": str(result)}
    started = time.monotonic()
    drawn = draw(result, size, drawing)
    reply = Reply.of(
        result,
        grader.bundle.spec,
        grader.model_version,
        drawn=drawn,
        grade_ms=took,
        heatmap_ms=(time.monotonic() - started) * 1e3,
    )
    return Answer.of(reply).model_dump(mode="json")


def _names(images: list[Path]) -> dict[Path, str]:
    """The stem of each file, with a hash of its path where another file has the same stem."""
    from collections import Counter
    from hashlib import sha256

    count = Counter(image.stem for image in set(images))
    return {
        image: image.stem if count[image.stem] == 1 else f"{image.stem}-{sha256(str(image).encode()).hexdigest()[:8]}"
        for image in images
    }


def _write_overlays(path: Path, data: bytes, result: "Graded", grader: "Grader", size: int, drawing: "Drawing") -> None:
    """``NAME.crop.png`` is what the network saw, ``NAME.original.png`` the photograph as it was taken."""
    from clarity.imaging import decode
    from clarity.inference import heatmap
    from clarity.inference.legend import with_legend

    subject, cam = result.subject(drawing.wanted), result.cam(drawing.wanted)
    cropped = result.overlay(size, drawing.wanted)
    if subject is None or cam is None or cropped is None:
        return
    original = decode(data, grader.bundle.spec.imaging)
    whole = with_legend(heatmap.on_original(original, result.prepared, cam), subject)
    for kind, picture in (("crop", cropped), ("original", whole)):
        encoded = heatmap.encode(picture, drawing.format, maps=result.maps)
        file = path.with_name(f"{path.name}.{kind}.{drawing.format}")
        try:
            file.write_bytes(encoded)
        except OSError as error:
            raise OverlayError(f"{file}: {error.strerror}, overlays cannot be written") from None


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OverlayError(f"{folder}: {error.strerror}, overlays cannot be written") from None


def _table(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("photograph", "result", "confidence", "referable", "vision-threatening", "quality")
    for row in rows:
        table.add_row(Path(str(row["image"])).name, *_cells(row))
    Console().print(table)


def _cells(row: dict[str, object]) -> list[str]:
    if "error" in row:
        return [f"{row['error']}: {row['detail']}", "", "", "", ""]
    quality = row["quality"]
    assert isinstance(quality, dict)  # noqa: S101 - of the schema
    if row["grade"] is None:
        return ['ungradable (not "no DR")', "", "", "", ", ".join(quality["reasons"])]
    return [
        f"{row['grade']} {row['name']}",
        f"{row['confidence']:.2f}",
        _called(row["referable"], row["referable_probability"]),
        _called(row["vision_threatening"], row["vision_threatening_probability"]),
        f"{quality['score']:.2f}",
    ]


def _called(positive: object, probability: object) -> str:
    return f"{'yes' if positive else 'no'} ({probability:.2f})"
