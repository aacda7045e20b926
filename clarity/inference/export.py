"""A trained network as one graph: logits and a class activation map a grade, in one forward pass.

The network ends in a mean over space and one linear layer, so the gradient of a logit by the last feature map is
``w[k, c] / (h·w)`` everywhere, and Grad-CAM of that layer is ``relu(sum_c w[k, c]·A_c)`` up to a constant
(Zhou et al. 2016; Selvaraju et al. 2017, section 3). The graph computes ``maps = W·A`` as a 1 × 1 convolution, and
the logits as the maps' mean plus the bias: the explanation costs nothing that the grade would not cost.

Called by training code only: torch is imported inside, and nothing that serves ever imports it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from clarity.errors import InferenceError
from clarity.inference.processor import core, openvino
from clarity.inference.quiet import quiet

if TYPE_CHECKING:
    import onnx_ir
    import torch

ONNX = "model.onnx"
IR = "model.xml"
IR_WEIGHTS = "model.bin"
WEIGHTS = "weights.safetensors"
FILES = (ONNX, IR, IR_WEIGHTS, WEIGHTS)
IR_INT8 = "model.int8.xml"
FILES_INT8 = (IR_INT8, "model.int8.bin")
INPUT = "image"
OUTPUTS = ("logits", "maps")
_EXPORTERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class Network(Protocol):
    """What ``export`` needs of a network; ``clarity.training.backbones`` gives it."""

    head: "torch.nn.Linear"

    def features(self, x: "torch.Tensor") -> "torch.Tensor":
        """(N, 3, S, S) float32 -> the last feature map, (N, C, h, w)."""
        ...


def export(network: "torch.nn.Module", size: int, folder: Path) -> None:
    """Write ``model.onnx``, ``model.xml`` with ``model.bin`` (OpenVINO IR, fp32) and ``weights.safetensors``.

    ``size`` is the side of the square input in pixels; the batch dimension stays dynamic. The network is exported in
    evaluation mode and left in the mode it was in. Raises InferenceError where the graph's logits are not the
    network's own (a head that is not mean pooling and one linear layer), or where it takes one number of images only.
    """
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    was_training = network.training
    network.eval()
    try:
        graph = build_graph(network).eval()
        example = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        _check_same_logits(network, graph, example)
        with quiet(_EXPORTERS):
            # of two images, and any number from there: a batch of unknown size costs the exporter half again
            exported = torch.onnx.export(
                graph, (example,), input_names=[INPUT], output_names=list(OUTPUTS), dynamo=True, verbose=False
            )
            made = cast("torch.onnx.ONNXProgram", exported)  # None without dynamo
            _of_any_number(made.model, len(example))
            made.save(str(folder / ONNX), external_data=False)
        tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)
    finally:
        network.train(was_training)
    _write_ir(folder)


def build_graph(network: "torch.nn.Module") -> "torch.nn.Module":
    """The network with two outputs: image (N, 3, S, S) -> logits (N, 5), maps (N, 5, h, w), both float32."""
    import torch
    from torch.nn import functional

    class Graph(torch.nn.Module):
        def __init__(self, inner: Network) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            head = self.inner.head
            maps = functional.conv2d(self.inner.features(image), head.weight[:, :, None, None])
            return maps.mean(dim=(2, 3)) + head.bias, maps

    return Graph(network)  # type: ignore[arg-type]


def _check_same_logits(network: "torch.nn.Module", graph: "torch.nn.Module", example: "torch.Tensor") -> None:
    import torch

    with torch.inference_mode():
        own, ours = network(example), graph(example)[0]
    worst = float((own - ours).abs().max() / own.abs().max().clamp_min(1e-6))
    if not worst < 1e-3:
        raise InferenceError(
            f"{type(network).__name__}: exported logits differ from its own by {worst:.2g} (relative), "
            "so it does not end in a mean over space and one linear layer and its maps would not be Grad-CAM"
        )


def _of_any_number(model: "onnx_ir.Model", images: int) -> None:
    """Name the first dimension of whatever has one row an image. ``_write_ir`` refuses a graph that counts on it."""
    from onnx_ir import Shape

    between = (value for node in model.graph for value in node.outputs)
    for value in (*model.graph.inputs, *between):
        if value.shape is not None and value.shape.rank() and value.shape[0] == images:
            value.shape = Shape(("batch", *value.shape[1:]))


def _write_ir(folder: Path) -> None:
    """The ONNX file as OpenVINO IR, by the C++ reader. Raises InferenceError where it takes one number of images."""
    ov = openvino()
    with quiet(_EXPORTERS):
        model = core().read_model(folder / ONNX)
        if not all(port.partial_shape[0].is_dynamic for port in (*model.inputs, *model.outputs)):
            raise InferenceError(f"{folder / ONNX}: takes one number of images only, something in it is made for that")
        ov.save_model(model, folder / IR, compress_to_fp16=False)
