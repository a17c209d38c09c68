"""How many streams, and how many items at once, are fastest for a network on this machine: measured, in turns, not guessed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, Final, TypeVar

import numpy as np

from domain.errors import PackageError
from inference.running import Compiled, Way

SECONDS: Final = 0.2  # of one measurement
ROUNDS: Final = 3
MOST: Final = 300  # items of one measurement
QUICK: Final = 1000  # items per second: such a network is never what a study waits for
WORTH: Final = 1.05  # more streams or items at once cost memory: only for a gain of 5 %
MOST_BATCH_BYTES: Final = 300_000  # of one item; larger ones gain nothing from company

K = TypeVar("K")
Make = Callable[[Way], Compiled]


def speed(network: Compiled, inputs: Sequence[Any] = (), seconds: float = SECONDS) -> float:
    """Items per second of a network, with everything but the preparation of its inputs."""
    given = list(inputs) or [_sample(network)]
    _pace(network, given, seconds / 5, MOST)  # first runs allocate
    return _pace(network, given, seconds, MOST)


def race(networks: Mapping[K, Compiled], rounds: int = ROUNDS) -> dict[K, float]:
    """Items per second of each, taken in turns. The best of all rounds counts: other work on the machine only ever slows."""
    paces: dict[K, float] = dict.fromkeys(networks, 0.0)
    for _ in range(rounds):
        for name, network in networks.items():
            paces[name] = max(paces[name], speed(network))
    return paces


def fastest(make: Make, way: Way, rounds: int = ROUNDS) -> tuple[Way, float]:
    """The way among those worth trying that is fastest, and its items per second."""
    first = way.settled()
    others = [replace(first, streams=streams) for streams in _streams(first.threads) if streams != first.streams]
    best, pace, network = _best(make, [first, *others], rounds)
    if network.nbytes <= MOST_BATCH_BYTES:
        best, pace, _ = _best(make, [best, *(replace(best, batch=batch) for batch in (2, 4))], rounds)
    return best, pace


def _best(make: Make, ways: Sequence[Way], rounds: int) -> tuple[Way, float, Compiled]:
    """The first way is what is taken without a reason to do otherwise."""
    networks = {ways[0]: make(ways[0])}
    for way in ways[1:]:
        try:
            networks[way] = make(way)
        except PackageError:
            continue  # many networks were exported for one item at a time
    paces = race(networks, rounds)
    best = ways[0]
    for way in list(networks)[1:]:
        if paces[way] > WORTH * paces[best]:
            best = way
    return best, paces[best], networks[best]


def _streams(threads: int) -> list[int]:
    """Few candidates: the machine should begin to work. One stream on several cores was never the fastest."""
    return sorted({min(2, threads), max(1, threads // 4), max(1, threads // 2), threads})


def _sample(network: Compiled) -> Any:
    return np.random.default_rng(0).integers(0, 255, network.shape).astype(network.kind)


def _pace(network: Compiled, inputs: Sequence[Any], seconds: float, most: int) -> float:
    started = time.perf_counter()
    until = started + seconds
    done = 0

    def feed() -> Any:
        for number, value in enumerate(cycle(inputs)):
            if number >= most or (number and time.perf_counter() > until):
                return
            yield number, value

    for _ in network.feed(feed()):
        done += 1
    return done / (time.perf_counter() - started)
