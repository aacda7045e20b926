"""A training: what happens when. DVC's stages in DVC's order, then register, judge, promote.

The order of the stages is dvc.yaml's and is not repeated here: DVC is asked for it, and its cache decides what is
fresh.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Completed

from clarity import params as parameters
from clarity.data import replacement, versions
from clarity.data.workspace import PATIENCE_S, Workspace
from clarity.errors import BundleError, NoChampion, StorageUnavailable, WorkspaceError
from clarity.inference.bundle import Bundle
from clarity.params import GateParams
from clarity.records import ModelRef, Verdict
from clarity.registry import gate, judgement, ledger, promotion
from clarity.registry.models import Registry
from clarity.registry.services import opened
from clarity.settings import Settings
from clarity.storage.objects import Objects
from flows import logs

Decision = Literal["promoted", "refused", "champion", "withdrawn"]
_DELAYS_S = [2.0, 5.0, 15.0]
"""Between attempts of what talks to MLflow and PostgreSQL. A stage is never tried again by itself."""
logs.plain()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says of a version, and whether it said so before."""

    decision: Decision
    reasons: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)
    champion: str | None = None
    """The version that was champion when it was judged."""
    again: bool = False
    """Nothing has changed since the verdict: it was read from the ledger, and no row was written."""


@flow(name="train")
def train(workspace: str | None = None) -> dict[str, Any]:
    """Bring the model up to date with the data and the code, and promote it if the gate lets it.

    ``workspace``: the folder of dvc.yaml; the project's by default. Returns, as plain values, stages, version, run_id,
    decision, reasons, figures, champion, again. ``decision`` is

    - promoted: the version is the champion now;
    - champion: it was already, nothing has changed;
    - refused: the gate refused it, now or before, and the champion stays. No error: the run completes, named Refused;
    - withdrawn: it passed before and a person has rolled it back since; only a person promotes it again.

    Raises WorkspaceError where a stage failed or data/ is not the version that data.dvc names, AlreadyRunning where
    another process writes to the workspace.
    """
    settings = Settings.load()
    place = Workspace(Path(workspace) if workspace else settings.project, settings)
    params = parameters.load(place.path / "conf" / "pipeline.yaml")
    with place.lock(wait_s=PATIENCE_S):
        place.init()
        replacement.recover(place)  # an ingest that was cut off: nobody trains on what was never a version
        versions.refuse_another(place, Objects(settings))  # the run would be recorded as trained on the named one
        stages = {stage: _stage(place, stage) for stage in place.stages()}
        run_id = _read(place.path / "artifacts" / "run.json", "train", "run_id")["run_id"]
        ref = _step(register, "register")(str(place.path), run_id, params.model.name)
        judged = _step(judge, "gate")(str(place.path), ref, params.gate)
        _step(settle, "promote")(ref, judged, f"flow train/{flow_run.name or 'by hand'}")
    _show(ref, judged)
    facts = {"stages": stages, "version": ref.version, "run_id": run_id, **asdict(judged)}
    name = "Refused" if judged.decision in ("refused", "withdrawn") else None
    state: State[Any] = Completed(name=name, message=_sentence(ref, judged), data=facts)
    return cast(dict[str, Any], state)  # Prefect takes the state as the run's and gives its data to the caller


# steps: library calls on references; each builds what it needs


def register(workspace: str, run_id: str, name: str) -> ModelRef:
    """The workspace's bundle as a model version, with its evaluation's tags; the same one when nothing has changed."""
    artifacts = Path(workspace) / "artifacts"
    tags = _read(artifacts / "evaluation" / "tags.json", "evaluate")
    with opened(Settings.load()) as (registry, engine):
        promotion.reconcile(registry, engine, name)  # after a promotion that died between ledger and alias
        ref = registry.register(artifacts / "bundle", run_id, name)
        registry.tag(ref, tags)
        return ref if ref.alias else registry.challenge(ref)


def judge(workspace: str, ref: ModelRef, params: GateParams) -> Judgement:
    """The gate's verdict on a version, or the one that it gave before on the very same thing."""
    folder = Path(workspace)
    challenger = Bundle.load(folder / "artifacts" / "bundle")
    predictions = pd.read_csv(folder / "artifacts" / "evaluation" / "predictions.csv", dtype={"patient": str})
    with opened(Settings.load()) as (registry, engine):
        champion = _champion(registry, ref.name)
        if champion is not None and champion.version == ref.version:
            said = (f"version {ref.version} is the champion already",)
            return Judgement("champion", said, {}, ref.version, again=True)
        digest = registry.digest(champion) if champion else None
        about = judgement.key(challenger.digest, digest, predictions, params)
        if before := judgement.earlier(ledger.history(engine, ref.name), about):
            return _again(before, champion)
        verdict = _verdict(registry, folder, predictions, challenger, champion, params)
    figures = verdict.figures | {judgement.KEY: about}
    decision: Decision = "promoted" if verdict.accepted else "refused"
    return Judgement(decision, verdict.reasons, figures, champion.version if champion else None)


def settle(ref: ModelRef, judged: Judgement, actor: str) -> None:
    """Write the verdict to the ledger, move the aliases if it is yes, and let MLflow's tags say what the ledger says.

    The tags also where it was judged before: that run may have died between the row and them.
    """
    write = promotion.promote if judged.decision == "promoted" else promotion.refuse
    with opened(Settings.load()) as (registry, engine):
        if not judged.again:
            write(registry, engine, ref, actor=actor, reasons=judged.reasons, figures=judged.figures)
        entries = ledger.history(engine, ref.name)
        if row := judgement.standing(entries, ref.version, judged.figures.get(judgement.KEY)):
            registry.tag(ref, {"clarity.gate": row.action, "clarity.gate_reasons": "\n".join(row.reasons)})


def _champion(registry: Registry, name: str) -> ModelRef | None:
    try:
        return registry.champion(name)
    except NoChampion:
        return None


def _again(before: ledger.Entry, champion: ModelRef | None) -> Judgement:
    """The verdict of before. A "yes" whose model is not the champion was taken back by a person since."""
    decision: Decision = "refused" if before.action == "refused" else "withdrawn"
    said = (f"already judged on {before.at:%Y-%m-%d %H:%M} UTC, nothing has changed since", *before.reasons)
    return Judgement(decision, said, dict(before.figures), champion.version if champion else None, again=True)


def _verdict(
    registry: Registry,
    workspace: Path,
    predictions: pd.DataFrame,
    challenger: Bundle,
    champion: ModelRef | None,
    params: GateParams,
) -> Verdict:
    """The champion is scored anew, on the challenger's own frozen test split: the same photographs for both."""
    rule = judgement.rule(challenger)
    if champion is None:
        return gate.judge(predictions, None, params, rule=rule)
    from clarity.training.paths import Paths
    from clarity.training.scoring import score_bundle

    try:
        other = Bundle.load(registry.fetch(champion, Settings.load().home / "models"))
    except BundleError as error:
        return Verdict(accepted=False, reasons=(judgement.incomparable(champion, error),))
    theirs = score_bundle(other, Paths(workspace), split="test")
    return gate.judge(predictions, theirs, params, rule=rule, champion_rule=judgement.rule(other))


# order, retries, what a person sees


def _stage(workspace: Workspace, name: str) -> str:
    """One stage of dvc.yaml as a Prefect task of its name: its lines in the task's log, its failure the task's."""

    def reproduce() -> str:
        logger = get_run_logger()
        return workspace.repro(name, on_line=lambda line: logger.info("%s", line) if line.strip() else None)

    return str(_task(reproduce, name)())


def _step(function: Any, name: str) -> Any:
    return _task(function, name, retries=len(_DELAYS_S), retry_delay_seconds=_DELAYS_S, retry_condition_fn=_may_pass)


def _task(function: Any, name: str, **options: Any) -> Any:
    """Never cached by Prefect: what is fresh is DVC's to say, and the rest has effects."""
    return task(function, name=name, cache_policy=NO_CACHE, persist_result=False, **options)


def _may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    """Retry what a restart of MLflow or PostgreSQL would heal, and nothing else."""
    return isinstance(state.data, StorageUnavailable)


def _show(ref: ModelRef, judged: Judgement) -> None:
    """The verdict where people look: the run's page and its log."""
    logger = get_run_logger()
    logger.log(30 if judged.decision in ("refused", "withdrawn") else 20, "%s", _sentence(ref, judged))
    for reason in judged.reasons:
        logger.info("%s", reason)
    lines = [f"# {_sentence(ref, judged)}", "", *(f"- {reason}" for reason in judged.reasons)]
    create_markdown_artifact("\n".join(lines), key="gate", description=f"Verdict on version {ref.version}")


def _sentence(ref: ModelRef, judged: Judgement) -> str:
    against = f"version {judged.champion}" if judged.champion else "no champion"
    return {
        "promoted": f"{ref.name} version {ref.version} promoted, judged against {against}",
        "champion": f"{ref.name} version {ref.version} is the champion already, nothing has changed",
        "refused": f"{ref.name} version {ref.version} refused by the gate, {against} stays",
        "withdrawn": f"{ref.name} version {ref.version} was rolled back by a person, {against} stays",
    }[judged.decision]


def _read(path: Path, stage: str, *needed: str) -> dict[str, str]:
    try:
        said = {str(name): str(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        said = {}
    if not said or not said.keys() >= set(needed):
        raise WorkspaceError(f"{path}: missing or malformed, the stage {stage} writes it")
    return said
