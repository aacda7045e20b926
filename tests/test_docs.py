"""The documentation is code: its links lead somewhere, its commands exist, its examples and notebooks run."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import typer

from clarity.cli import app
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from tests import tiny
from tests.serving.online import online

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named(page: Path) -> str:
    return page.name


def commands(page: Path, program: str) -> list[str]:
    """Every call of a program in the page's shell blocks and in its inline code."""
    text = page.read_text()
    shell = [
        line.removeprefix("$ ") for kind, body in FENCE.findall(text) if kind == "console" for line in body.split("\n")
    ]
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    inside = re.findall(rf"\$\(({program} [^)]*)\)", "\n".join(shell))
    return [line.strip() for line in [*shell, *inline, *inside] if line.strip().startswith(f"{program} ")]


def shell(page: Path) -> str:
    """What the page would have typed, a command a line."""
    blocks = [body for kind, body in FENCE.findall(page.read_text()) if kind in ("console", "sh")]
    return re.sub(r"^\$ ", "", re.sub(r"\\\n\s*", "", "\n" + "\n".join(blocks)), flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_inside_the_repository_lead_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()) + re.findall(r'src="([^"]+)"', page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    known = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    asked = {word for line in commands(page, "make") for word in line.split()[1:] if re.fullmatch(r"[a-z]+", word)}
    assert asked <= known


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_clarity_command_and_option_that_is_named_exists(page: Path) -> None:
    wrong = [line for line in commands(page, "clarity") for fault in [fault_of(line)] if fault]
    assert wrong == []


def fault_of(line: str) -> str | None:
    """What is wrong with a documented call; alternatives (``up | down``) are checked one by one."""
    words = shlex.split(line.split("  #")[0].split(" > ")[0])[1:]
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):  # a group; typer's own classes need not be click's
        word = words.pop(0)
        names = word.split("|")
        while len(words) > 1 and words[0] == "|":
            names.append(words[1])
            del words[:2]
        if unknown := [name for name in names if name not in command.commands]:
            return f"{unknown[0]}: no such command"
        command = command.commands[names[0]]
    options = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    used = {re.split(r"[=\]]", word.lstrip("["))[0] for word in words if word.lstrip("[").startswith("--")}
    return f"{used - options}: no such options" if used - options - {"--help"} else None


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_examples_run(
    page: Path,
    settings: Settings,
    tiny_bundle: Bundle,
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("CLARITY_PROJECT", str(workspace))
    names: dict[str, object] = {}
    blocks = [body for kind, body in FENCE.findall(page.read_text()) if kind == "python"]
    with (
        service(settings, tiny_bundle, tmp_path, monkeypatch) if "clarity.client" in "".join(blocks) else nullcontext()
    ):
        for body in blocks:
            exec(compile(body, f"{page.name}", "exec"), names)  # noqa: S102


@contextmanager
def service(settings: Settings, bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A live one, whose address and key the environment has, and a photograph in the current folder."""
    with online(settings, bundle, folder) as running:
        for name, value in running.variables("predict", "read", "review").items():
            monkeypatch.setenv(name, value)
        Path("capture.jpg").write_bytes(tiny.jpeg(tiny.eye(seed=11)))
        yield


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "api.md" and "\ncurl" in shell(p)], ids=named)
def test_every_call_of_curl_is_answered(
    page: Path, settings: Settings, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURL_HOME", str(tmp_path))
    Path(".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    with service(settings, tiny_bundle, tmp_path, monkeypatch):
        for call in re.findall(r"^curl .*", shell(page), re.MULTILINE):
            done = subprocess.run(["bash", "-euc", call], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (call, done.stdout, done.stderr)
            if call.endswith('/v1/patients/"'):
                monkeypatch.setenv("PATIENT", json.loads(done.stdout)["id"])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=named)
def test_notebooks_run_from_top_to_bottom(
    notebook: Path, settings: Settings, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("CLARITY_PROJECT", str(workspace))
    book = nbformat.read(notebook, as_version=4)
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(workspace)}}).execute()


def test_notebooks_are_committed_without_outputs() -> None:
    import nbformat

    for path in NOTEBOOKS:
        assert [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code" and c.outputs] == [], path
    assert NOTEBOOKS


def test_every_setting_is_explained_in_the_example_environment() -> None:
    text = (PROJECT / ".env.example").read_text()
    assert [alias for info in Settings.model_fields.values() if (alias := info.alias) and alias not in text] == []


def test_every_make_target_is_explained_by_make_help() -> None:
    rules = re.findall(r"^([a-z]+):(.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name, rest in rules if "## " not in rest] == []
