"""Schemas of the OpenAPI document as Markdown: parameters, bodies, answers, a line a field."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
_PREFIX = "#/components/schemas/"
_PLACES = {"multipart/form-data": "form", "application/json": "JSON"}
_AN_ERROR = "a problem"


@dataclass
class _Given:
    """One thing that a caller says, and the places where it may stand."""

    shape: Document
    said: str
    needed: bool
    places: list[str]


def given(document: Document, operation: Document) -> Iterator[str]:
    """A row for each parameter of an operation and each field of its body; one for bodies without fields."""
    found: dict[str, _Given] = {}
    for one in operation.get("parameters", ()):
        said = one.get("description", "") or one["schema"].get("description", "")
        found[one["name"]] = _Given(one["schema"], said, one.get("required", False), [one["in"]])
    plain: list[str] = []
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        shape = _resolved(document, content.get("schema", {}))
        if "properties" not in shape:
            plain.append(f"`{media}`")
        for name, one in shape.get("properties", {}).items():
            field = found.setdefault(
                name, _Given(one, one.get("description", ""), name in shape.get("required", ()), [])
            )
            field.places.append(_PLACES.get(media, media))
    for name, one in found.items():
        yield _row(document, name, one)
    if plain:
        yield f"| the body | instead of a form | {', '.join(plain)} | The photograph alone. |"


def answers(operation: Document) -> Iterator[str]:
    """What is answered, a sentence; and which errors, another."""
    told: dict[str, list[str]] = {}
    for status, response in sorted(operation["responses"].items()):
        told.setdefault(_answer(response), []).append(status)
    errors = told.pop(_AN_ERROR, [])
    yield "Answers: " + "; ".join(f"{' and '.join(statuses)} {what}" for what, statuses in told.items()) + "."
    if errors:
        yield f"[Errors](#errors): {', '.join(errors)}."


def _answer(response: Document) -> str:
    for media, content in response.get("content", {}).items():
        name = content.get("schema", {}).get("$ref", "").removeprefix(_PREFIX)
        return _AN_ERROR if name == "Problem" else f"[`{name}`](#{name.lower()})" if name else f"`{media}`"
    return "without a body"


def answered(document: Document, operations: Iterable[Document]) -> list[str]:
    """Names of all schemas that answers are made of, each behind the one that first names it."""
    found: dict[str, None] = {}
    for operation in operations:
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                _collect(document, content.get("schema", {}), found)
    return list(found)


def table(document: Document, name: str) -> Iterator[str]:
    """A schema with a row for each field, and its example where it has one."""
    shape = document["components"]["schemas"][name]
    yield from (f"### {name}", "", text(shape.get("description", "")), "", "| | | |", "|---|---|---|")
    for field, one in shape.get("properties", {}).items():
        yield f"| `{field}` | {kind(document, one)} | {text(one.get('description', ''))} |"
    yield ""
    for example in shape.get("examples", ())[:1]:
        yield from ("```json", json.dumps(example, indent=2, ensure_ascii=False), "```", "")


def kind(document: Document, shape: Document) -> str:
    """What a value is, in few words."""
    if "$ref" in shape:
        name = shape["$ref"].removeprefix(_PREFIX)
        return f"[`{name}`](#{name.lower()})"
    if "anyOf" in shape or "oneOf" in shape:
        return " or ".join(dict.fromkeys(kind(document, one) for one in shape.get("anyOf", shape.get("oneOf"))))
    if "const" in shape:
        return f"`{shape['const']}`"
    if "enum" in shape:
        return ", ".join(f"`{value}`" for value in shape["enum"])
    if shape.get("type") == "array":
        return f"list of {kind(document, shape.get('items', {}))}"
    return str(shape.get("format") or shape.get("type") or "any")


def text(said: str) -> str:
    """A description on one line, code marked as Markdown has it."""
    return " ".join(said.replace("``", "`").replace("|", r"\|").split())


def _row(document: Document, name: str, one: _Given) -> str:
    default = one.shape.get("default")
    also = "Required." if one.needed else f"`{json.dumps(default)}` by default." if default is not None else ""
    told = " ".join(part for part in (text(one.said), also) if part)
    return f"| `{name}` | {' or '.join(one.places)} | {kind(document, one.shape)} | {told} |"


def _resolved(document: Document, shape: Document) -> Document:
    name = shape.get("$ref", "").removeprefix(_PREFIX)
    resolved: Document = document["components"]["schemas"][name] if name else shape
    return resolved


def _collect(document: Document, shape: Any, found: dict[str, None]) -> None:
    if isinstance(shape, list):
        for one in shape:
            _collect(document, one, found)
    elif isinstance(shape, dict):
        name = shape.get("$ref", "")
        if isinstance(name, str) and name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in found:
            name = name.removeprefix(_PREFIX)
            found[name] = None
            _collect(document, document["components"]["schemas"][name].get("properties", {}), found)
        for key, one in shape.items():
            if key not in ("examples", "example"):
                _collect(document, one, found)
