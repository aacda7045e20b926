"""A patient is made, a photograph sent, its prediction read, then the history: what an app at a camera does.

    export CLARITY_API_URL=…  # of `clarity up` or `clarity serve`
    export CLARITY_API_KEY=$(clarity key create example --scope predict --scope read)
    python examples/first_patient.py [PHOTOGRAPH]

Without a photograph it draws a phantom, which is nobody's eye, and no figure about one is clinical.
"""

import argparse
from pathlib import Path

from clarity.client import Client
from clarity.client.answers import Prediction


def main() -> None:
    parser = argparse.ArgumentParser(description="Patient, photograph, prediction, history.")
    parser.add_argument("photograph", nargs="?", type=Path, help="JPEG, PNG, TIFF, BMP, WebP or DICOM")
    parser.add_argument("--eye", choices=("left", "right"), default="left")
    parser.add_argument("--heatmap", type=Path, default=Path("heatmap.png"), help="where the picture is written")
    said = parser.parse_args()
    photograph = said.photograph or phantom(said.eye)

    with Client() as client:
        patient = client.create_patient(name="Erika Example", birth_date="1961-04-30", history="An example.")
        print(f"patient     {patient.id}")

        found = client.predict(photograph, patient=patient.id, eye=said.eye, inline=True)
        print(f"prediction  {sentence(found)}")
        print(f"model       {found.model} {found.model_version}. {found.statement}")
        if found.heatmap and found.heatmap.picture:
            said.heatmap.write_bytes(found.heatmap.picture)
            print(f"heatmap     {said.heatmap}, of {found.heatmap.subject}")

        for visit in client.history(patient.id).visits:
            outcome = f"{visit.outcome.result}: {visit.outcome.action}" if visit.outcome else "no outcome yet"
            print(f"visit       {visit.visit}, {outcome}")
            for scan in visit.scans:
                print(f"scan        {scan.id[:12]}…, {scan.eye} eye, {scan.state}, grade {scan.grade}")


def sentence(found: Prediction) -> str:
    """What a person is told."""
    if found.grade is None:
        return f'ungradable, which is not "no DR": {", ".join(found.quality.reasons)}. {found.advice}'
    refer = "referable" if found.referable else "not referable"
    return f"grade {found.grade}, {found.name}, {found.confidence:.0%} confident, {refer}"


def phantom(eye: str) -> bytes:
    """A drawn photograph of moderate retinopathy, another each time: the same one is another patient's already."""
    import secrets

    import cv2

    from clarity.data import phantoms
    from clarity.records import Eye

    image = phantoms.draw(secrets.randbelow(2**31), 2, size=1024, eye=Eye(eye)).image
    return cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes()


if __name__ == "__main__":
    main()
