"""Patients: made, searched, read, changed, erased. Who they are leaves in authorised answers alone."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from clarity.patients import erasure
from clarity.patients.register import Register, Remember
from clarity.storage import idempotency
from serving import pages
from serving.access import Caller, note, requires
from serving.keyed import Key, refusals
from serving.people import ErasureAnswer, PatientAnswer, PatientChanges, PatientQuery, PatientRequest, Patients
from serving.site import Site

Writer = Annotated[Caller, Depends(requires("predict"))]
Reader = Annotated[Caller, Depends(requires("read"))]
Admin = Annotated[Caller, Depends(requires("admin"))]


def router(site: Site) -> APIRouter:
    """``POST`` and ``GET /patients/``; ``GET``, ``PATCH`` and ``DELETE /patients/{id}``."""
    routes = APIRouter(tags=["patients"])
    register = partial(_register, site)

    @routes.post(
        "/patients/", status_code=201, responses=refusals(409, 410, 422, 503), operation_id="create_patient",
        summary="Make a patient",
    )  # fmt: skip
    def create(
        request: Request, response: Response, said: PatientRequest, caller: Writer, key: Key = None
    ) -> PatientAnswer:
        """A new patient. An external id that is a patient's already is a conflict, which says nothing of that one."""
        note(request, "patients")
        given, patients = said.said(), register()
        external_id = given.pop("external_id", None)
        remember = _remember(site, patients, caller, key, said) if key is not None else None
        made = patients.create(given, external_id, remember=remember)
        note(request, f"patient {made.uid}")
        response.headers["Location"] = f"/v1/patients/{made.uid}"
        return PatientAnswer.of(made)

    @routes.get("/patients/", responses=refusals(422, 503), operation_id="patients", summary="Patients, or a search")
    def page(request: Request, asked: Annotated[PatientQuery, Query()], _: Reader) -> Patients:
        """All patients, the newest first, or those who are all that is asked for. Who was erased is not among them."""
        note(request, "patients")
        with pages.checked():
            limit = asked.limit or site.params.serving.page_size
            found = register().page(asked.wanted(), after=asked.cursor, limit=limit)
        for one in found.patients:  # whom a page shows, somebody has looked at
            note(request, f"patient {one.uid}")
        return Patients(patients=[PatientAnswer.of(one) for one in found.patients], following=found.following)

    @routes.get("/patients/{id}", responses=refusals(404, 422, 503), operation_id="patient", summary="One patient")
    def get(request: Request, id: UUID, _: Reader) -> PatientAnswer:
        """Who a patient is. Of an erased one, when that was."""
        note(request, f"patient {id}")
        return PatientAnswer.of(register().get(id))

    @routes.patch(
        "/patients/{id}", responses=refusals(404, 409, 410, 422, 503), operation_id="update_patient",
        summary="Change a patient",
    )  # fmt: skip
    def update(request: Request, id: UUID, changes: PatientChanges, _: Writer) -> PatientAnswer:
        """What is left out stays; null takes away. Also for patients of the nightly inbox, of whom nothing is known."""
        note(request, f"patient {id}")
        return PatientAnswer.of(register().update(id, changes.said()))

    @routes.delete(
        "/patients/{id}", responses=refusals(404, 422, 503), operation_id="erase_patient", summary="Erase a patient"
    )
    def erase(request: Request, id: UUID, _: Admin) -> ErasureAnswer:
        """Who it was, for good; the clinical record is kept under this id or removed, as the configuration says.

        The answer says what was done. Where the object store is away, the rows are gone and the answer is 503: the same
        request again removes what is left.
        """
        note(request, f"patient {id}")
        done = erasure.erase(site.engine, lambda: site.objects, id, site.params.serving.erasure)
        return ErasureAnswer.of(done)

    return routes


def _register(site: Site) -> Register:
    return Register.of(site.engine, site.settings)


def _remember(site: Site, patients: Register, caller: Caller, key: str, said: PatientRequest) -> Remember:
    request = patients.index.digest(said.model_dump_json(exclude_unset=True).encode())

    def remember(session: Session, record: str) -> str | None:
        return idempotency.remember(
            session,
            key_id=caller.key_id,
            key=key,
            request=b"patients" + request,
            record=record,
            lifetime=site.idempotency,
        )

    return remember
