"""The usual way to serve the same network: FastAPI, OpenCV, torchvision and pytorch-grad-cam, one uvicorn process.

``python -m clarity.bench.peer WEIGHTS PORT`` is that process, ``WEIGHTS`` a state dictionary as torch saves it. The
model and its explainer are made once; nothing is queued, stored, checked or logged, and no quality is judged.
"""

import base64
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from torchvision.models import resnet50

from clarity import grades
from clarity.bench.imaging import usual_image, usual_tensor


def application(weights: Path) -> FastAPI:
    """``POST /predict`` with the photograph in the form's field ``image``."""
    model = resnet50(weights=None, num_classes=len(grades.GRADES))
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    explainer = GradCAM(model=model, target_layers=[model.layer4[-1]])
    app = FastAPI()

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/predict")
    async def predict(image: UploadFile) -> dict[str, Any]:
        return answer(explainer, await image.read())

    return app


def answer(explainer: Any, data: bytes) -> dict[str, Any]:
    """A photograph's bytes to what is answered, of the same names as Clarity's answer."""
    image = usual_image(data)
    heat = explainer(input_tensor=torch.from_numpy(usual_tensor(image)), targets=None)[0]
    probability = torch.softmax(explainer.outputs.detach(), dim=1)[0].numpy()
    grade, referable = int(probability.argmax()), float(probability[grades.REFERABLE_FROM :].sum())
    return {
        "outcome": "graded",
        "grade": grade,
        "name": grades.NAMES[grade],
        "probabilities": probability.tolist(),
        "confidence": float(probability.max()),
        "referable": referable >= 0.5,
        "referable_probability": referable,
        "heatmap": {
            "subject": grade,
            "media_type": "image/png",
            "encoding": "base64",
            "width": image.shape[1],
            "height": image.shape[0],
            "data": base64.b64encode(picture(image, heat)).decode("ascii"),
        },
        "model": "resnet50",
        "model_version": "usual",
    }


def picture(image: np.ndarray[Any, np.dtype[np.uint8]], heat: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """The heatmap over the prepared photograph, PNG, as pytorch-grad-cam draws it."""
    overlay = show_cam_on_image((image / 255.0).astype(np.float32), heat, use_rgb=True)
    return cv2.imencode(".png", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))[1].tobytes()


def _main(weights: str, port: str) -> None:
    uvicorn.run(application(Path(weights)), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    _main(*sys.argv[1:])
