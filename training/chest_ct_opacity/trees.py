"""Branching vessels and airways that grow from the hilum into a lung and get thinner."""

import numpy as np
import numpy.typing as npt

from training.chest_ct_opacity.body import Volume

Points = npt.NDArray[np.float32]  # (n, 5): x, y, z, radius, strength


def grow(volume: Volume, side: int, radius: float, thinnest: float, rng: np.random.Generator) -> Points:
    """Points along a random tree inside one lung (``side`` 1 left, 2 right); coordinates in mm."""
    where = np.argwhere(volume.lungs == side)
    if len(where) < 200:
        return np.zeros((0, 5), np.float32)
    z, y, x = volume.grid.axes()
    targets = where[rng.integers(0, len(where), 260)]
    aims = np.stack([x[0, 0, targets[:, 2]], y[0, targets[:, 1], 0], z[targets[:, 0], 0, 0]], 1)
    nodes = [np.array(volume.hila[side - 1])]
    radii = [radius]
    parts: list[Points] = []
    root = nodes[0]
    for aim in aims[np.argsort(-np.linalg.norm(aims - root, axis=1) + rng.uniform(0, 60, len(aims)))]:
        _branch(aim, nodes, radii, parts, thinnest, rng)
    return np.concatenate(parts)


def _branch(
    aim: Points, nodes: list[Points], radii: list[float], parts: list[Points], thinnest: float, rng: np.random.Generator
) -> None:
    known = np.array(nodes)
    root = known[0]
    inward = np.linalg.norm(known - root, axis=1) < np.linalg.norm(aim - root)
    distance = np.linalg.norm(known - aim, axis=1) + np.where(inward, 0, 1e6) + 4.0 / np.array(radii)
    k = int(np.argmin(distance))
    start, r0 = known[k], radii[k] * rng.uniform(0.72, 0.95)
    length = float(np.linalg.norm(aim - start))
    if length < 3 or r0 < thinnest:
        return
    n = max(2, int(length / 0.9))
    t = np.linspace(0, 1, n)[:, None]
    bow = rng.normal(0, 0.08 * length, 3) * np.sin(np.pi * t)
    path = start + (aim - start) * t + bow
    r = np.maximum(r0 * (1 - 0.6 * t[:, 0]), thinnest * 0.8)
    run = np.abs((aim - start)[2]) / length
    parts.append(np.column_stack([path, r, np.full(n, run)]).astype(np.float32))
    for q in np.linspace(0.2, 1, max(2, int(length / 12))):
        nodes.append(path[int(q * (n - 1))])
        radii.append(float(r[int(q * (n - 1))]))


def coverage(volume: Volume, points: Points, grow_mm: float = 0.0) -> npt.NDArray[np.float32]:
    """How much of each voxel the tubes fill, 0 to 1, (slices, rows, columns)."""
    g = volume.grid
    out = np.zeros(volume.hu.shape, np.float32)
    if not len(points):
        return out
    col = (points[:, 0] + g.fov_mm / 2) / g.pixel_mm - 0.5
    row = (points[:, 1] - g.shift_y + g.fov_mm / 2) / g.pixel_mm - 0.5
    sl = np.rint((points[:, 2] - g.z[0]) / g.spacing_mm).astype(int)
    radius = points[:, 3] + grow_mm
    share = np.clip(np.maximum(2 * radius / g.spacing_mm, points[:, 4]), 0, 1)
    reach = int(np.ceil(radius.max() / g.pixel_mm)) + 1
    r0, c0 = np.rint(row).astype(int), np.rint(col).astype(int)
    for dr in range(-reach, reach + 1):
        for dc in range(-reach, reach + 1):
            rr, cc = r0 + dr, c0 + dc
            away = np.hypot(rr - row, cc - col)
            fill = np.clip(radius / g.pixel_mm - away + 0.5, 0, 1) * share
            ok = (fill > 0) & (sl >= 0) & (sl < len(g.z)) & (rr >= 0) & (cc >= 0) & (rr < g.size) & (cc < g.size)
            np.maximum.at(out, (sl[ok], rr[ok], cc[ok]), fill[ok])
    return out


def fill_lungs(volume: Volume, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Paints vessels and airways into ``volume.hu``; returns the vessel coverage, which shows through ground glass."""
    bright = rng.choice([40.0, rng.uniform(100, 300)])
    lung = volume.lungs > 0
    vessels = np.zeros(volume.hu.shape, np.float32)
    for side in (1, 2):
        for _ in range(2):
            vessels = np.maximum(vessels, coverage(volume, grow(volume, side, rng.uniform(5, 8), 0.45, rng)))
    near_hilum = np.where(lung, 1.0, 0.0)
    vessels *= near_hilum
    volume.hu += (bright - volume.hu) * vessels
    for side in (1, 2):
        airway = grow(volume, side, rng.uniform(4.5, 6), 1.1, rng)
        volume.hu += (-50.0 - volume.hu) * coverage(volume, airway, 1.0) * lung * 0.8
        volume.hu += (-970.0 - volume.hu) * coverage(volume, airway) * lung
    return vessels
