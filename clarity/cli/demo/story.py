"""The demo: the real pipeline with a small configuration, from photographs to an HTTP answer. No step is its own."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from clarity import params as parameters
from clarity import stack
from clarity.cli.demo import answer, captures, summary
from clarity.cli.demo.measure import PeakMemory, Steps
from clarity.cli.demo.summary import Facts
from clarity.data import manifest
from clarity.data.workspace import Workspace
from clarity.params import Params
from clarity.settings import Settings
from clarity.storage.objects import Objects
from clarity.training.identity import git_commit

CAPTURES = 40


class Demo:
    """One run of the demo in ``$CLARITY_HOME/demo``; run again, it goes on with what is there."""

    def __init__(self, settings: Settings, data: Path | None, console: Console) -> None:
        from clarity.data import sources

        self.project = settings.project
        self.data = data
        self.source = sources.detect(data) if data else "phantoms"  # before anything is started for it
        name = "photographs" if data else "phantoms"
        self.folder = settings.home / "demo"
        self.workspace = self.folder / f"workspace-{name}"
        self.settings = settings.model_copy(update={"project": self.workspace})
        self.overlay = self.project / "conf" / ("photographs.yaml" if data else "demo.yaml")
        self.params: Params = parameters.load(self.project / "conf" / "pipeline.yaml", self.overlay)
        self.console = console
        self.steps = Steps(console)

    def run(self) -> Facts:
        """Every step in order; the facts of the run. Raises what a step raises, after the stack is stopped again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "screened.png").unlink(missing_ok=True)  # of an earlier run
        with PeakMemory() as memory:
            started = self._up()
            try:
                memory.also(part.pid for part in stack.status(self.settings) if part.pid)
                dataset = self._ingest(self._photographs())
                verdict = self._train()
                accepted = verdict["decision"] in ("promoted", "champion")
                served = accepted or verdict["champion"] is not None
                screened = self._screen() if served else {}
                prediction = self._predict() if served else {}
            finally:
                with self.steps.step("down", "stop what the demo started"):
                    stack.down(self.settings, parts=started)
        written = self.folder / "demo.json"
        facts = Facts(
            timings_s=self.steps.total(),
            dataset=dataset,
            test=self._test(),
            gate={"accepted": accepted, "decision": verdict["decision"],
                  "reasons": list(verdict["reasons"]), "note": self.params.gate.note},
            model_version=f"{self.params.model.name} {verdict['version']}",
            screened=screened,
            prediction=prediction,
            peak_rss_mb=memory.peak_mb,
            files=self._files(written),
            servers=self._servers(),
            overlay=f"conf/{self.overlay.name}",
        )  # fmt: skip
        summary.write(facts, written)
        return facts

    def _up(self) -> tuple[str, ...]:
        with self.steps.step("up", "PostgreSQL, S3, Prefect and MLflow on this machine"):
            # and what they need: all but the online service, for the demo asks one of its own configuration
            parts = ("mlflow", "worker")
            started = stack.up(
                self.settings, parts=parts, on_progress=lambda name, what: self.console.print(f"  {name}: {what}")
            )
        self.settings = started.settings
        # Prefect reads its server's address while it is imported, and the flows build their own Settings
        os.environ.update(self.settings.environment())
        # The workspace may lie outside the project, where git would not find the commit
        os.environ.setdefault("CLARITY_GIT_COMMIT", git_commit(self.project))
        return started.names

    def _photographs(self) -> tuple[str, Path]:
        from clarity.data import phantoms

        if self.data:
            return self.source, self.data
        folder = self.folder / "phantoms"
        with self.steps.step("phantoms", f"draw {self.params.phantoms.count} photographs of known grade"):
            phantoms.write(folder, self.params.phantoms)
        return self.source, folder

    def _ingest(self, source: tuple[str, Path]) -> dict[str, Any]:
        from flows.ingest import ingest

        name, path = source
        Workspace.create(self.project, self.workspace, self.params, self.settings)
        with self.steps.step("ingest", f"{name}: check, hash and version every photograph with DVC"):
            result = ingest(name, str(path), workspace=str(self.workspace))
        figures = json.loads((self.settings.home / "ingest" / result["version"] / "summary.json").read_text())
        return {
            "version": result["version"],
            "source": name,
            "phantoms": name == "phantoms",
            "committed": self._committed() == result["version"],
            **{key: figures[key] for key in ("total", "patients", "by_grade", "quarantined", "near_duplicates")},
        }

    def _committed(self) -> str:
        """The version that the project's own data.dvc names: the phantoms that the generator reproduces."""
        file = self.project / "data.dvc"
        return str(yaml.safe_load(file.read_text())["outs"][0]["md5"]).removesuffix(".dir") if file.exists() else ""

    def _train(self) -> dict[str, Any]:
        from flows.train import train

        with self.steps.step("train", "prepare, split, train, evaluate under DVC; register, gate, promote"):
            verdict: dict[str, Any] = train(str(self.workspace))
        return verdict

    def _screen(self) -> dict[str, Any]:
        from flows.screen import screen

        objects = Objects(self.settings)
        with self.steps.step("screen", "a night of captures: quality, grade, heatmap, outcome"):
            folder = f"{self.params.screening.inbox}demo-{self.params.model.name}"
            captures.push(self.workspace, captures.held_out(self.workspace, CAPTURES), folder, objects)
            counts = screen()
        sheet = f"{counts['report']}contact.png"
        if objects.exists(sheet):
            (self.folder / "screened.png").write_bytes(objects.get(sheet))
        named = ("registered", "scored", "ungradable", "quarantined", "failed")
        return {"captures": {name: counts[name] for name in named}, "outcomes": counts["outcomes"],
                "grades": counts["grades"], "quarantine": counts["quarantine"]}  # fmt: skip

    def _predict(self) -> dict[str, Any]:
        row = captures.held_out(self.workspace, 1).iloc[0]
        photograph = self.workspace / "data" / manifest.photograph_path(row["sha256"], row["suffix"])
        with (
            self.steps.step("serve", "a patient's photograph over HTTP, kept, and the history read back"),
            answer.key(self.settings.need("database_url")) as key,
            answer.service(os.environ | self.settings.environment(), self.folder / "serve.log", key) as url,
        ):
            asked = answer.ask(url, key, photograph.read_bytes(), str(row["patient"]))
            return asked | {"true_grade": int(row["grade"])}

    def _servers(self) -> dict[str, str]:
        """Where its runs and its model are to be seen once the stack is up again: its ports stay the same."""
        prefect, mlflow = (self.settings.need(name) for name in ("prefect_api_url", "mlflow_tracking_uri"))
        return {
            "Prefect": f"{prefect.removesuffix('/api')}/runs  (the flow runs ingest, train and screen)",
            "MLflow": f"{mlflow}/#/models/{self.params.model.name}  (the model's versions and their run)",
        }

    def _test(self) -> dict[str, Any]:
        metrics = json.loads((self.workspace / "artifacts" / "evaluation" / "metrics.json").read_text())
        return summary.test_figures(metrics["test"])

    def _files(self, written: Path) -> dict[str, str]:
        curve = self.folder / "training_curve.png"
        shutil.copyfile(self.workspace / "artifacts" / "evaluation" / "curves.png", curve)
        found = {
            "training curve": curve,
            "screened, with heatmaps": self.folder / "screened.png",
            "evaluation report": self.workspace / "artifacts" / "evaluation" / "report.html",
        }
        there = {what: path for what, path in found.items() if path.exists()} | {"these facts": written}
        here = Path.cwd()
        return {what: str(p.relative_to(here) if p.is_relative_to(here) else p) for what, p in there.items()}
