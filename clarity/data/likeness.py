"""How alike two photographs are, from hashes that survive re-encoding and resizing.

phash: the signs of the 8 x 8 lowest cosine frequencies of a 32 x 32 grey picture against their median (Zauner 2010,
as in the package imagehash). Fundus photographs are so alike in the large that 64 bits confuse different eyes, so a
pair counts only if ``detail``, the same with 16 x 16 frequencies of 64 x 64, agrees too. On 1,171 real photographs
some 350 pairs of different patients are within 4 of 64 bits; 5 of them are within 12 of 256 bits, and those are the
same picture at two sizes (2 to 6 bits apart, the next pair 16).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clarity.params import IngestParams
from clarity.records import Image

_SAMPLES = 384
_TELLING = 128
"""Pixels."""
PAIR_COLUMNS = ["sha256_a", "patient_a", "name_a", "sha256_b", "patient_b", "name_b", "bits", "detail_bits"]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Hashes of one photograph as hexadecimal digits."""

    phash: str
    """16 digits."""
    detail: str
    """64 digits."""


def likeness(image: Image) -> Likeness:
    """Both hashes of an (H, W, 3) uint8 RGB photograph; the same digits on every machine."""
    step = max(1, min(image.shape[:2]) // _SAMPLES)  # six samples a cell are as good as sixty
    grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_RGB2GRAY)
    fine, sizes = _cells(grey, 64)
    coarse, coarse_sizes = (cells.reshape(32, 2, 32, 2).sum(axis=(1, 3)) for cells in (fine, sizes))
    return Likeness(_signs(coarse / coarse_sizes, 8), _signs(fine / sizes, 16))


def near_pairs(manifest: pd.DataFrame, params: IngestParams) -> pd.DataFrame:
    """Pairs of photographs of different patients that are nearly the same, in the manifest's order: PAIR_COLUMNS.

    Of photographs whose hashes are equal the first stands for all: it is paired with each of them and with those that
    are nearly as they are. Whoever belongs together is still linked; thousands of black frames are not millions of
    pairs.
    """
    pairs = _pairs(manifest, params.near_duplicate_bits, params.near_duplicate_detail_bits)
    return pairs[pairs["patient_a"] != pairs["patient_b"]].reset_index(drop=True)


def same_photograph(table: pd.DataFrame, params: IngestParams) -> pd.DataFrame:
    """Pairs of rows, whoever's, that are one photograph encoded twice, listed as in ``near_pairs``: PAIR_COLUMNS.

    Pictures below 128 pixels have too little in them to tell and are left alone.
    """
    large = table[table[["width", "height"]].min(axis=1) >= _TELLING]
    return _pairs(large, min(params.near_duplicate_bits, params.same_photograph_bits), params.same_photograph_bits)


def _pairs(table: pd.DataFrame, limit: int, detail_limit: int) -> pd.DataFrame:
    coarse, fine = _words(table["phash"], 16), _words(table["detail"], 64)
    left, right = _linking(np.hstack([coarse, fine]), fine, detail_limit)
    bits, detail_bits = _distance(coarse, left, right), _distance(fine, left, right)
    kept = bits <= limit
    a, b = table.iloc[left[kept]], table.iloc[right[kept]]
    columns = [side[key].to_numpy() for side in (a, b) for key in ("sha256", "patient", "name")]
    return pd.DataFrame(dict(zip(PAIR_COLUMNS, [*columns, bits[kept], detail_bits[kept]], strict=True)))


def _cells(grey: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """(side, side) sums and sizes of equal cells: whole numbers, which no machine rounds differently."""
    rows, columns = (np.arange(side) * length // side for length in grey.shape)
    heights = np.maximum(np.diff(np.append(rows, grey.shape[0])), 1)
    widths = np.maximum(np.diff(np.append(columns, grey.shape[1])), 1)
    sums: NDArray[np.uint32] = np.add.reduceat(np.add.reduceat(grey, rows, axis=0, dtype=np.uint32), columns, axis=1)
    return sums, np.outer(heights, widths).astype(np.uint32)


def _signs(grey: NDArray[np.float64], side: int) -> str:
    """The lowest frequencies of the orthonormal DCT-II against their median, as hexadecimal digits."""
    n = len(grey)
    waves = np.cos(np.pi * np.outer(np.arange(side), 2 * np.arange(n) + 1) / (2 * n))
    waves[0] /= np.sqrt(2)
    low = (waves @ grey @ waves.T).ravel()
    return np.packbits(low > np.median(low)).tobytes().hex()


def _words(digits: pd.Series, length: int) -> NDArray[np.uint64]:
    """(n, length / 16) words of 64 bits."""
    raw = bytes.fromhex("".join(digits.str.zfill(length)))
    return np.frombuffer(raw, dtype=">u8").astype(np.uint64).reshape(-1, length // 16)


def _linking(
    equal: NDArray[np.uint64], words: NDArray[np.uint64], limit: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices i < j, sorted, of pairs of ``words`` at most ``limit`` bits apart that link whomever all such pairs link.

    Of rows that are the same in ``equal``, which decides about ``words`` too, the first is paired for all.
    """
    _, first, kind = np.unique(equal, axis=0, return_index=True, return_inverse=True)
    ones = np.sort(first)
    others = np.setdiff1d(np.arange(len(equal)), ones)
    left, right = _close(words[ones], limit)
    left, right = np.append(ones[left], first[kind[others]]), np.append(ones[right], others)
    order = np.lexsort((right, left))
    return left[order], right[order]


def _close(words: NDArray[np.uint64], limit: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices i < j of all pairs of (n, w) words at most ``limit`` bits apart, sorted.

    Exact without comparing all with all: of limit + 1 disjoint bands of bits, such a pair agrees on at least one whole
    band, so only photographs that share a band are compared. A band takes every (limit + 1)-th bit, because
    neighbouring frequencies say the same.
    """
    bits = np.unpackbits(words.astype(">u8").view(np.uint8), axis=1)
    found = [_alike(words, bits[:, band :: limit + 1], limit) for band in range(min(limit + 1, bits.shape[1]))]
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _alike(words: NDArray[np.uint64], band: NDArray[np.uint8], limit: int) -> NDArray[np.intp]:
    """(m, 2) indices i < j of the pairs with equal bands that are at most ``limit`` bits apart."""
    _, key = np.unique(np.packbits(band, axis=1), axis=0, return_inverse=True)
    order = np.argsort(key, kind="stable")
    last = np.searchsorted(key[order], key[order], side="right")  # where each one's run of equal bands ends
    at, found = np.arange(len(order)), [np.empty((0, 2), np.intp)]
    for step in range(1, len(order)):
        at = at[at + step < last[at]]
        if not len(at):
            break
        left, right = order[at], order[at + step]
        near = _distance(words, left, right) <= limit
        found.append(np.stack([left[near], right[near]], axis=1))
    return np.concatenate(found)


def _distance(words: NDArray[np.uint64], left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.int64]:
    bits: NDArray[np.int64] = np.bitwise_count(words[left] ^ words[right]).sum(axis=1, dtype=np.int64)
    return bits
