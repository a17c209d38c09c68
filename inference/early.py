"""What can be computed of a series before its last image is there: slices whose neighbours have come already."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from domain.early import EarlyAnswer
from domain.errors import UnsuitableError
from inference.admission import Contract
from inference.contract import Network
from inference.engine import Chosen, Engine, channel_slices
from inference.kept import Kept
from inference.package import Package
from inference.series import Stack, stack
from inference.source import Source
from inference.volume import decode, identity, pixel_key, seen, worth_keeping

FEWEST = 5  # slices: their typical distance is not known before


def begin(engine: Engine, package: Package, sources: Sequence[Source], kept: Kept, go: Callable[[], bool]) -> EarlyAnswer:
    """Adds to ``kept`` the planes of slices that more images will not change, in order, until ``go`` says no."""
    unfinished = _largest(sources, package.contract)
    if unfinished is None:
        return EarlyAnswer(0, complete=True)
    chosen = channel_slices(package.network, unfinished.positions)
    names = [identity(source) for source in unfinished.sources]
    keys = {
        index: engine.key([names[s] for s in chosen[index]], unfinished.transposed, unfinished.flips)
        for index in certain(package.network, unfinished.positions, chosen)
        if all(names[s] for s in chosen[index])
    }
    wanted = [index for index, key in keys.items() if key not in kept]
    done = 0
    try:
        for index, planes in engine.run(chosen, wanted, lambda s: _pixels(unfinished, s, kept)):
            kept.add(keys[index], planes.tobytes(), pack=True)
            done += 1
            if not go():
                break
    except UnsuitableError:  # one image cannot be decoded: the analysis will say so
        return EarlyAnswer(done, complete=True)
    return EarlyAnswer(done, complete=done == len(wanted))


def certain(network: Network, positions: tuple[float, ...], chosen: Chosen) -> list[int]:
    """Slices all of whose channels lie where they should, within half the typical distance of slices (as far as is known)."""
    places = np.array(positions)
    typical = float(np.median(np.diff(places)))
    offsets = np.array(network.channels_mm) if network.channels_mm else np.array(network.channels_slices) * typical
    off = np.abs(places[chosen] - places[:, None] - offsets)
    return [int(i) for i in np.flatnonzero((off <= typical / 2 + 0.01).all(axis=1))]


def _largest(sources: Sequence[Source], contract: Contract) -> Stack | None:
    """The series that would be analysed if nothing more came, holes or not."""
    lenient = replace(
        contract,
        min_slices=FEWEST,
        slice_spacing=(0.0, math.inf),
        gap_factor=math.inf,
        spacing_variation=math.inf,
    )
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(source.series_uid, []).append(source)
    found = []
    for uid in sorted(groups):
        try:
            found.append(stack(groups[uid], lenient))
        except UnsuitableError:
            continue  # not yet, or not at all
    return max(found, key=lambda one: (len(one.sources), -one.spacing[0]), default=None)


def _pixels(unfinished: Stack, index: int, kept: Kept) -> npt.NDArray[np.generic]:
    source = unfinished.sources[index]
    hu = np.empty((unfinished.rows, unfinished.columns), np.int16 if unfinished.units == "HU" else np.float32)
    decode(source, hu, kept, unfinished.units)
    key = pixel_key(source, unfinished.units)
    if worth_keeping(source) and key not in kept:
        kept.add(key, hu.tobytes(), pack=False)
    return seen(hu, unfinished.transposed, unfinished.flips)
