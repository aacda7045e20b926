"""What Clarity is compared with: the loop that people write, with the libraries that they use, fairly."""

from typing import Any

import boto3
import cv2
import numpy as np
import torch
from sqlalchemy import create_engine, text
from torchvision.models import ResNet

from clarity.bench.imaging import usual_image, usual_tensor
from clarity.bench.night import Night

_TABLE = "CREATE TABLE IF NOT EXISTS usual (key text, grade int, confidence float, heatmap text)"
_INSERT = "INSERT INTO usual VALUES (:key, :grade, :confidence, :heatmap)"


class Loop:
    """One image at a time: get, prepare, predict, explain, draw, put, INSERT."""

    def __init__(self, place: Night, model: ResNet) -> None:
        settings = place.settings
        secret = settings.s3_secret_access_key
        self.store = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            aws_access_key_id=settings.s3_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            region_name=settings.s3_region,
        )
        self.bucket, self.captures, self.model = settings.s3_bucket, place.captures, model
        self.database = create_engine(place.engine.url)
        with self.database.begin() as link:
            link.execute(text(_TABLE))

    def run(self) -> int:
        """How many rows it wrote."""
        from pytorch_grad_cam import GradCAM

        with GradCAM(model=self.model, target_layers=[self.model.layer4[-1]]) as cam:
            for capture in self.captures:
                self._one(cam, capture.key)
        return len(self.captures)

    def _one(self, cam: Any, key: str) -> None:
        from pytorch_grad_cam.utils.image import show_cam_on_image

        data = self.store.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        image = usual_image(data)
        heat = cam(input_tensor=torch.from_numpy(usual_tensor(image)), targets=None)[0]
        probability = torch.softmax(cam.outputs.detach(), dim=1)[0].numpy()
        overlay = show_cam_on_image((image / 255.0).astype(np.float32), heat, use_rgb=True)
        drawn = cv2.imencode(".png", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))[1].tobytes()
        name = f"usual/{key}.png"
        self.store.put_object(Bucket=self.bucket, Key=name, Body=drawn)  # a file object would wait for 100-continue
        row = {"key": key, "grade": int(probability.argmax()), "confidence": float(probability.max()), "heatmap": name}
        with self.database.begin() as link:
            link.execute(text(_INSERT), row)
