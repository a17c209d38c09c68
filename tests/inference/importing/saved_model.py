"""A TensorFlow SavedModel written by hand, so that no TensorFlow is needed: means of the colours, weights, softmax."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

FLOAT, INT32 = 1, 3


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def entry(field: int, key: str, value: bytes) -> bytes:
    """One item of a map."""
    return block(field, block(1, key) + block(2, value))


def shape(sizes: tuple[int, ...]) -> bytes:
    return b"".join(block(2, number(1, size)) for size in sizes)


def tensor(values: npt.NDArray[np.generic], kind: int) -> bytes:
    return number(1, kind) + block(2, shape(values.shape)) + block(4, values.tobytes())


def node(name: str, op: str, inputs: tuple[str, ...] = (), **attributes: bytes) -> bytes:
    found = block(1, name) + block(2, op) + b"".join(block(3, one) for one in inputs)
    return block(1, found + b"".join(entry(5, key, value) for key, value in attributes.items()))


def constant(name: str, values: npt.NDArray[np.generic], kind: int) -> bytes:
    return node(name, "Const", dtype=number(6, kind), value=block(8, tensor(values, kind)))


def write(folder: Path, size: tuple[int, int] = (40, 56), classes: int = 2) -> Path:
    weights = np.random.default_rng(4).normal(size=(3, classes)).astype(np.float32)
    entry_shape = (1, *size, 3)
    kinds = {"T": number(6, FLOAT)}
    nodes = [
        node("x", "Placeholder", dtype=number(6, FLOAT), shape=block(7, shape(entry_shape))),
        constant("axes", np.array([1, 2], np.int32), INT32),
        node("mean", "Mean", ("x", "axes"), **kinds, Tidx=number(6, INT32), keep_dims=number(5, 0)),
        constant("weights", weights, FLOAT),
        node("logits", "MatMul", ("mean", "weights"), **kinds, transpose_a=number(5, 0), transpose_b=number(5, 0)),
        node("scores", "Softmax", ("logits",), **kinds),
    ]
    graph = b"".join(nodes) + block(4, number(1, 1087))

    def about(name: str, sizes: tuple[int, ...]) -> bytes:
        return block(1, f"{name}:0") + number(2, FLOAT) + block(3, shape(sizes))

    signature = entry(1, "image", about("x", entry_shape)) + entry(2, "scores", about("scores", (1, classes)))
    signature += block(3, "tensorflow/serving/predict")
    meta = block(1, block(4, "serve") + block(5, "2.15.0")) + block(2, graph) + entry(5, "serving_default", signature)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(number(1, 1) + block(2, meta))
    return folder
