"""Saved weights as a network that classifies raw pixels: the metadata of a file, and the loader.

The metadata (of safetensors) have all that the weights need: the normalisation of the pixels, the shape of an
image, the classes, and the expression of the network. Nothing in a file is imported or executed: an
expression is compiled with the standard vocabulary, or with that of a given space.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model
from torch import Tensor, nn

from nas.callables import renamed
from nas.errors import EvaluationError, NasError, describe_error, one_line, refusal
from nas.training.image_evaluator import COMPILER
from nas.training.optimizer_task import FIXED
from nas.training.pixels import to_bytes
from nas.training.train import EVALUATION_BATCH

if TYPE_CHECKING:
    from nas.space import SearchSpace

_FACTS = ("architecture", "space", "built_by", "input_shape", "class_names", "pixel_range", "mean", "std")
_COPY, _GIVE = "copy the file again", "give the space and compiler of its run"


class TrainedNetwork(nn.Module):
    """A network with the normalisation that it was trained with.

    Attributes:
        network: as the architecture says, without normalisation of pixels.
        input_shape: (C, H, W) of an image.
        class_names: of the scores, in order.
        pixel_range: values of black and white of the training images' files; None where they have 0 to 255.
        mean: of each channel over the training images, in pixel values, as (1, C, 1, 1).
        std: the same, standard deviation.
        metadata: of the file: texts, including the reported results.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, metadata: Mapping[str, str]) -> None:
        super().__init__()
        self.network = network
        self.metadata = dict(metadata)
        facts = {name: json.loads(metadata[name]) for name in ("input_shape", "class_names", "mean", "std")}
        self.input_shape: tuple[int, ...] = tuple(facts["input_shape"])
        self.class_names: tuple[str, ...] = tuple(facts["class_names"])
        limits = json.loads(metadata["pixel_range"])
        self.pixel_range: tuple[float, float] | None = None if limits is None else (limits[0], limits[1])
        for name in ("mean", "std"):
            values = torch.tensor(facts[name], dtype=torch.float32)[None, :, None, None]
            self.register_buffer(name, values)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (B, K) of raw pixels (B, C, H, W), with values like those of the training images."""
        return self.network((images.float() - self.mean) / self.std)

    def predict(self, images: np.ndarray | Tensor) -> np.ndarray:
        """The class of each image, (N,) int64 positions in `class_names`; the mode is restored.

        Args:
            images: (N, C, H, W), raw pixels from 0 to 255 with values like those of the training images.

        Raises:
            EvaluationError: another shape, or pixels that are scaled already.
        """
        try:
            raw = torch.as_tensor(np.array(images) if isinstance(images, np.ndarray) else images)
        except (TypeError, ValueError, RuntimeError) as error:
            remedy = "give an array or a tensor of numbers"
            message = refusal("predict", "an array of pixels", describe_error(error), remedy)
            raise EvaluationError(message) from None
        self._check(raw)
        training, device = self.training, self.mean.device
        self.eval()
        found = []
        try:
            with torch.inference_mode():
                for batch in raw.split(EVALUATION_BATCH) if len(raw) else ():
                    part = batch.to(device).contiguous(memory_format=torch.channels_last)
                    found.append(self(part).argmax(1).cpu())
        finally:
            self.train(training)
        return torch.cat(found).numpy() if found else np.zeros(0, np.int64)

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """Pixels for `predict`, uint8, from values like those of the training images' files.

        Args:
            values: of any shape, from black to white of `pixel_range`, e.g. 16-bit ones; if that is None,
                values of 8 bits, which are not changed.

        Raises:
            EvaluationError: values outside of the range.
        """
        black, white = self.pixel_range or (0.0, 255.0)
        array = np.asarray(values)
        if array.dtype.kind not in "buif" or not array.ndim:
            got, remedy = f"{array.dtype} of shape {array.shape}", "convert it with numpy.asarray"
            raise EvaluationError(refusal("pixels", "an array of numbers", got, remedy))
        if not array.size:
            return np.zeros(array.shape, np.uint8)
        low, high = float(array.min()), float(array.max())
        if not (black <= low and high <= white):
            expected = f"values from {black:.9g} to {white:.9g}, as the training images' files had them"
            got = f"{low:.9g} to {high:.9g}"
            raise EvaluationError(refusal("pixels", expected, got, "scale them to that range"))
        return to_bytes(array, black, white)

    def _check(self, images: Tensor) -> None:
        if images.dim() != 4 or tuple(images.shape[1:]) != self.input_shape:
            listed = ", ".join(map(str, self.input_shape))
            raise EvaluationError(
                refusal(
                    "predict",
                    f"images of shape (N, {listed})",
                    tuple(images.shape),
                    "scale them, and give one image as images[None]",
                )
            )
        if not images.numel():
            return
        if images.is_complex():
            raise EvaluationError(refusal("predict", "real numbers", images.dtype, "give their real part"))
        values = images.float()
        low, high = (float(each) for each in values.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            got = "values that are not finite"
            raise EvaluationError(refusal("predict", "raw pixels", got, "replace NaN and infinity"))
        # if files have values from 0 to 1, or false and true, 1 is white and not a raw pixel value
        of_ones = self.pixel_range is not None and self.pixel_range[1] <= 1
        small = 0 < high <= 1 and (of_ones or bool((values != values.round()).any()))
        if low < 0 or high > 255 or (small and float(self.mean.max()) > 1):
            mean = float(self.mean.mean())
            remedy = "give pixels as nas.training.data.load reads them, neither scaled nor normalised"
            if self.pixel_range is not None:
                remedy += ", or convert the files' values with `pixels` of the network"
            where, expected = "predict", f"raw pixels from 0 to 255 with a mean of about {mean:.3g}"
            raise EvaluationError(refusal(where, expected, f"values from {low:.3g} to {high:.3g}", remedy))


def load_network(
    path: str | Path, *, space: SearchSpace | None = None, compiler: Callable[..., nn.Module] | None = None
) -> TrainedNetwork:
    """The trained network of a file in `checkpoints/`, on the CPU and in evaluation mode.

    Args:
        path: a file of weights (`.safetensors`).
        space: of the architecture, if its vocabulary is not the standard one.
        compiler: of the evaluator, if it is not the standard one.

    Raises:
        EvaluationError: no such file, one without the metadata, or weights of another network.
    """
    file = Path(path)
    if not file.is_file():
        raise EvaluationError(refusal(f"weights {file}", "a .safetensors file", "none", "give its path"))
    try:
        with safe_open(file, "pt") as head:
            metadata = head.metadata() or {}
            shapes = {name: tuple(head.get_slice(name).get_shape()) for name in head.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        _refuse(file, "a file of weights", f"one that cannot be read ({describe_error(error)})", _COPY)
    missing = [name for name in _FACTS if name not in metadata]
    if missing:
        _refuse(file, f"{', '.join(missing)} in its metadata", "none", "train the network again")
    make = _maker(file, metadata, space, compiler)
    try:
        if compiler is None:  # so that a file cannot ask for more memory than its tensors take
            with torch.device("meta"):
                _check_shapes(file, make(), shapes, metadata)
        network = make()
        load_model(network, file, strict=True)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] - as it was trained
        return TrainedNetwork(network, metadata).eval()
    except EvaluationError:
        raise
    except (NasError, KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        _refuse(file, "weights of its architecture", describe_error(error), _GIVE)


def _maker(
    file: Path,
    metadata: Mapping[str, str],
    space: SearchSpace | None,
    compiler: Callable[..., nn.Module] | None,
) -> Callable[[], nn.Module]:
    """A function that builds the network with new weights; names in the file select known functions only."""
    shape, classes, options = _numbers(file, metadata)
    built_by = renamed(metadata["built_by"])
    kind, _, name = built_by.partition("/")
    if compiler is None and kind == FIXED:
        from nas.training.optimizer_task import NETWORKS

        width = options.get("width")
        if name not in NETWORKS or type(width) is not int or width < 1 or len(shape) != 3:
            expected = f"a network among {', '.join(NETWORKS)} and its width"
            _refuse(file, expected, f"{name}, {width!r}", _COPY)
        return lambda: NETWORKS[name](shape, classes, width)
    if compiler is None and built_by != COMPILER:
        _refuse(file, f"compiler=..., as its network was built by {built_by}", "none", "give that function")
    from nas.language import parse
    from nas.layers import NETWORK, compile_network
    from nas.space import Architecture

    try:
        term = parse(metadata["architecture"])
    except NasError as error:
        _refuse(file, "an architecture in its metadata", str(error), _COPY)
    vocabulary = NETWORK if space is None else space.vocabulary
    architecture = Architecture(metadata["space"], vocabulary, (), term)
    return lambda: (compiler or compile_network)(architecture, shape, classes, seed=0)


def _numbers(file: Path, metadata: Mapping[str, str]) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    """Shape of an image, number of classes, options of the builder; checks all metadata in JSON."""
    try:
        shape, names, mean, std = (
            json.loads(metadata[each]) for each in ("input_shape", "class_names", "mean", "std")
        )
        limits, options = json.loads(metadata["pixel_range"]), json.loads(metadata.get("options", "{}"))
    except (ValueError, RecursionError) as error:
        _refuse(file, "JSON in its metadata", describe_error(error), _COPY)
    whole = _is_list(shape, int) and len(shape) == 3 and min(shape) >= 1 and isinstance(options, dict)
    named = _is_list(names, str) and len(names) >= 1
    moments = whole and all(_is_list(each, int, float) and len(each) == shape[0] for each in (mean, std))
    ranged = limits is None or (_is_list(limits, int, float) and len(limits) == 2 and limits[0] < limits[1])
    if (
        not (whole and named and moments and ranged)
        or not all(map(math.isfinite, (*mean, *std)))
        or min(std) <= 0
    ):
        expected = "input_shape, class_names, pixel_range, mean and std of one image"
        _refuse(file, expected, "others", _COPY)
    return tuple(shape), len(names), options


def _is_list(value: Any, *kinds: type) -> bool:
    return isinstance(value, list) and all(type(each) in kinds for each in value)


def _check_shapes(
    file: Path, network: nn.Module, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]
) -> None:
    for name, tensor in network.state_dict().items():
        if name in metadata and name not in shapes:  # a second name of a tensor, which is stored once
            continue
        if shapes.get(name) != tuple(tensor.shape):
            expected = f"{name} of shape {tuple(tensor.shape)} for its architecture"
            _refuse(file, expected, str(shapes.get(name, "none")), _GIVE)


def _refuse(file: Path, expected: str, got: str, remedy: str) -> NoReturn:
    raise EvaluationError(refusal(f"weights {file}", expected, one_line(got, 1000), remedy)) from None
