"""From tissue to echoes: speckle of random scatterers, focus, attenuation, shadows, gain errors, noise.

Scatterers are complex Gaussian noise weighted by the tissue's amplitude and filtered by the pulse (Wagner 1983, IEEE Trans Sonics
Ultrasonics 30:156): the envelope is Rayleigh where nothing else shines. Two pulses, narrow and wide, are blended about the focus.
"""

import numpy as np
from scipy import fft, ndimage

from training.thyroid_us_nodule import machine
from training.thyroid_us_nodule.field import Map, noise
from training.thyroid_us_nodule.tissue import Tissue


def _pulse(shape: tuple[int, int], deep: float, wide: float) -> Map:
    """Transfer function of a Gaussian pulse, deviations in samples, of unit noise power."""
    fy, fx = fft.fftfreq(shape[0])[:, None], fft.fftfreq(shape[1])[None, :]
    h = np.exp(-2 * np.pi**2 * ((fy * deep) ** 2 + (fx * wide) ** 2))
    return (h / np.sqrt((h**2).mean())).astype(np.float32)


def _power(amplitude: Map, rng: np.random.Generator) -> Map:
    """Echo power of one to four looks (compounding), sharp at the focus."""
    shape = amplitude.shape
    deep = 0.4 + 1.2 * rng.beta(1.2, 2.2)  # mostly fine, as machines are today; wider than deep
    wide = deep * rng.uniform(0.8, 2.0)
    narrow, broad = _pulse(shape, deep, wide), _pulse(shape, deep * rng.uniform(1, 1.3), wide * rng.uniform(1.3, 2.8))
    rows = np.arange(shape[0], dtype=np.float32)[:, None] / shape[0]
    far = np.clip(np.abs(rows - rng.uniform(0.2, 0.8)) * rng.uniform(0.8, 2.5), 0, 1).astype(np.float32)
    looks = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.25, 0.25, 0.25]))
    total = np.zeros(shape, np.float32)
    for _ in range(looks):
        scatter = np.empty(shape, np.complex64)
        scatter.real, scatter.imag = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
        spectrum = fft.fft2(amplitude * scatter)
        near, beyond = fft.ifft2(spectrum * narrow), fft.ifft2(spectrum * broad)
        total += np.abs(near * (1 - far) + beyond * far) ** 2
    return total / (2 * looks)


def _gain(shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """What the time gain compensation leaves wrong, dB: slopes, bands, dark sides."""
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    wrong = rng.normal(0, 3.5) * rows + rng.normal(0, 3) * rows**2
    if rng.random() < 0.3:
        wrong = wrong + rng.uniform(-7, 7) * np.exp(-(((rows - rng.uniform(-1, 1)) / rng.uniform(0.1, 0.4)) ** 2))
    if rng.random() < 0.25:
        edge = np.clip((columns * (1 if rng.random() < 0.5 else -1) - rng.uniform(0.2, 0.9)) * 4, 0, 1)
        wrong = wrong - rng.uniform(6, 30) * edge
    if rng.random() < 0.3:
        wrong = wrong - rng.uniform(5, 25) * np.clip((rows - rng.uniform(0.2, 0.8)) * 2, 0, 1)
    if rng.random() < 0.2:
        wrong = wrong + rng.uniform(3, 12) * np.exp(-(rows + 1) / rng.uniform(0.05, 0.3))  # haze under the skin
    stripes = rng.normal(0, rng.uniform(0, 1.2), shape[1]).astype(np.float32)
    return wrong + ndimage.gaussian_filter1d(stripes, 2)[None, :]


def _tails(tissue: Tissue) -> Map:
    """Reverberation below comet-tail foci."""
    echo = tissue.echo
    for row, column, length, gain in tissue.ghosts:
        end = min(len(echo), row + max(3, length))
        fade = 1 - (np.arange(row, end) - row) / max(3, length)
        ripple = 0.6 + 0.4 * np.cos((np.arange(row, end) - row) * 1.9)
        left, right = max(0, column - 1), column + 2
        echo[row:end, left:right] = np.maximum(echo[row:end, left:right], (gain * fade * ripple - 6 * (1 - fade))[:, None])
    return echo


def _clusters(shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """Uneven density of scatterers: K-distributed speckle (Jakeman 1976, IEEE Trans Antennas Propag 24:806)."""
    even = rng.uniform(0.6, 4)
    return np.sqrt(rng.gamma(even, 1 / even, shape)).astype(np.float32)


def _repeated(power: Map, rng: np.random.Generator) -> Map:
    """Reverberation: the layers above once more, weaker, smeared and deeper; best seen in cysts and vessels."""
    again = ndimage.uniform_filter1d(power, int(rng.integers(1, 9)), axis=1)
    deeper = max(2, int(len(power) * rng.uniform(0.05, 0.25)))
    out = power.copy()
    for k in (1, 2):
        if k * deeper < len(power):
            out[k * deeper :] += again[: -k * deeper] * np.float32(10 ** (-rng.uniform(16, 34) * k / 10))
    return out


def insonify(tissue: Tissue, rng: np.random.Generator) -> Map:
    """Grey levels 0..1 of ``tissue``, probe on top."""
    shape = tissue.grid.shape
    loss = np.cumsum(ndimage.gaussian_filter1d(tissue.loss, rng.uniform(0.8, 4), axis=1) * 3, 0)
    loss = np.clip(loss, -10, 45)
    amplitude = (10 ** (_tails(tissue) / 20)).astype(np.float32)
    if rng.random() < 0.35:
        amplitude *= _clusters(shape, rng)
    power = _power(amplitude, rng)
    if rng.random() < 0.4:
        power = _repeated(power, rng)
    db = 10 * np.log10(power + 1e-6) - loss + _gain(shape, rng)
    floor = rng.uniform(-55, -28) + rng.uniform(0, 14) * np.linspace(0, 1, shape[0])[:, None] ** 2
    db = 10 * np.log10(10 ** (db / 10) + 10 ** (floor / 10) * rng.exponential(1, shape) + 1e-9)
    if rng.random() < 0.15:
        db = db + rng.uniform(0.5, 2.5) * noise(shape, 1.5, rng)
    return machine.shown(db.astype(np.float32), rng)
