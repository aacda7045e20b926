"""The forms of a trained network: quantised, run, and compared with torch in float32 on the validation split."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clarity import grades
from clarity.errors import InferenceError
from clarity.inference import decision, export, processor
from clarity.inference.bundle import GRAPHS
from clarity.inference.openvino_cpu import OpenvinoCpu
from clarity.inference.parity import Answers, Parity, compare
from clarity.inference.processor import PRECISIONS, Precision
from clarity.inference.scores import Scores, check, join
from clarity.records import Tensor
from clarity.registry import agreement
from clarity.training import metrics, quantise
from clarity.training.quantise import Images

log = logging.getLogger(__name__)
EMULATED = "not native to the processor that evaluated it, so it was not measured"


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What forms are compared on: photographs as a network sees them, what they are, how logits become answers."""

    batches: Callable[[], Iterable[Tensor]]
    """Gives them anew each time, (n, 3, S, S) at once: a large split need not fit into memory."""
    truth: NDArray[np.int64]
    temperature: float
    operating: metrics.Operating

    def answers(self, scores: Scores) -> Answers:
        """Grades of the scores, and how good they are against the reference grades."""
        probability = decision.probabilities(scores.logits, self.temperature)
        graded = decision.grade(probability, self.operating.decision)
        called = decision.positive(probability, self.operating.referable, graded, grades.REFERABLE_FROM)
        sensitivity = agreement.share(called, self.truth >= grades.REFERABLE_FROM)
        return Answers(scores, graded, metrics.qwk(self.truth, graded), sensitivity)


def measure(
    network: torch.nn.Module,
    graph: Path,
    on: Yardstick,
    photographs: Images | None = None,
    precisions: Iterable[Precision] = PRECISIONS,
) -> dict[Precision, Parity]:
    """The parity of each precision of the network that ``export`` wrote to ``graph``; quantises it there for int8.

    ``photographs`` are prepared ones, (N, S, S, 3) uint8, to calibrate int8 on. A form that this processor would only
    emulate is not measured, and so not offered. Raises InferenceError.
    """
    native = processor.here()
    reference = on.answers(by_torch(network, on.batches()))
    found: dict[Precision, Parity] = {}
    for precision in precisions:
        if precision not in native:
            found[precision] = Parity.unmeasured(EMULATED)
        elif precision == "int8":
            found[precision] = _int8(graph, on, reference, photographs)
        else:
            found[precision] = _compared(graph, precision, on, reference)
        verdict = "passed" if found[precision].passed else "; ".join(found[precision].reasons)
        log.info("%s against torch float32: %s", precision, verdict)
    return found


def by_torch(network: torch.nn.Module, batches: Iterable[Tensor]) -> Scores:
    """What the trained network itself says, in float32 and evaluation mode."""
    graph = export.build_graph(network).eval()
    with torch.inference_mode():
        parts = [Scores(*(found.numpy() for found in graph(torch.from_numpy(tensor)))) for tensor in batches]
    return join(parts, parts[0].maps.shape[2:])


def _compared(graph: Path, precision: Precision, on: Yardstick, reference: Answers) -> Parity:
    form = OpenvinoCpu.load(graph / GRAPHS[precision], precision, processor.cores(), "latency")
    wanted = reference.scores.maps.shape
    try:
        scores = join([form.run(x) for x in on.batches()], wanted[2:])
        check(scores, wanted[0], wanted[2:])
    except InferenceError as error:  # a NaN would pass for equal wherever it is compared
        return Parity.unmeasured(str(error))
    return compare(precision, reference, on.answers(scores))


def _int8(graph: Path, on: Yardstick, reference: Answers, photographs: Images | None) -> Parity:
    """With as many quantised layers as parity allows; where none of the tries passes, the last one's figures."""
    if photographs is None or not len(photographs):
        return Parity.unmeasured("no photograph to calibrate it on")
    for in_float in quantise.SHARES:
        quantise.quantise(graph / GRAPHS["fp32"], graph / GRAPHS["int8"], photographs, in_float=in_float)
        found = _compared(graph, "int8", on, reference)
        if found.passed:
            break
        log.info("int8 with %.0f %% of the layers in float: %s", 100 * in_float, "; ".join(found.reasons))
    return found
