"""Typed view of ``conf/pipeline.yaml``: every key known, unknown keys refused with the nearest known name.

``load("conf/pipeline.yaml", "conf/smoke.yaml")`` reads the first file whole and lays the others on top.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from clarity.errors import ParameterError


class Section(BaseModel):
    """A part of a configuration: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


Checked = TypeVar("Checked", bound=Section)


class IngestParams(Section):
    max_bad_share: float = Field(ge=0, le=1)
    near_duplicate_bits: int = Field(ge=0, le=16)
    near_duplicate_detail_bits: int = Field(ge=0, le=64)
    same_photograph_bits: int = Field(ge=0, le=64)
    jobs: int = Field(ge=0)


class ImagingParams(Section):
    """Parameters of the imaging chain: all but the two limits enter its fingerprint."""

    size: int = Field(ge=32, le=4096)
    clahe_clip_limit: float = Field(ge=0)
    clahe_tiles: int = Field(ge=1, le=64)
    max_bytes: int = Field(gt=0)
    max_pixels: int = Field(gt=0)


class QualityParams(Section):
    min_score: float = Field(ge=0, le=1)
    min_brightness: float = Field(ge=0, le=1)
    max_brightness: float = Field(ge=0, le=1)
    min_sharpness: float = Field(ge=0)
    min_visible: float = Field(ge=0, le=1)
    min_diameter: float = Field(ge=0)


class SplitParams(Section):
    validation: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)
    salt: str


class ModelParams(Section):
    name: str
    backbone: Literal["resnet50", "efficientnet_lite0"]
    weights: str
    dropout: float = Field(ge=0, lt=1)


class TrainParams(Section):
    seed: int
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_share: float = Field(ge=0, lt=1)
    frozen_stages: int = Field(ge=0, le=7)
    loss: Literal["cross_entropy", "ordinal", "expected_grade"]
    cross_entropy_share: float = Field(ge=0)
    class_weights: float = Field(ge=0, le=1)
    patience: int = Field(ge=1)
    precision: Literal["auto", "32-true", "bf16-mixed"]
    channels_last: bool
    workers: int = Field(ge=0)
    accelerator: str
    devices: int | str
    strategy: str
    flip: bool
    rotate_degrees: float = Field(ge=0, le=180)
    scale: float = Field(ge=0, lt=1)
    brightness: float = Field(ge=0, lt=1)
    contrast: float = Field(ge=0, lt=1)


class EvaluateParams(Section):
    bootstrap: int = Field(ge=10)
    calibration_bins: int = Field(ge=2)
    target_sensitivity: float = Field(gt=0, le=1)
    decision: Literal["expected", "argmax"]
    error_examples: int = Field(ge=0)
    quantise_photographs: int = Field(ge=0)
    review_share: float = Field(ge=0, lt=1)
    unfamiliar_share: float = Field(ge=0, lt=1)
    canaries: int = Field(ge=1, le=100)
    drift_false_alarms: float = Field(gt=0, lt=1)


class GateParams(Section):
    min_qwk: float
    min_auroc_referable: float
    min_sensitivity: float
    min_specificity: float
    above_chance: bool
    bootstrap: int = Field(ge=10)
    max_qwk_drop: float = Field(ge=0)
    note: str


class LimitParams(Section):
    """What a night may show before it ends as failed and somebody is told."""

    quarantined_share: float = Field(ge=0, le=1)
    ungradable_share: float = Field(ge=0, le=1)
    review_share: float = Field(ge=0, le=1)
    canaries_changed: int = Field(ge=0)
    drift: bool


class ScreeningParams(Section):
    batch_size: int = Field(ge=1)
    inbox: str
    overlay_size: int = Field(ge=64)
    batch_retries: int = Field(ge=0)
    lease_s: float = Field(gt=0)
    max_attempts: int = Field(ge=1, le=100)
    policy: str
    patterns: tuple[str, ...]
    runner: Literal["local", "dask"]
    workers: int = Field(ge=1)
    limits: LimitParams

    @field_validator("patterns")
    @classmethod
    def _check_patterns(cls, said: tuple[str, ...]) -> tuple[str, ...]:
        from clarity import patterns

        for pattern in said:
            patterns.check(pattern)
        return said


class ServingParams(Section):
    host: str
    port: int = Field(ge=0, le=65535)
    workers: int = Field(ge=1)
    max_batch_size: int = Field(ge=1)
    batch_timeout_s: float = Field(ge=0)
    timeout_s: float = Field(gt=0)
    max_upload_bytes: int = Field(gt=0)
    max_images: int = Field(ge=1, le=256)
    max_waiting: int = Field(ge=1)
    follow_s: float = Field(gt=0)
    url_expires_s: int = Field(ge=1, le=604800)
    idempotency_s: int = Field(ge=60, le=2592000)
    page_size: int = Field(ge=1, le=1000)
    rate_per_minute: int = Field(ge=1)
    erasure: Literal["pseudonymise", "remove"]
    cors_origins: tuple[str, ...]


class PhantomParams(Section):
    count: int = Field(ge=1)
    patients_share_both_eyes: float = Field(ge=0, le=1)
    size: int = Field(ge=64, le=4096)
    seed: int
    poor_quality_share: float = Field(ge=0, le=1)


class Params(Section):
    """The whole configuration, a section a package."""

    ingest: IngestParams
    imaging: ImagingParams
    quality: QualityParams
    split: SplitParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    gate: GateParams
    screening: ScreeningParams
    serving: ServingParams
    phantoms: PhantomParams


def load(path: Path | str, *overlays: Path | str) -> Params:
    """Read the configuration and lay the overlays on top, later ones winning.

    Raises ParameterError: a file is missing or not YAML, a key is unknown (the nearest known one is named), a value
    is out of range, a key is missing, or most of all sections are, as in an overlay alone.
    """
    merged = read(Path(path))
    for overlay in overlays:
        merged = _merge(merged, read(Path(overlay)))
    origin = " + ".join(str(p) for p in (path, *overlays))
    lacking = [name for name in Params.model_fields if name not in merged]
    if len(lacking) > len(Params.model_fields) / 2:
        raise ParameterError(
            f"{origin}: no {', '.join(lacking)}; it lies on top of a whole one, name conf/pipeline.yaml before it"
        )
    return parse(merged, origin=origin)


def parse(values: Mapping[str, Any], *, origin: str) -> Params:
    """Check plain values against the schema; ``origin`` is named in the error."""
    return check(Params, values, origin=origin)


def check(schema: type[Checked], values: Mapping[str, Any], *, origin: str) -> Checked:
    """Plain values as ``schema``. Raises ParameterError with a sentence for each key that is wrong."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = [_sentence(dict(detail), schema) for detail in error.errors()]
        raise ParameterError(f"{origin}: " + "; ".join(lines)) from None


def dump(params: Params) -> str:
    """The configuration as YAML text, every key present, in the schema's order."""
    return yaml.safe_dump(params.model_dump(), sort_keys=False, allow_unicode=True)


def read(path: Path) -> dict[str, Any]:
    """A YAML file's table. Raises ParameterError: it cannot be read, is not YAML, is no table."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}, the configuration cannot be read") from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{path}: not YAML ({error})") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path}: {type(values).__name__}, not a table of sections")
    return values


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _sentence(detail: dict[str, Any], schema: type[Section]) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        plain = ".".join(part for part in detail["loc"] if isinstance(part, str))  # of a list's items, the key alone
        near = difflib.get_close_matches(plain, _known(schema), n=1, cutoff=0.0)
        return f"{where}: unknown key, did you mean {near[0]}?"
    if detail["type"] == "missing":
        return f"{where}: missing"
    said = detail["msg"].removeprefix("Value error, ")
    if not where:
        return str(said)
    return f"{where}: {detail['input']!r}, {said[:1].lower()}{said[1:]}"


def _known(schema: type[BaseModel], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, info in schema.model_fields.items():
        names.append(prefix + name)
        for kind in (info.annotation, *get_args(info.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names += _known(kind, f"{prefix}{name}.")
    return names
