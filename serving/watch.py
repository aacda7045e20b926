"""Looks after the inference workers: a dead one is noticed within a quarter of a second."""

import asyncio
import logging
import time
from typing import Protocol

from serving.state import Board, alive

log = logging.getLogger("clarity.serving")
_EVERY_S = 0.25
_DOUBT_S = 2.5
"""LitServe's queue may still hand a job to a worker that has died: for as long as that worker asked for one."""


class Concerned(Protocol):
    """Who has given jobs to workers."""

    def claimants(self) -> set[int]:
        """The processes that have a job; one may die before it has written on the board."""

    def lost(self, pid: int) -> None:
        """That worker is no more."""

    def call_again(self) -> None:
        """A worker may have been told of a job and have died before it could claim it."""


class Watch:
    """The workers of one board, on behalf of one process."""

    def __init__(self, board: Board, concerned: Concerned) -> None:
        self._board, self._concerned = board, concerned
        self._known: set[int] = set()
        self._doubt_until = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_EVERY_S)

    def look(self) -> None:
        """Once."""
        said, busy = {state.pid for state in self._board.read()}, self._concerned.claimants()
        dead = {pid for pid in self._known | said | busy if not alive(pid)}
        for pid in dead & (self._known | busy):
            log.warning("the inference worker with pid %d died", pid)
            self._concerned.lost(pid)
            self._doubt_until = time.monotonic() + _DOUBT_S
        self._known = (self._known | said) - dead
        if time.monotonic() < self._doubt_until:
            self._concerned.call_again()
