"""Free loopback ports, found once and kept: a part has the same address on every start."""

import json
import socket
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from clarity.errors import StackError

FIRST, LAST = 18000, 32000
"""Below Linux's ephemeral range (from 32768), so that no outgoing connection takes a kept port by chance."""


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:``port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Ports:
    """The table name → port of one home, kept in ``file``.

    The search starts at a place derived from the file's own path, so that two clones do not race for the same port.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._table: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    def __getitem__(self, name: str) -> int:
        """The kept port; KeyError where :meth:`claim` was never called for it."""
        return self._table[name]

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def claim(self, names: Sequence[str], *, renew: bool) -> list[str]:
        """Give every name a port and keep it. Returns the names whose port had to change.

        ``renew`` is for a part that is not running: where a stranger has taken its kept port meanwhile, it gets
        another one. StackError when no port is free.
        """
        moved = [name for name in names if renew and name in self._table and not is_free(self._table[name])]
        candidates = self._candidates()
        for name in names:
            if name in moved or name not in self._table:
                self._table[name] = next(candidates)
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps(self._table, indent=2) + "\n")
        temporary.replace(self._file)
        return moved

    def _candidates(self) -> Iterator[int]:
        span = LAST - FIRST
        offset = zlib.crc32(str(self._file).encode()) % span
        for step in range(span):
            port = FIRST + (offset + step) % span
            if port not in self._table.values() and is_free(port):
                yield port
        raise StackError(f"ports {FIRST}-{LAST}: none free on 127.0.0.1, nothing can be started")
