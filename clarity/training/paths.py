"""Where a workspace keeps what the stages read and write; the names that ``dvc.yaml`` declares."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """All below ``root``, the folder of dvc.yaml."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "data" / "manifest.csv"

    @property
    def photographs(self) -> Path:
        return self.root / "data" / "photographs"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def prepared(self) -> Path:
        return self.artifacts / "prepared"

    @property
    def split(self) -> Path:
        return self.artifacts / "split.csv"

    @property
    def training(self) -> Path:
        return self.artifacts / "training"

    @property
    def run(self) -> Path:
        return self.artifacts / "run.json"

    @property
    def evaluation(self) -> Path:
        return self.artifacts / "evaluation"

    @property
    def bundle(self) -> Path:
        return self.artifacts / "bundle"

    @property
    def resume(self) -> Path:
        """Checkpoints of trainings that have not ended; no DVC out, because DVC deletes those before a stage."""
        return self.artifacts / ".resume"
