"""A prepared workspace whose grades a network can learn in seconds: brightness says the grade. No stage is run."""

from pathlib import Path

import numpy as np
import pandas as pd

from clarity.imaging import fingerprint
from clarity.params import Params
from clarity.training.paths import Paths


def workspace(root: Path, params: Params, *, count: int = 60, ungradable: int = 4, source: str = "phantoms") -> Paths:
    """``count`` squares of conf's size over two shards; every fifth patient validates, every fifth tests."""
    paths, size = Paths(root), params.imaging.size
    paths.prepared.mkdir(parents=True)
    rng = np.random.default_rng(0)
    grades = np.arange(count) % 5
    images = np.clip(40 + 40 * grades[:, None, None, None] + rng.normal(0, 8, (count, size, size, 3)), 0, 255)
    index, split = [], []
    for shard, rows in (("00", range(0, count, 2)), ("01", range(1, count, 2))):
        np.save(paths.prepared / f"{shard}.npy", images[list(rows)].astype(np.uint8))
        for row, i in enumerate(rows):
            sha256 = f"{shard}{i:062x}"
            bad = i % (count // ungradable) == 0
            index.append({
                "sha256": sha256, "shard": shard, "row": row, "fingerprint": fingerprint(params.imaging),
                "score": 0.1 if bad else 0.9, "gradable": not bad, "reasons": "blurred" if bad else "",
            })  # fmt: skip
            patient = i // 2
            side = {0: "test", 1: "validation"}.get((patient // 5) % 5, "train")
            split.append({
                "sha256": sha256, "patient": f"{source}:{patient}", "source": source, "eye": "left",
                "grade": grades[i], "split": side,
            })  # fmt: skip
    pd.DataFrame(index).to_csv(paths.prepared / "index.csv", index=False)
    pd.DataFrame(split).to_csv(paths.split, index=False)
    return paths
