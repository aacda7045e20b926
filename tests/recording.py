"""The server of ``clarity serve`` with an engine that keeps the tensors it is given: ``python -m tests.recording``."""

import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clarity import params
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
from clarity.inference.scores import Scores
from clarity.records import Tensor
from clarity.settings import Settings
from serving.source import Source

FOLDER = "RECORDED_TENSORS"
PROJECT = Path(__file__).resolve().parents[1]


class RecordingEngine(Engine):
    """Writes every tensor to $RECORDED_TENSORS, then runs it."""

    def run(self, tensor: Tensor) -> Scores:
        folder = Path(os.environ[FOLDER])
        number = next(n for n in itertools.count() if not (folder / f"{n}.npy").exists())
        np.save(folder / f"{number}.npy", tensor)
        return super().run(tensor)


@dataclass(frozen=True, slots=True)
class RecordingSource(Source):
    """The bundle of the command line behind that engine; in the worker's process too, where it is unpickled."""

    def open(self, path: Path, version: str) -> Grader:
        bundle = Bundle.load(path)
        return Grader(bundle, RecordingEngine.load(bundle), version)


def recorded(folder: Path) -> list[Tensor]:
    """The tensors in the order of arrival."""
    return [np.load(folder / f"{number}.npy") for number in range(len(list(folder.glob("*.npy"))))]


def main(bundle: str, port: str) -> None:
    from serving.app import build
    from serving.crates import make_run_folder
    from serving.site import Site

    source = RecordingSource("recording", Path(bundle), None, Path(bundle))
    loaded = params.load(PROJECT / "conf/pipeline.yaml")
    build(source, Site(Settings.load(), loaded), make_run_folder(), open_=True).run(
        host="127.0.0.1", port=int(port), log_level="warning", generate_client_file=False
    )


if __name__ == "__main__":
    # named by its module, so that the worker can find the class again
    from tests import recording

    recording.main(*sys.argv[1:])
