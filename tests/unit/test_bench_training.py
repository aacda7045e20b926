"""What the bench of the data path trains on."""

from pathlib import Path

from clarity.bench import training


def test_its_photographs_are_a_prepared_set_as_training_reads_it(tmp_path: Path) -> None:
    data = training._prepared(tmp_path)
    assert len(data.rows("train")) == training._BATCHES * training._BATCH
    assert len(data.rows("validation")) == 1
