"""What a bundle says of its training: the data in a sentence, the operating points, the figures of the test split."""

from clarity import grades
from clarity.inference.spec import Facts, Thresholds
from clarity.params import Params
from clarity.training.datamodule import PreparedSet
from clarity.training.identity import Origin
from clarity.training.metrics import Figures, Operating

PHANTOMS = "phantoms"


def is_phantoms(prepared: PreparedSet) -> bool:
    """Whether any of the photographs is a drawing: then no figure is a clinical one."""
    return bool((prepared.table["source"] == PHANTOMS).any())


def facts(
    params: Params,
    prepared: PreparedSet | None,
    origin: Origin,
    temperature: float,
    operating: Operating,
    test: Figures | None,
) -> Facts:
    """What the bundle says of itself; without ``prepared`` and ``test`` it is a draft's."""
    cuts = Thresholds(referable=operating.referable, vision_threatening=operating.vision_threatening)
    defined = {name: value for name, value in test.intervals.items() if value.n} if test else {}
    return Facts(
        name=params.model.name,
        backbone=params.model.backbone,
        imaging=params.imaging,
        quality=params.quality,
        temperature=temperature,
        decision=params.evaluate.decision,
        thresholds=cuts,
        data_version=origin.data_version,
        data_summary=describe(prepared) if prepared else "",
        git_commit=origin.git_commit,
        metrics=defined,
    )


def describe(prepared: PreparedSet) -> str:
    """What it was trained on, for people."""
    trained = prepared.table.iloc[prepared.rows("train")]
    grade_counts = "/".join(str(int((trained["grade"] == k).sum())) for k in grades.GRADES)
    sources = ", ".join(sorted(set(trained["source"])))
    counted = f"{trained['patient'].nunique()} patients, grades 0 to 4: {grade_counts}"
    if is_phantoms(prepared):
        return f"{len(trained)} phantoms, drawings and not photographs of eyes ({counted}). No figure here is clinical."
    return f"{len(trained)} photographs of {sources} ({counted})."
