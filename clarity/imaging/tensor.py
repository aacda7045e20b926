"""Prepared images to the network's input."""

import numpy as np
from numpy.typing import NDArray

from clarity.records import Tensor

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
"""Of ImageNet, RGB, for values in 0..1 (torchvision's convention)."""
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """(S, S, 3) or (N, S, S, 3) uint8 RGB to (N, 3, S, S) float32, normalised with ImageNet's mean and deviation.

    Raises ValueError where the array is not uint8 or not of that shape.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise ValueError(f"images: {images.dtype} {images.shape}, not uint8 (S, S, 3) or (N, S, S, 3)")
    batch = images[None] if images.ndim == 3 else images
    scaled = (batch.astype(np.float32) / np.float32(255) - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)
