"""Predictions that are kept: graded by one model version, stored, and only then answered; or answered as they stand.

A visit's outcome does not mix model versions: where another version judged the visit's other captures, these are graded
again with the new ones, and all are kept together.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.orm import Session

from clarity.errors import ClarityError, InferenceError, StorageError
from clarity.records import Capture
from clarity.screening import online
from clarity.screening.online import Behind, Graded, Sent
from clarity.storage import database, idempotency
from clarity.storage.results import Finding
from serving import metrics
from serving.errors import Overdue, Overloaded
from serving.rebuilt import Answered, Memory, Rebuilder
from serving.records import Predicted
from serving.reply import Drawing, Reply, Result
from serving.site import Site
from serving.work import Desk

_ROUNDS = 4
"""How often a visit may change, or a model be promoted, between grading and keeping."""


@dataclass(frozen=True, slots=True)
class Once:
    """A request that is to be done once."""

    key_id: str
    key: str
    request: bytes


class _Earlier(Exception):
    """No error: the transaction ends, and what is remembered is answered."""

    def __init__(self, record: str) -> None:
        self.record = record


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps the photographs of one request."""

    site: Site
    desk: Desk
    patient: UUID
    drawing: Drawing
    inline: bool
    once: Once | None

    @property
    def _rebuilder(self) -> Rebuilder:
        return Rebuilder(site=self.site, drawing=self.drawing, inline=self.inline)

    async def answers(self, sent: Sequence[Sent]) -> list[Predicted | ClarityError]:
        """An answer or an error for each photograph; everything that is answered is stored.

        Raises UnknownRecord, Erased, IdempotencyConflict, StorageError, Overdue, and what the desk raises.
        """
        patience_s = 2 * self.site.params.serving.timeout_s
        try:
            async with asyncio.timeout(patience_s):
                return await self._answers(sent)
        except TimeoutError:  # a store that neither answers nor refuses; what it still takes is found when sent again
            raise Overdue(f"{len(sent)} photographs: not stored within {patience_s:g} s") from None

    async def _answers(self, sent: Sequence[Sent]) -> list[Predicted | ClarityError]:
        try:
            admitted = await asyncio.to_thread(self._admit, sent)
            answered = await self._kept(sent, admitted)
        except _Earlier as earlier:
            answered = Memory.parse(earlier.record)
        with metrics.timed("store"):
            return await asyncio.to_thread(self._rebuilder.answers, answered)

    def _admit(self, sent: Sequence[Sent]) -> list[Capture | ClarityError]:
        with database.session(self.site.engine) as session:
            if self.once is not None:
                earlier = idempotency.recall(
                    session,
                    key_id=self.once.key_id,
                    key=self.once.key,
                    request=self.once.request,
                    lifetime=self.site.idempotency,
                )
                if earlier is not None:
                    raise _Earlier(earlier)
            return list(online.admit(session, self.patient, sent, now=datetime.now(UTC)))

    async def _kept(self, sent: Sequence[Sent], admitted: Sequence[Capture | ClarityError]) -> list[Answered]:
        others: dict[str, tuple[Capture, bytes]] = {}
        for _ in range(_ROUNDS):
            results = await self._graded(sent, admitted, others)
            try:
                with metrics.timed("store"):
                    return await asyncio.to_thread(self._keep, sent, admitted, results, list(others.values()))
            except Behind as behind:
                others |= await asyncio.to_thread(self._load, behind.captures)
        raise Overloaded("visit: it changed as often as it was graded, try again")

    async def _graded(
        self,
        sent: Sequence[Sent],
        admitted: Sequence[Capture | ClarityError],
        others: dict[str, tuple[Capture, bytes]],
    ) -> list[Result]:
        """Of the admitted ones in their order, then of the others: all by one model version."""
        own = [one.data for one, capture in zip(sent, admitted, strict=True) if isinstance(capture, Capture)]
        data = [*own, *(photograph for _, photograph in others.values())]
        return await self.desk.grade(data, self.drawing, keep=True) if own else []

    def _load(self, captures: Sequence[Capture]) -> dict[str, tuple[Capture, bytes]]:
        return {capture.sha256: (capture, self.site.objects.get(capture.key)) for capture in captures}

    def _keep(
        self,
        sent: Sequence[Sent],
        admitted: Sequence[Capture | ClarityError],
        results: Sequence[Result],
        others: Sequence[tuple[Capture, bytes]],
    ) -> list[Answered]:
        """Keep what has a result. In the order of ``sent``: replies with their captures, and errors."""
        graded = iter(results)
        answered: list[Answered] = []
        for capture in admitted:
            if not isinstance(capture, Capture):
                answered.append(capture)
                continue
            result = next(graded)
            answered.append((capture, result) if isinstance(result, Reply) else result)
        kept = [(at, *one) for at, one in enumerate(answered) if isinstance(one, tuple)]
        if not kept:
            return answered
        new = [_own(capture, reply, sent[at].data) for at, capture, reply in kept]
        more = [_other(capture, result) for (capture, _), result in zip(others, graded, strict=True)]
        conflicts = online.keep(
            self.site.engine,
            self.site.objects,
            self.patient,
            [*new, *more],
            by=kept[0][2].by,
            policy=self.site.policy,
            first=lambda session: self._remember(session, answered),
        )
        for (at, *_), conflict in zip(kept, conflicts, strict=False):
            answered[at] = conflict or answered[at]
        return answered

    def _remember(self, session: Session, answered: Sequence[Answered]) -> None:
        if self.once is not None:
            earlier = idempotency.remember(
                session,
                key_id=self.once.key_id,
                key=self.once.key,
                request=self.once.request,
                record=Memory.of(answered),
                lifetime=self.site.idempotency,
            )
            if earlier is not None:
                raise _Earlier(earlier)


def once(key_id: str, key: str | None, *said: object) -> Once | None:
    """Whatever tells a request from another, as it was understood: a form's boundary is another each time."""
    return None if key is None else Once(key_id, key, json.dumps(said, sort_keys=True, default=str).encode())


def _own(capture: Capture, reply: Reply, photograph: bytes) -> Graded:
    return Graded(capture, reply.finding(capture.sha256, None), photograph, reply.overlay)


def _other(capture: Capture, result: Result) -> Graded:
    """A capture of the visit that was graded again; where it cannot be any more, a person has to look."""
    if isinstance(result, Reply):
        return replace(_own(capture, result, b""), photograph=None)
    if isinstance(result, InferenceError | StorageError):
        raise result
    return Graded(capture, Finding(capture.sha256, "quarantined", (str(result),)), None, None)
