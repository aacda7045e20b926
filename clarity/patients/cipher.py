"""AES-256-GCM around who a patient is, bound to that patient: a row that is copied to another patient does not open."""

import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clarity.errors import SealError
from clarity.patients.keyring import Keys

_NONCE = 12
_BLOCK = 128
"""Documents are filled up to a multiple of it: a row's length does not tell how long a name is."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """As it stands in a row: which key sealed it, and nonce, ciphertext and tag."""

    key_id: str
    data: bytes


class Cipher:
    """Seals with the first key of the ring, opens with any."""

    def __init__(self, keys: Keys) -> None:
        self.first = keys.first
        self._ciphers = {name: AESGCM(key) for name, key in keys.values.items()}

    def seal(self, document: bytes, patient: UUID) -> Sealed:
        """A nonce of its own each time: the same document twice is not seen to be the same. No document ends in \\0."""
        nonce = os.urandom(_NONCE)
        filled = document + bytes(-len(document) % _BLOCK)
        return Sealed(self.first, nonce + self._ciphers[self.first].encrypt(nonce, filled, patient.bytes))

    def open(self, sealed: Sealed, patient: UUID) -> bytes:
        """Raises SealError: its key is not in the ring, or it is not what was sealed for this patient."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise SealError(
                f"identity of patient {patient}: sealed with key {sealed.key_id!r}, "
                "which is not in CLARITY_IDENTITY_KEYS"
            )
        try:
            filled = cipher.decrypt(sealed.data[:_NONCE], sealed.data[_NONCE:], patient.bytes)
        except (InvalidTag, ValueError):
            raise SealError(
                f"identity of patient {patient}: does not open with key {sealed.key_id!r}; altered, another patient's, "
                "or another key of that id"
            ) from None
        return filled.rstrip(b"\0")
