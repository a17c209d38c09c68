"""The networks of a package over images, compiled: one sees images or tiles, a second one maybe a crop of each object."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import openvino as ov

from domain.errors import PackageError
from inference import graph
from inference.images.contract import Output
from inference.images.package import ImagePackage
from inference.running import Compiled, Way

K = TypeVar("K")
Answers = Mapping[str, npt.NDArray[Any]]
_WHOLE_NUMBERS = ("u8", "i8", "i32", "u32", "i64", "u64")
_RANK = {"labels": 3, "probability": 4, "centres": 4, "sizes": 4, "boxes": 3, "scores": 2}


class Networks:
    """Both networks of a package; raises PackageError when one is not what package.toml says."""

    def __init__(self, package: ImagePackage, way: Way) -> None:
        self.precision, core = way.precision, ov.Core()
        self._outputs, self.network = package.network.outputs, compiled(core, package, way)
        self._heads: tuple[Output, ...] = ()
        if package.manifest.crops is not None:
            self._heads = _heads(package)
            self._crop = compiled_crops(core, package, way)

    def images(self, inputs: Iterable[tuple[K, npt.NDArray[np.uint8]]]) -> Iterator[tuple[K, Answers]]:
        """What the first network says about images (H, W, 3), in order; good until the next is asked for."""
        for key, outputs in self.network.feed(inputs):
            yield key, _named(self._outputs, outputs)

    def crops(self, inputs: Iterable[tuple[K, npt.NDArray[np.uint8]]]) -> Iterator[tuple[K, Answers]]:
        """What the second network says about crops (S, S, 3 or 4), in order."""
        for key, outputs in self._crop.feed(inputs):
            yield key, _named(self._heads, outputs)


def _named(outputs: tuple[Output, ...], answers: tuple[npt.NDArray[Any], ...]) -> Answers:
    return {output.name: answer for output, answer in zip(outputs, answers, strict=True)}


def _heads(package: ImagePackage) -> tuple[Output, ...]:
    crops = package.manifest.crops
    assert crops is not None
    return tuple(Output(head.name, "scores", (), head.values) for head in crops.heads)


def compiled(core: Any, package: ImagePackage, way: Way) -> Compiled:
    """The network that sees images or tiles."""
    network = package.network
    return _compiled(core, package, way, network.file, network.input, (*network.size, 3), network.outputs)


def compiled_crops(core: Any, package: ImagePackage, way: Way) -> Compiled:
    """The network that sees crops."""
    crops = package.manifest.crops
    assert crops is not None
    shape = (crops.size, crops.size, 4 if crops.mask else 3)
    return _compiled(core, package, way, crops.file, crops.input, shape, _heads(package))


def _compiled(
    core: Any, package: ImagePackage, way: Way, file: str, name: str, shape: tuple[int, int, int], outputs: tuple[Output, ...]
) -> Compiled:
    model = graph.read_network(core, package.weights(way.precision, file), file, name, (way.batch, *shape))
    if len(model.inputs) != 1 or model.input(0).get_element_type().get_type_name() != "u8":
        raise PackageError(f"{file} must have one input, uint8 [N, H, W, {shape[2]}]")
    names = graph.ports(model)
    for output in outputs:
        if output.name not in names:
            raise PackageError(f"{file} has no output {output.name!r}")
        _check(names[output.name], output, f"output {output.name!r} of {file}", shape)
    return Compiled(core, model, file, [output.name for output in outputs], way)


def _check(port: Any, output: Output, where: str, shape: tuple[int, int, int]) -> None:
    if port.get_partial_shape().is_dynamic or len(port.get_partial_shape()) != _RANK[output.kind]:
        raise PackageError(f"{where} must have {_RANK[output.kind]} dimensions of fixed size")
    kind, sizes = port.get_element_type().get_type_name(), tuple(port.get_shape())
    labels = output.kind == "labels"
    if kind not in (_WHOLE_NUMBERS if labels else ("f32", "f16")):
        raise PackageError(f"{where} must be {'labels (uint8)' if labels else 'float32'}")
    channels = {"probability": len(output.classes), "centres": len(output.classes), "sizes": 2, "scores": len(output.values)}
    axis, count = (2, 6) if output.kind == "boxes" else (1, channels.get(output.kind, 0))
    if count and sizes[axis] != count:
        raise PackageError(f"{where} must have {count} values in its dimension {axis}, not {sizes[axis]}")
    maps = output.kind in ("labels", "probability", "centres", "sizes")
    if maps and any(side % cells for side, cells in zip(shape[:2], sizes[-2:], strict=True)):
        raise PackageError(f"the sides of {where} must divide those of the input")
