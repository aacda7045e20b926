"""Bytes to RGB array to prepared array to tensor: the one imaging path, used by training, batch screening and HTTP."""

from clarity.imaging.chain import prepare, prepare_image
from clarity.imaging.decode import decode
from clarity.imaging.field import find_field
from clarity.imaging.fingerprint import fingerprint
from clarity.imaging.tensor import to_tensor

__all__ = ["decode", "find_field", "fingerprint", "prepare", "prepare_image", "to_tensor"]
