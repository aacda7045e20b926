"""What a workspace is made of: a copy of the code that DVC hashes and runs, its configuration, its DVC remote."""

import configparser
import io
import shutil
from pathlib import Path

from clarity.errors import WorkspaceError
from clarity.params import Params, dump
from clarity.settings import Settings

_PACKAGES = ("clarity", "flows")
_SKIP = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache"})
_POLICIES = Path("conf/policies")

DVC_CONFIG = """[core]
    analytics = false
    check_update = false
    no_scm = true
    remote = s3
[cache]
    type = "reflink,hardlink,copy"
['remote "s3"']
    url = s3://clarity/dvc
"""


def lay_out(project: Path, target: Path, params: Params) -> None:
    """Copy clarity/, flows/, conf/policies/ and dvc.yaml of ``project`` and write conf/pipeline.yaml from ``params``.

    Only what differs is written; files that the project no longer has are removed. Raises WorkspaceError.
    """
    if project.resolve() == target.resolve():
        raise WorkspaceError(f"{target}: is the project itself, a workspace of its own is another folder")
    if not (project / "dvc.yaml").is_file():
        raise WorkspaceError(f"{project}: no dvc.yaml, not a Clarity project")
    for package in _PACKAGES:
        _mirror(project / package, target / package)
    _mirror(project / _POLICIES, target / _POLICIES)
    _write(target / "dvc.yaml", (project / "dvc.yaml").read_bytes())
    _write(target / "conf" / "pipeline.yaml", dump(params).encode())


def remote_config(settings: Settings) -> str:
    """.dvc/config.local: where the S3 remote is. Never a secret: credentials come from the environment."""
    config = configparser.ConfigParser()
    config["'remote \"s3\"'"] = {"url": f"s3://{settings.s3_bucket}/dvc", "region": settings.s3_region}
    if settings.s3_endpoint_url:
        config["'remote \"s3\"'"]["endpointurl"] = settings.s3_endpoint_url
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _mirror(source: Path, target: Path) -> None:
    wanted = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and not _SKIP & set(path.relative_to(source).parts)
    }
    for relative in wanted:
        _write(target / relative, (source / relative).read_bytes())
    for path in [p for p in target.rglob("*") if p.is_file() and p.relative_to(target) not in wanted]:
        path.unlink()
    for folder in [p for p in target.rglob("__pycache__") if p.is_dir()]:
        shutil.rmtree(folder)


def _write(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
