"""Runs a network over many items with OpenVINO: compiled once, several streams, answers in order and independent of timing.

Whatever kind of input a package has (slices, windows of a volume, tiles of a slide, images), it is fed through here.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import openvino as ov

from domain.errors import PackageError, PermanentError
from inference import graph
from inference.rewriting import rewrite

K = TypeVar("K")
V = TypeVar("V")
Array = npt.NDArray[Any]
Outputs = tuple[Array, ...]

PRECISIONS = ("auto", "fp32", "bf16", "int8")
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # the rest of an INT8 network runs in FP32
SPARE = 2  # requests beyond those that run: filled while the others run, so that no stream waits for Python
_BACKGROUND = 2  # threads that prepare, if nothing else is said


@dataclass(frozen=True, slots=True)
class Way:
    """How a network is run. ``threads`` 0: every core this process may use; ``streams`` 0: from the number of threads.

    ``batch`` items go through the network at once. ``cache_dir`` keeps compiled networks between starts.
    """

    precision: str = "fp32"
    threads: int = 0
    streams: int = 0
    batch: int = 1
    cache_dir: Path | None = None

    def settled(self) -> "Way":
        """The same with every 0 replaced by what this machine has."""
        threads = self.threads or len(os.sched_getaffinity(0))
        return Way(self.precision, threads, self.streams or min(threads, max(2, threads // 4)), self.batch, self.cache_dir)


class Compiled:
    """A network ready to run. ``model`` (see ``graph.read_network``) has one input whose first dimension is ``way.batch``.

    ``outputs`` are the names of the tensors wanted, in this order. Raises PackageError.
    """

    def __init__(self, core: Any, model: Any, file: str, outputs: Sequence[str], way: Way) -> None:
        self.way = way.settled()
        self.file = file
        wanted = len(model.outputs)
        watches = graph.watch(model)
        rewrite(model)
        try:
            self._compiled = core.compile_model(model, "CPU", _settings(self.way))
        except RuntimeError as error:
            raise PackageError(f"{file} cannot be compiled for this CPU") from error
        self._ports = [self._compiled.output(name) for name in outputs]
        for name, port in zip(outputs, self._ports, strict=True):
            if port.get_partial_shape().rank.get_length() == 0 or port.get_partial_shape()[0] != self.way.batch:
                raise PackageError(
                    f"output {name!r} of {file} is not made of {self.way.batch} answers, one for each item of a batch"
                )
        self._watches = [self._compiled.output(wanted + number) for number in range(watches)]
        entry = self._compiled.input(0)
        self.shape: tuple[int, ...] = tuple(entry.shape[1:])  # of one item
        self.kind = np.dtype(entry.get_element_type().to_dtype())
        self.nbytes = self.kind.itemsize * math.prod(self.shape)

    def output_shape(self, number: int) -> tuple[int, ...]:
        """Of one item, without the first dimension."""
        return tuple(self._ports[number].shape[1:])

    def run(
        self, items: Iterable[K], prepare: Callable[[K], Any], threads: int = _BACKGROUND
    ) -> Generator[tuple[K, Outputs], None, None]:
        """The outputs of each item, in order; ``prepare`` makes its input, in background threads, a few items ahead."""
        with ahead(items, prepare, threads, self.way.streams * self.way.batch + threads) as prepared:
            yield from self.feed(prepared)

    def feed(self, inputs: Iterable[tuple[K, Any]]) -> Generator[tuple[K, Outputs], None, None]:
        """The outputs of each input, in order. An input is an array of ``shape``, or the sequence of arrays it is made of.

        An output is a view, without the first dimension, that is good until the next one is asked for. ``inputs`` is asked
        for little more than is running. Raises PermanentError when the network answers NaN.
        """
        # A ring of requests, each collected before it is used again. AsyncInferQueue would call Python from its own threads,
        # which now and then aborts the process at exit; items take equal time, so a ring is as fast.
        ring = [self._compiled.create_infer_request() for _ in range(self.way.streams + SPARE)]
        running: deque[tuple[Any, list[K]]] = deque()
        try:
            for number, batch in enumerate(_batches(inputs, self.way.batch)):
                request = ring[number % len(ring)]
                if len(running) == len(ring):
                    yield from self._collected(*running.popleft())
                self._told([value for _, value in batch])
                for rest in _RESTS:
                    rest()
                _fill(request.get_input_tensor(0).data, [value for _, value in batch])
                request.start_async()
                running.append((request, [item for item, _ in batch]))
            while running:
                yield from self._collected(*running.popleft())
        finally:
            for request, _ in running:  # whoever asked wants no more: a request must not be dropped while it runs
                request.wait()

    def _told(self, values: list[Any]) -> None:
        for file, hear in _LISTENING:
            if file == self.file:
                for value in values:
                    hear(value)

    def _collected(self, request: Any, items: list[K]) -> Iterator[tuple[K, Outputs]]:
        request.wait()
        if any(np.isnan(request.get_tensor(port).data).any() for port in self._watches):
            raise PermanentError(f"{self.file} answered with values that are no numbers (NaN)")
        tensors = [request.get_tensor(port).data for port in self._ports]
        for place, item in enumerate(items):
            yield item, tuple(tensor[place] for tensor in tensors)


class ahead(Iterator[tuple[K, V]]):  # noqa: N801 - used like a function: with ahead(items, work) as done
    """Does ``work`` on each item in background threads and gives (item, result) in order, never more than ``most`` ahead.

    An exception of ``work`` comes where its result would have. At the end of the block nothing runs any more.
    """

    def __init__(self, items: Iterable[K], work: Callable[[K], V], threads: int, most: int) -> None:
        self._items, self._work, self._most = iter(items), work, max(1, most)
        self._pool = ThreadPoolExecutor(max(1, threads), "ahead")
        self._waiting: deque[tuple[K, Future[V]]] = deque()

    def __enter__(self) -> "ahead[K, V]":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __next__(self) -> tuple[K, V]:
        while len(self._waiting) < self._most:
            try:
                item = next(self._items)
            except StopIteration:
                break
            self._waiting.append((item, self._pool.submit(self._work, item)))
        if not self._waiting:
            raise StopIteration
        item, future = self._waiting.popleft()
        return item, future.result()


_LISTENING: list[tuple[str, Callable[[Any], None]]] = []


_RESTS: list[Callable[[], None]] = []


@contextmanager
def resting(rest: Callable[[], None]) -> Iterator[None]:
    """Calls ``rest`` before each batch until the end of the block: there the work can wait for something more urgent."""
    _RESTS.append(rest)
    try:
        yield
    finally:
        _RESTS.remove(rest)


@contextmanager
def overheard(file: str, hear: Callable[[Any], None]) -> Iterator[None]:
    """Calls ``hear`` with every input of the network ``file`` until the end of the block: how calibration data are made."""
    _LISTENING.append((file, hear))
    try:
        yield
    finally:
        _LISTENING.remove((file, hear))


def native_precisions(core: Any = None) -> tuple[str, ...]:
    """What this CPU computes without imitating it: always fp32 and int8; bf16 where it has the instructions."""
    able = (core or ov.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("fp32", "bf16", "int8") if "BF16" in able else ("fp32", "int8")


def _batches(inputs: Iterable[tuple[K, Any]], size: int) -> Iterator[list[tuple[K, Any]]]:
    batch: list[tuple[K, Any]] = []
    for pair in inputs:
        batch.append(pair)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _fill(tensor: Array, values: list[Any]) -> None:
    """What is missing in the last batch is a copy of its first item, so that nobody computes with old numbers."""
    for place in range(len(tensor)):
        value = values[place] if place < len(values) else values[0]
        if isinstance(value, np.ndarray):
            tensor[place] = value
            continue
        for part, array in enumerate(value):
            tensor[place, part] = array


def _settings(way: Way) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _HINTS[way.precision],
        "INFERENCE_NUM_THREADS": way.threads,
        "NUM_STREAMS": str(way.streams),
        # Several workers would otherwise be pinned to the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if way.cache_dir is not None:
        way.cache_dir.mkdir(parents=True, exist_ok=True)
        settings["CACHE_DIR"] = str(way.cache_dir)
    return settings
