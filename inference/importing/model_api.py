"""OpenVINO IR with the metadata of Intel's Model API (``rt_info / model_info``): classification, segmentation, detection."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op

from domain.errors import PackageError
from inference.importing import images, networks
from inference.importing.draft import Draft
from inference.importing.graphs import Pictures, fixed
from inference.importing.options import Options
from inference.importing.tree import Tree

SOURCE = "OpenVINO IR with Model API metadata"
_FIT = {"standard": "stretch", "fit_to_window_letterbox": "letterbox"}


class Info:
    """The entries of ``model_info``."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def text(self, key: str, default: str = "") -> str:
        """An entry as words."""
        path = ["model_info", key]
        return str(self._model.get_rt_info(path).astype(str)) if self._model.has_rt_info(path) else default

    def flag(self, key: str) -> bool:
        """Whether an entry says yes."""
        return self.text(key).lower() in ("true", "yes", "1")

    def numbers(self, key: str) -> list[float]:
        """Numbers apart by spaces or commas; raises PackageError."""
        try:
            return [float(word) for word in self.text(key).replace(",", " ").split()]
        except ValueError as error:
            raise PackageError(f"model_info: {key} = {self.text(key)[:40]!r} is no list of numbers") from error


def is_model(tree: Tree) -> bool:
    """Whether there is one .xml and it has a model type."""
    return len(found := tree.named(".xml")) == 1 and "<model_info>" in _end(tree, found[0])


def _end(tree: Tree, name: str) -> str:
    """The end of an IR, where its rt_info is."""
    path = tree.path(name)
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 4 * 1024**2))
        return stream.read().decode("utf-8", "replace")


def package(tree: Tree, options: Options) -> Draft:
    """The draft; raises PackageError."""
    name = tree.named(".xml")[0]
    return of_model(networks.read(tree, name), options, name.rsplit("/", 1)[-1].removesuffix(".xml"))


def of_model(model: ov.Model, options: Options, title: str) -> Draft:
    """The draft of a network with metadata."""
    info = Info(model)
    kind = info.text("model_type").lower()
    if kind not in ("classification", "segmentation", "ssd"):
        raise PackageError(
            f"model_info: model_type = {info.text('model_type')!r} cannot be represented (Classification, Segmentation, SSD)"
        )
    _check(info)
    labels = list(options.labels) or [word.replace("_", " ") for word in info.text("labels").split()]
    wrapped = _prepared(model, info, options)
    fit = _FIT[info.text("resize_type", "standard") or "standard"]
    taken = images.Taken([options.modality] if options.modality else [], fit, options.um_per_pixel)
    name = options.name or title
    draft = _by_kind(kind, name, wrapped, labels, taken, info, options)
    draft.known += [f"{key}: {info.text(key)}" for key in ("model_type", "task_type", "labels", "resize_type") if info.text(key)]
    draft.unknown.append(
        "Order of colours: RGB goes in"
        + (", exchanged to BGR (reverse_input_channels)." if info.flag("reverse_input_channels") else " as it is.")
    )
    return draft


def _check(info: Info) -> None:
    if info.flag("hierarchical"):
        raise PackageError("model_info: hierarchical = True (a tree of classes) cannot be represented")
    resize = info.text("resize_type", "standard") or "standard"
    if resize not in _FIT:
        raise PackageError(f"model_info: resize_type = {resize!r} cannot be represented (standard, fit_to_window_letterbox)")
    if _FIT[resize] == "letterbox" and any(info.numbers("pad_value")):
        raise PackageError(f"model_info: pad_value = {info.text('pad_value')!r} cannot be represented: edges are black")
    if info.flag("tile_classifier") or info.text("tiles_overlap"):
        raise PackageError("model_info: tiles_overlap (a tiling model) cannot be represented")


def _prepared(model: ov.Model, info: Info, options: Options) -> Pictures:
    size = (options.size[0], options.size[1]) if len(options.size) == 2 else (0, 0)
    wrapped = Pictures(model, SOURCE, info.text("layout").split(":")[-1], size)
    if info.flag("reverse_input_channels"):
        wrapped.reversed()
    if not info.flag("embedded_processing"):
        wrapped.normalised(info.numbers("mean_values") or [0.0], info.numbers("scale_values") or [1.0])
    return wrapped


def _by_kind(
    kind: str, name: str, wrapped: Pictures, labels: list[str], taken: images.Taken, info: Info, options: Options
) -> Draft:
    if kind == "classification":
        activation = "sigmoid" if info.flag("multilabel") else ""
        return images.classification(SOURCE, name, wrapped, labels, taken, activation, options.output)
    if kind == "segmentation":
        shape = fixed(wrapped.model.output(0)) or []
        if len(shape) == 4 and len(labels) == shape[1]:
            labels = labels[1:]  # the background is named too
        return images.segmentation(SOURCE, name, wrapped, labels, taken, options.output, _first(info.numbers("soft_threshold")))
    return images.detection(
        SOURCE, name, wrapped, labels, taken, _boxes(wrapped), _first(info.numbers("confidence_threshold")) or 0.5
    )


def _first(values: list[float]) -> float:
    return values[0] if values else 0.0


def _boxes(wrapped: Pictures) -> Any:
    """[1, N, 6] of x0, y0, x1, y1 in pixels, score, class, from either of the forms detectors are exported in."""
    shapes = [fixed(port) for port in wrapped.model.outputs]
    if len(shapes) == 1 and shapes[0] is not None and len(shapes[0]) == 4 and shapes[0][3] == 7:
        return _of_detection_out(wrapped)
    named = {n: port for port in wrapped.model.outputs for n in port.get_names()}
    boxes, classes = named.get("boxes"), named.get("labels")
    shape = fixed(boxes) if boxes is not None else None
    if shape is None or classes is None or len(shape) not in (2, 3) or shape[-1] != 5:
        raise PackageError(
            f"{SOURCE}: a detector answers [1, 1, N, 7], or 'boxes' [1, N, 5] and 'labels' [1, N]; this one {shapes}"
        )
    assert boxes is not None
    wrapped.joined("boxes")
    count = shape[-2]
    corners = op.reshape(boxes.get_node().input_value(0), _ints([1, count, 5]), special_zero=False)
    kinds = op.reshape(op.convert(classes.get_node().input_value(0), "f32"), _ints([1, count, 1]), special_zero=False)
    return op.concat([op.convert(corners, "f32"), kinds], 2)


def _of_detection_out(wrapped: Pictures) -> Any:
    node = wrapped.joined()
    count = fixed(node.output(0))[2]  # type: ignore[index]
    rows = op.reshape(node, _ints([1, count, 7]), special_zero=False)
    ordered = op.gather(rows, _ints([3, 4, 5, 6, 2, 1]), op.constant(np.int64(2)))
    height, width = wrapped.size
    return op.multiply(ordered, op.constant(np.array([width, height, width, height, 1, 1], np.float32)))


def _ints(values: list[int]) -> Any:
    return op.constant(np.array(values, np.int64))
