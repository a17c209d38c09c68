"""The anatomy of a made-up person: which tissue lies at each point of a volume, with exact lung truth.

Axes: x grows to the patient's left, y to the back, z to the head, all in mm; z = 0 is the lowest lung recess.
No patient data goes in.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
AIR, FAT, MUSCLE = -1000.0, -100.0, 45.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Sampling points: ``z`` (slices,) in mm; rows and columns cover ``fov_mm`` around the middle of the body."""

    z: Field
    size: int
    fov_mm: float
    shift_y: float = 0.0

    @property
    def pixel_mm(self) -> float:
        """Edge of a pixel in mm."""
        return self.fov_mm / self.size

    @property
    def spacing_mm(self) -> float:
        """Distance between slices in mm."""
        return float(self.z[1] - self.z[0])

    def axes(self) -> tuple[Field, Field, Field]:
        """Broadcastable z (S,1,1), y (1,R,1), x (1,1,C)."""
        line = ((np.arange(self.size) + 0.5) * self.pixel_mm - self.fov_mm / 2).astype(np.float32)
        return self.z.astype(np.float32)[:, None, None], (line + self.shift_y)[None, :, None], line[None, None, :]


@dataclass(slots=True)
class Volume:
    """Painted tissue ``hu`` float32 and ``lungs`` uint8 (0, 1 left, 2 right), both (slices, rows, columns)."""

    hu: Field
    lungs: npt.NDArray[np.uint8]
    grid: Grid
    height: float
    hila: tuple[tuple[float, float, float], tuple[float, float, float]]
    opacity: npt.NDArray[np.uint8]


def _between(points: int, cells: int) -> Field:
    """Matrix (points, cells + 1) of linear interpolation."""
    at = np.arange(points) * cells / points
    low = at.astype(int)
    matrix = np.zeros((points, cells + 1), np.float32)
    matrix[np.arange(points), low] = 1 - (at - low)
    matrix[np.arange(points), low + 1] = at - low
    return matrix


def smooth_noise(shape: tuple[int, ...], cells: tuple[int, ...], rng: np.random.Generator) -> Field:
    """Noise of unit variance with about ``cells`` bumps along each of the three axes."""
    noise = rng.standard_normal([c + 1 for c in cells]).astype(np.float32)
    for axis in (0, 1, 2):
        noise = np.moveaxis(np.tensordot(_between(shape[axis], cells[axis]), noise, (1, axis)), 0, axis)
    return np.ascontiguousarray(noise / (noise.std() + 1e-6), dtype=np.float32)


def _ellipse(u: Field, v: Field, a: float | Field, b: float | Field, power: float = 2.0) -> Field:
    p, q = np.abs(u / a), np.abs(v / b)
    if power == 2.0:
        return np.sqrt(p * p + q * q)
    return (p ** np.float32(power) + q ** np.float32(power)) ** np.float32(1 / power)


def _step(z: Field, low: float, high: float) -> Field:
    t = np.clip((z - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class _Person:
    """Sizes drawn once for a person."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.height = rng.uniform(190, 300)
        self.a = rng.uniform(145, 195)
        self.b = self.a * rng.uniform(0.66, 0.82)
        self.fat, self.wall = rng.uniform(3, 26), rng.uniform(11, 20)
        self.power = rng.uniform(2.1, 2.7)
        self.domes = rng.uniform(45, 100), rng.uniform(35, 85)
        self.heart = rng.uniform(0.85, 1.3)
        self.blood = rng.choice([45.0, rng.uniform(120, 380)])
        self.organ = rng.uniform(45, 120)
        self.narrow = rng.uniform(0.75, 1.15)


class _Painter:
    def __init__(self, grid: Grid, rng: np.random.Generator) -> None:
        self.grid, self.rng, self.p = grid, rng, _Person(rng)
        z, y, x = grid.axes()
        shape = (len(grid.z), grid.size, grid.size)
        self.z = z
        bend = rng.uniform(3, 7)
        self.x = x + bend * smooth_noise(shape, (4, 6, 6), rng)
        self.y = y + bend * smooth_noise(shape, (4, 6, 6), rng)
        self.raw_x, self.raw_y = x, y
        self.streak = smooth_noise(shape, (30, 60, 60), rng)
        self.hu = np.full(shape, AIR, np.float32)
        self.lungs = np.zeros(shape, np.uint8)

    def put(self, where: Mask, value: float | Field) -> None:
        np.copyto(self.hu, np.asarray(value, np.float32), where=where)

    def shell(self) -> None:
        """Skin, fat, muscle; neck and shoulders above, waist below."""
        p = self.p
        neck = 1 - 0.55 * _step(self.z, p.height + 15, p.height + 80)
        waist = 1 - 0.06 * (1 - _step(self.z, -60, 40))
        self.a, self.b = p.a * neck * waist, p.b * (1 - 0.3 * _step(self.z, p.height, p.height + 70)) * waist
        r = _ellipse(self.x, self.y, self.a, self.b, p.power)
        depth = (1 - r) * self.b
        self.put(depth > 0, FAT)
        meat = (depth > p.fat) & (self.streak < 1.3)
        self.put(meat, MUSCLE + 12 * self.streak)
        self.put((depth > 0) & (depth < 1.6), 10.0)
        self.inside = depth > 0
        self._breasts()
        self.depth = depth

    def _breasts(self) -> None:
        if self.rng.random() < 0.5:
            return
        size = self.rng.uniform(20, 55)
        for side in (-1, 1):
            d = _ellipse(self.x - side * self.p.a * 0.5, self.y + self.p.b * 0.85, 60.0, size)
            d = np.sqrt(d**2 + ((self.z - self.p.height * 0.45) / 70) ** 2)
            self.put((d < 1) & ~self.inside, np.where(self.streak > 0.9, 20.0, FAT))

    def cavity(self) -> None:
        """The space inside the ribs, narrowing to the apex."""
        p = self.p
        wall = p.fat + p.wall
        u = np.clip((self.z - 0.35 * p.height) / (0.65 * p.height), 0, 1)
        taper = np.clip(1 - u**2.6, 0.0, 1) ** np.float32(1 / 2.4)
        self.ca, self.cb = (p.a - wall) * taper + 1e-3, (p.b - wall) * (0.35 + 0.65 * taper) + 1e-3
        self.cy = self.y - 14 * u**2
        self.rc = _ellipse(self.x, self.cy, self.ca, self.cb, 2.3)
        self.rc = np.where(self.z > p.height, 9.0, self.rc)
        self.put((self.rc < 1) & (self.z > -150), np.where(self.streak > 0.2, MUSCLE, FAT))

    def diaphragm(self) -> Field:
        """Height of the dome under each point."""
        p, rng = self.p, self.rng
        top = np.zeros_like(self.x)
        for side, dome in ((-1, p.domes[0]), (1, p.domes[1])):
            xc, yc = side * p.a * 0.42, rng.uniform(-30, 0)
            hump = np.exp(-(((self.x - xc) / (p.a * 0.36)) ** 2) - ((self.y - yc) / (p.b * 0.62)) ** 2)
            top = np.maximum(top, dome * hump)
        return top + np.clip(-self.y, 0, None) * rng.uniform(0.1, 0.5)

    def abdomen(self, under: Mask) -> None:
        """Liver, spleen, stomach, kidneys, fat and bowel with gas that is not lung."""
        p, rng = self.p, self.rng
        inner = np.clip(self.rc, 0, 2)
        self.put(under & (inner < 0.99), np.where(self.streak > 0.0, 30.0, FAT))
        self.put(under & (self.x < rng.uniform(0, 45)) & (inner < 0.97), p.organ + 4 * self.streak)
        spleen = _ellipse(self.x - p.a * 0.52, self.y - p.b * 0.28, 30.0, 45.0)
        self.put(under & (spleen < 1) & (inner < 0.97), p.organ)
        self._stomach(under & (inner < 0.97))
        self._bowel(under & (inner < 0.95) & (self.z < rng.uniform(-20, 30)))
        for side in (-1, 1):
            kidney = _ellipse(self.x - side * 55, self.y - p.b * 0.3, 24.0, 28.0)
            self.put(under & (kidney < 1) & (self.z < rng.uniform(-60, -10)), p.organ + 20)

    def _stomach(self, under: Mask) -> None:
        rng, p = self.rng, self.p
        centre = p.a * rng.uniform(0.3, 0.5), -p.b * rng.uniform(0.05, 0.4), rng.uniform(-10, 50)
        d = _ellipse(self.x - centre[0], self.y - centre[1], rng.uniform(25, 50), rng.uniform(25, 45))
        d = np.sqrt(d**2 + ((self.z - centre[2]) / rng.uniform(25, 60)) ** 2)
        self.put(under & (d < 1), 40.0)
        level = centre[1] + rng.uniform(-25, 20)
        self.put(under & (d < 0.93) & (self.raw_y < level), -980.0)
        self.put(under & (d < 0.93) & (self.raw_y >= level), np.where(self.streak > 1, -150.0, 25.0))

    def _bowel(self, under: Mask) -> None:
        rng, p = self.rng, self.p
        for _ in range(rng.integers(3, 12)):
            x, y, z = rng.uniform(-0.7, 0.7) * p.a, rng.uniform(-0.6, 0.2) * p.b, rng.uniform(-110, 25)
            r = rng.uniform(10, 28)
            d = np.sqrt(_ellipse(self.x - x, self.y - y, r, r * rng.uniform(0.6, 1.2)) ** 2 + ((self.z - z) / (r * 1.5)) ** 2)
            self.put(under & (d < 1), 35.0)
            gas = (d < 0.85) & (self.raw_y < y + rng.uniform(-10, 15))
            self.put(under & gas, np.where(self.streak > rng.uniform(0.5, 2), -500.0, -990.0))

    def mediastinum(self) -> Field:
        """How far a point lies outside heart, vessels and spine (mm, negative inside)."""
        p, h = self.p, self.p.height
        spine_y = p.b - p.fat - p.wall - self.rng.uniform(14, 26)
        self.spine_y = spine_y
        wide = p.narrow * (24 + 12 * np.exp(-(((self.z - 0.55 * h) / (0.2 * h)) ** 2)))
        front = np.clip((-self.y) / self.cb, 0, 1)
        middle = np.abs(self.x) - wide * (1 - 0.75 * front**2) + 0 * self.z
        k = p.heart
        ex, ey = self.x - 20 * k, self.y + 26
        ex, ey = ex * 0.85 + ey * 0.53, ey * 0.85 - ex * 0.53
        heart = np.sqrt((ex / (52 * k)) ** 2 + (ey / (62 * k)) ** 2 + ((self.z - 0.3 * h) / (58 * k)) ** 2)
        spine = (_ellipse(self.x, self.y - spine_y, 24.0, 24.0) - 1) * 24
        aorta = (_ellipse(self.x - 24, self.y - spine_y + 24, 14.0, 14.0) - 1) * 14
        aorta = np.where(self.z < 0.75 * h, aorta, 50.0)
        self.heart_r = heart
        return np.minimum.reduce([middle, (heart - 1) * 50, spine, aorta])

    def lung(self, outside: Field, dome: Field) -> None:
        """Both lungs: inside the ribs, outside the mediastinum, above the diaphragm."""
        free = (self.rc < 0.985) & (outside > 1.5) & (self.z > dome) & (self.z < self.p.height)
        slope = self.rng.uniform(10, 60) / 200
        hu = self.rng.uniform(-895, -790) + slope * self.raw_y + 6 * smooth_noise(self.hu.shape, (10, 20, 20), self.rng)
        self.put(free, hu)
        self.lungs[free & (self.raw_x > 0)] = 1
        self.lungs[free & (self.raw_x <= 0)] = 2

    def vessels_of_the_middle(self) -> None:
        """Heart blood, aorta, arch, cava, oesophagus and trachea down to the main bronchi."""
        p, h, rng = self.p, self.p.height, self.rng
        inside = self.lungs == 0
        blood = p.blood
        self.put((self.heart_r < 0.9) & inside & (self.rc < 1.1), blood * 0.9 + 5)
        for x, y, r, low, high in (
            (24, self.spine_y - 24, 12, -200, 0.72 * h),
            (14, -28, 15, 0.45 * h, 0.72 * h),
            (-22, -18, 9, 0.4 * h, h),
        ):
            self.put((_ellipse(self.x - x, self.y - y, r, r) < 1) & (self.z > low) & (self.z < high) & inside, blood)
        arch = (_ellipse(self.x - 18, self.y - (self.spine_y - 52) / 2, 11.0, self.spine_y / 2 + 5) < 1) & (
            np.abs(self.z - 0.72 * h) < 9
        )
        self.put(arch & inside, blood)
        carina = 0.58 * h
        ty = self.spine_y - 42 - rng.uniform(0, 8)
        tube = _ellipse(self.raw_x, self.raw_y - ty, 9.5, 8.5)
        self.put((tube < 1.25) & (self.z > carina), 35.0)
        self.put((tube < 1) & (self.z > carina), -985.0)
        gullet = _ellipse(self.x - 6, self.y - self.spine_y + 26, 7.0, 5.0)
        self.put((gullet < 1) & inside, 35.0)
        if rng.random() < 0.4:
            self.put((gullet < 0.5) & inside & (np.sin(self.z / 17 + rng.uniform(0, 6)) > 0.3), -800.0)
        self.carina = (0.0, ty, carina)

    def bones(self) -> None:
        """Spine, ribs, sternum, shoulder blades and collar bones."""
        rng, p = self.rng, self.p
        disc = np.cos(2 * np.pi * self.z / rng.uniform(24, 30)) > 0.85
        body = _ellipse(self.x, self.y - self.spine_y, 17.0, 14.0)
        self.put(body < 1, np.where(disc, 70.0, rng.uniform(130, 220)))
        self.put((body > 0.9) & (body < 1.03), 420.0)
        arch = _ellipse(self.x, self.y - self.spine_y - 24, 17.0, 13.0)
        self.put((arch < 1) & (arch > 0.6), 350.0)
        self.put(arch < 0.6, 25.0)
        self.put((np.abs(self.x) < 4) & (self.y > self.spine_y + 30) & (self.depth > p.fat), 330.0)
        angle = np.arctan2(self.cy / self.cb, self.x / self.ca)
        phase = self.z + rng.uniform(30, 60) * np.sin(angle) + rng.uniform(0, 30)
        rib = (np.mod(phase, 27) < 10) & (self.rc > 1.01) & (self.rc < 1.01 + 9 / np.maximum(self.ca, 9)) & (self.z > -60)
        self.put(rib & (self.z < p.height) & (self.depth > p.fat * 0.7), np.where(self.streak > 0.3, 180.0, 420.0))
        sternum = (
            (_ellipse(self.x, self.cy + self.cb + 8, 17.0, 6.0) < 1) & (self.z > 0.25 * p.height) & (self.z < 0.85 * p.height)
        )
        self.put(sternum & (self.depth > 2), 230.0)
        self._shoulders()

    def _shoulders(self) -> None:
        rng, p = self.rng, self.p
        for side in (-1, 1):
            tilt = self.y - p.b * 0.62 - 0.35 * (np.abs(self.x) - p.a * 0.6)
            blade = (np.abs(tilt) < 4) & (side * self.x > p.a * 0.4) & (side * self.x < p.a * 0.85) & (self.z > 0.5 * p.height)
            self.put(blade & (self.depth > p.fat * 0.6), 350.0)
            self._arm(side * rng.uniform(0.98, 1.25) * p.a, rng.uniform(-20, 40), rng)

    def _arm(self, x: float, y: float, rng: np.random.Generator) -> None:
        p = self.p
        up = rng.random() < 0.75
        here = self.z > p.height - rng.uniform(10, 60) if up else self.z > -400
        limb = _ellipse(self.x - x * (0.9 if up else 1.12), self.y - y, 44.0, 46.0)
        out = here & ((self.hu < -900) | (limb < 0.6)) & (self.lungs == 0) & (self.rc > 1.15)
        self.put(out & (limb < 1), FAT)
        self.put(out & (limb < 0.8), MUSCLE)
        self.put(out & (limb < 0.32), 500.0)
        self.put(out & (limb < 0.18), 50.0)


def paint(grid: Grid, rng: np.random.Generator) -> Volume:
    """A person without vessels, lesions, noise or blur."""
    a = _Painter(grid, rng)
    a.shell()
    a.cavity()
    dome = a.diaphragm()
    a.abdomen((a.rc < 1) & (a.z <= dome))
    outside = a.mediastinum()
    a.lung(outside, dome)
    a.vessels_of_the_middle()
    a.bones()
    a.lungs[a.hu > -600] = 0
    hilum = a.p.height * 0.5
    hila = ((34.0, 2.0, hilum), (-34.0, 2.0, hilum))
    return Volume(a.hu, a.lungs, grid, a.p.height, hila, np.zeros_like(a.lungs))
