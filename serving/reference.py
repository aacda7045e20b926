"""docs/api.md from the OpenAPI document: every route with its parameters, scope, answers, errors and examples.

``python -m serving.reference > docs/api.md``; a test holds the committed file equal to what this prints.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serving import schema
from serving.errors import TABLE

Document = Mapping[str, Any]
_NOBODY_READS = 499
METHODS = ("get", "post", "patch", "put", "delete")
_HEAD = """# The API

{description}

This page is made of the OpenAPI document by `python -m serving.reference`. A running service has the document at
`/openapi.json`, and as a page at `/docs`. Everything stands under `/v1`; the same path without it is always the newest
version. A key (`clarity key create`) goes with each request but `/health`, as `Authorization: Bearer`, as `X-API-Key`,
or as the password of HTTP Basic.

The examples are one story, and a test runs it. The shell has `CLARITY_API_URL`, `CLARITY_API_KEY`, and with `PATIENT`
and `SCAN` ids that earlier answers gave; Python begins with

    from pathlib import Path

    from clarity.client import Client

    client = Client()  # CLARITY_API_URL, CLARITY_API_KEY

The client tries again what is safe to be tried again, with an Idempotency-Key of its own, and raises the
[errors](#errors) as classes of `clarity.client.errors`.
"""


def main() -> None:
    """Print the page."""
    sys.stdout.write(page(openapi()))


def openapi() -> Document:
    """The document of a service with the project's configuration. Starts and connects to nothing."""
    from clarity import params
    from clarity.settings import Settings
    from serving.app import build
    from serving.site import Site
    from serving.source import Source

    project = Path(__file__).resolve().parents[1]
    settings = Settings(CLARITY_HOME=project / ".clarity", CLARITY_PROJECT=project)
    loaded = params.load(project / "conf/pipeline.yaml")
    made: Document = build(Source.of(settings, loaded.model.name, None), Site(settings, loaded)).app.openapi()
    return made


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """(method, path, operation), in the document's order."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def page(document: Document) -> str:
    """Markdown."""
    lines = [_HEAD.format(description=document["info"]["description"]), "| | |", "|---|---|"]
    for method, path, operation in operations(document):
        lines.append(f"| [`{method} {path}`](#{_anchor(method, path)}) | {operation.get('summary', '')} |")
    for method, path, operation in operations(document):
        lines += _operation(document, method, path, operation)
    lines += ["", *_errors(), "", "## Answers", "", "Answers may gain fields; those below stay.", ""]
    for name in schema.answered(document, [operation for *_, operation in operations(document)]):
        lines += schema.table(document, name)
    return "\n".join(lines).rstrip() + "\n"


def _anchor(method: str, path: str) -> str:
    """As GitHub makes it of a heading."""
    return "".join(letter for letter in f"{method}-{path}".lower() if letter.isalnum() or letter in "-_")


def _operation(document: Document, method: str, path: str, operation: Document) -> Iterator[str]:
    yield from ("", f"## {method} {path}", "", schema.text(operation.get("description", "")), "")
    yield f"Key: {_scope(operation)}."
    rows = list(schema.given(document, operation))
    if rows:
        yield from ("", "| | in | | |", "|---|---|---|---|", *rows)
    yield from ("", *schema.answers(operation))
    for sample in operation.get("x-codeSamples", ()):
        # No block of Python: those of the other pages run by themselves, these one after the other
        block = "sh" if sample["lang"] == "shell" else "py"
        yield from ("", f"```{block}", sample["source"], "```")


def _scope(operation: Document) -> str:
    said = operation["security"]
    scopes = sorted({scope for one in said for needed in one.values() for scope in needed})
    if not said:
        return "none"
    return f"with the scope {', '.join(scopes)}" if scopes else "any"


def _errors() -> Iterator[str]:
    yield from ("## Errors", "")
    yield (
        "Every error is a problem document (RFC 9457, `application/problem+json`): `code` is stable and for programs, "
        "`detail` a sentence that says subject, value and verdict, `request_id` is in the service's log and in the "
        "header `X-Request-Id`. 429 and 503 say with `Retry-After` when to try again."
    )
    yield from ("", "| status | code | |", "|---|---|---|")
    for status, code, title in sorted({(row.status, row.code, row.title) for row in TABLE.values()}):
        if status == _NOBODY_READS:
            continue
        yield f"| {status} | `{code}` | {title} |"


if __name__ == "__main__":
    main()
