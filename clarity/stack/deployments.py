"""Register the deployments of the project's prefect.yaml, once per change of what they say."""

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from clarity.errors import StackError
from clarity.stack.addresses import Home
from clarity.stack.prefect import client, client_environment
from clarity.stack.process import environment

FILE = "prefect.yaml"


def register(home: Home) -> str:
    """Register what prefect.yaml declares and what has changed since; returns a remark for people.

    A flow file that cannot be loaded does not keep the stack down: it is remembered for :func:`trouble`.
    """
    project = home.settings.project
    declared = _declared(project)
    if declared is None:
        _remember(home, {})
        return f"no {FILE} in {project}: nothing deployed"
    names = {entry["name"]: entry["entrypoint"].partition(":")[0] for entry in declared}
    present = sorted(name for name, file in names.items() if (project / file).exists())
    digest = _digest(project, [names[name] for name in present])
    known = _known(home)
    if known.get("digest") != digest or known.get("error") or set(_updated(home, present)) != set(present):
        error = _deploy(home, present) if present else None
        _remember(home, {"digest": digest, "names": present, "error": error})
        if error:
            return f"NOT deployed: {error}"
    missing = sorted(set(names) - set(present))
    remark = f"deployed {', '.join(present) or 'nothing'}"
    return f"{remark}; no file yet for {', '.join(missing)}" if missing else remark


def trouble(home: Home) -> str | None:
    """Why the last registration failed, if it did."""
    error = _known(home).get("error")
    return f"{FILE} not deployed: {error}" if error else None


def _deploy(home: Home, names: list[str]) -> str | None:
    """Register ``names``; returns the last words of Prefect about the first that is not registered.

    By one command, most of whose time is the start of Prefect; then each alone that it has left out.
    """
    begun = datetime.now(UTC)
    _prefect_deploy(home, names)
    for name in _missing(home, names, begun):
        words = _prefect_deploy(home, [name])
        if _missing(home, [name], begun):
            return f"{name}: {words} (see {home.log('deploy')})"
    return None


def _missing(home: Home, names: list[str], since: datetime) -> list[str]:
    """Which of them the server has not taken in since then."""
    updated = _updated(home, names)
    return [name for name in names if updated.get(name, since) <= since]


def _prefect_deploy(home: Home, names: list[str]) -> str:
    """Run ``prefect deploy`` for these deployments; returns the last line that it wrote.

    Whether it did its work is asked of the server: with some releases of fastapi the command registers one, then fails
    on a question of its own about workers, and leaves out the deployments after it.
    """
    chosen = [word for name in names for word in ("--name", name)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "deploy", *chosen],
            cwd=home.settings.project,
            env=environment(home.settings.environment() | client_environment(home)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
    except subprocess.TimeoutExpired:
        return "prefect deploy did not end in 120 s"
    output = done.stdout + done.stderr
    with home.log("deploy").open("a") as log:
        log.write(output)
    lines = [line.strip(" │╰╭─╯╮") for line in output.splitlines()]
    return next((line for line in reversed(lines) if line), "no output")


def _declared(project: Path) -> list[dict[str, Any]] | None:
    file = project / FILE
    if not file.exists():
        return None
    try:
        declared: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise StackError(f"{file}: {type(error).__name__} {error}, no deployments can be read from it") from None
    return declared


def _digest(project: Path, files: list[str]) -> str:
    content = hashlib.sha256(str(project).encode())
    for file in [FILE, *sorted(files)]:
        content.update((project / file).read_bytes())
    return content.hexdigest()


def _updated(home: Home, names: list[str]) -> dict[str, datetime]:
    """When the server last took in each of the deployments that it knows."""
    question = {"deployments": {"name": {"any_": names}}}
    with client(home.settings) as api:
        answer = api.post("/deployments/filter", json=question).raise_for_status()
    return {entry["name"]: datetime.fromisoformat(entry["updated"]) for entry in answer.json()}


def _known(home: Home) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads((home.state / "deployments.json").read_text())
    except (OSError, ValueError):
        return {}
    return known


def _remember(home: Home, what: dict[str, Any]) -> None:
    (home.state / "deployments.json").write_text(json.dumps(what))
