"""Training for real, on something that is learnt in seconds."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from clarity.errors import ManifestError, TrainingDiverged, WeightsUnavailable
from clarity.params import Params
from clarity.training import fit
from clarity.training.datamodule import FundusData, PreparedSet
from clarity.training.paths import Paths
from clarity.training.tracking import Untracked
from tests import learnable

CHILD = """
import sys
from pathlib import Path
from clarity.params import load
from clarity.training import fit
from clarity.training.paths import Paths
from clarity.training.tracking import Untracked
params = load(Path(sys.argv[2]))
fit.fit(params, Paths(Path(sys.argv[1])), Untracked(), key="same")
"""


class Recorded(Untracked):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def metrics(self, values: object, step: int = 0) -> None:
        self.steps.append(step)


def changed(params: Params, **values: object) -> Params:
    return params.model_copy(update={"train": params.train.model_copy(update=values)})


def test_training_learns_and_keeps_the_best_epoch(
    tmp_path: Path, resnet: Params, caplog: pytest.LogCaptureFixture
) -> None:
    paths = learnable.workspace(tmp_path, resnet)
    record = Recorded()
    with caplog.at_level(logging.INFO):
        result = fit.fit(changed(resnet, epochs=4), paths, record, key="a")
    history = pd.read_csv(paths.training / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert history["train/loss"].iloc[-1] < history["train/loss"].iloc[0]
    assert result.best_qwk == pytest.approx(history["val/qwk"].max(), abs=1e-6)
    assert result.resumed_from is None
    assert record.steps[:4] == [0, 1, 2, 3]
    assert result.checkpoint.is_file()
    assert "train: 28 photographs of 15 patients (no apparent DR 4, mild" in caplog.text
    assert "2 ungradable left out" in caplog.text
    network = fit.load(resnet, result.checkpoint)
    assert not network.training
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_a_training_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path, params: Params) -> None:
    from clarity.params import dump

    patient = changed(params, epochs=8, patience=8)
    paths = learnable.workspace(tmp_path, patient)
    configuration = tmp_path / "pipeline.yaml"
    configuration.write_text(dump(patient))
    last = paths.resume / "same" / "last.ckpt"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), str(configuration)], cwd=Path.cwd())
    try:
        until = time.monotonic() + 120
        while not (last.is_file() and epoch_of(last) >= 2) and time.monotonic() < until and child.poll() is None:
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.wait()
    assert child.returncode == -signal.SIGKILL
    done = epoch_of(last)
    record = Recorded()
    result = fit.fit(patient, paths, record, key="same")
    assert result.resumed_from == done
    assert record.steps[0] == done, "the epochs before are not trained again"
    assert pd.read_csv(paths.training / "history.csv")["epoch"].tolist() == list(range(8))
    again = fit.fit(patient, paths, Untracked(), key="same")
    assert (again.resumed_from, again.best_qwk) == (8, result.best_qwk), "nothing is lost before it is stored"
    fit.forget(paths)
    assert not paths.resume.exists()


def epoch_of(last: Path) -> int:
    """How many epochs the checkpoint has behind it; 0 while it is being written."""
    try:
        return int(torch.load(last, map_location="cpu", weights_only=False, mmap=True)["epoch"]) + 1
    except (OSError, RuntimeError, EOFError, KeyError):  # half written
        return 0


def test_a_checkpoint_of_other_data_code_or_parameters_is_never_resumed(params: Params) -> None:
    same = {"data": "d", "code": "c", "params": params}
    key = fit.resume_key(**same)
    assert key == fit.resume_key(**same)
    for other in ({"data": "e"}, {"code": "e"}, {"params": changed(params, learning_rate=0.5)}):
        assert fit.resume_key(**(same | other)) != key


def test_a_checkpoint_cut_short_while_written_is_not_resumed(tmp_path: Path, params: Params) -> None:
    paths = learnable.workspace(tmp_path, params)
    broken = paths.resume / "k" / "last.ckpt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"PK\x03\x04 not the whole file")
    assert fit.fit(changed(params, epochs=1), paths, Untracked(), key="k").resumed_from is None


def test_a_last_checkpoint_without_the_best_one_or_with_half_of_it_is_not_resumed(
    tmp_path: Path, params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    """What two trainings of one folder left, of which the first had ended."""
    paths, one = learnable.workspace(tmp_path, params), changed(params, epochs=1)
    fit.fit(one, paths, Untracked(), key="k")
    best = paths.resume / "k" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:1000])
    assert fit.fit(one, paths, Untracked(), key="k").resumed_from is None
    best.unlink()
    with caplog.at_level(logging.INFO):
        assert fit.fit(one, paths, Untracked(), key="k").resumed_from is None
    assert "best.ckpt: missing, nothing can be resumed, training starts anew" in caplog.text
    assert best.is_file()


def test_a_training_whose_loss_is_no_number_any_more_is_named_with_its_batch(tmp_path: Path, params: Params) -> None:
    paths = learnable.workspace(tmp_path, params)
    with pytest.raises(TrainingDiverged, match=r"epoch 0, batch \d+: loss nan, not a number"):
        fit.fit(changed(params, learning_rate=1e30), paths, Untracked())


def test_training_stops_early_when_kappa_stops_rising(tmp_path: Path, params: Params) -> None:
    paths = learnable.workspace(tmp_path, params)
    result = fit.fit(changed(params, epochs=6, patience=1, learning_rate=1e-9), paths, Untracked(), key="s")
    assert result.epochs < 6


def test_ungradable_photographs_train_and_validate_nothing(tmp_path: Path, params: Params) -> None:
    paths = learnable.workspace(tmp_path, params, ungradable=30)
    prepared = PreparedSet.open(paths)
    data = FundusData(prepared, params.train)
    used = data.train_rows + data.validation_rows
    assert prepared.table["gradable"].iloc[used].all()
    assert len(prepared.rows("train", gradable=False)) > len(prepared.rows("train"))


def test_what_is_missing_is_named(tmp_path: Path, params: Params) -> None:
    with pytest.raises(ManifestError, match=r"index\.csv"):
        PreparedSet.open(Paths(tmp_path))
    paths = learnable.workspace(tmp_path / "w", params)
    (paths.prepared / "01.npy").write_bytes(b"")
    with pytest.raises(ManifestError, match=r"01\.npy"):
        PreparedSet.open(paths).images([1, 2, 59])
    split = pd.read_csv(paths.split)
    split.loc[0, "sha256"] = "ff"
    split.to_csv(paths.split, index=False)
    with pytest.raises(ManifestError, match="1 photographs are not prepared"):
        PreparedSet.open(paths)


def test_too_few_photographs_for_a_batch_are_refused(tmp_path: Path, params: Params) -> None:
    prepared = PreparedSet.open(learnable.workspace(tmp_path, params))
    with pytest.raises(ManifestError, match="need 4096"):
        FundusData(prepared, params.train.model_copy(update={"batch_size": 4096}))


def test_starting_weights_of_an_earlier_training_are_taken_and_others_refused(
    tmp_path: Path, params: Params, resnet: Params
) -> None:
    paths = learnable.workspace(tmp_path, params)
    first = fit.fit(changed(params, epochs=1), paths, Untracked(), key="x")
    network = fit.load(params, first.checkpoint)
    stored = torch.load(first.checkpoint, weights_only=True)["state_dict"]
    assert torch.equal(stored["network.head.weight"], network.head.weight)
    with pytest.raises(WeightsUnavailable, match="not those of a resnet50"):
        fit.load(resnet, first.checkpoint)
