"""What a machine makes of the echoes for the eye: filters against speckle, log compression, grey maps, enhancement."""

import numpy as np
from scipy import ndimage

from training.thyroid_us_nodule.field import Map


def _calmed(db: Map, rng: np.random.Generator) -> Map:
    """Even parts smoothed, borders kept (Lee 1980, IEEE PAMI 2:165), then sharpened a little."""
    size = int(rng.choice([3, 5, 7]))
    mean = ndimage.uniform_filter(db, size)
    spread = ndimage.uniform_filter(db * db, size) - mean * mean
    keep = np.clip((spread - 12) / (spread + rng.uniform(10, 60)), 0, 1)
    calm = mean + keep * (db - mean)
    calm = calm + rng.uniform(0, 0.6) * (db - calm)
    sharp = ndimage.gaussian_filter(calm, 1.2)
    return np.asarray(calm + rng.uniform(0, 0.9) * (calm - sharp), np.float32)


def _smoothed(db: Map, rng: np.random.Generator) -> Map:
    """The look of machines from plain to heavily filtered."""
    kind = rng.random()
    if kind < 0.28:
        return db
    if kind < 0.42:
        return ndimage.gaussian_filter(db, rng.uniform(0.4, 1.3))
    if kind < 0.52:
        return np.asarray(ndimage.median_filter(db, int(rng.choice([3, 5]))), np.float32)
    if kind < 0.62:  # along the layers
        return ndimage.gaussian_filter(db, (rng.uniform(0.2, 0.8), rng.uniform(0.8, 3.0)))
    once = _calmed(db, rng)
    return _calmed(once, rng) if kind > 0.88 else once


def _spread(db: Map, rng: np.random.Generator) -> Map:
    """Beams that widen with depth, as old and cheap probes have them."""
    rows = np.linspace(0, 1, len(db), dtype=np.float32)[:, None]
    wide = ndimage.gaussian_filter1d(db, rng.uniform(1.5, 5), axis=1)
    return np.asarray(db + np.clip((rows - rng.uniform(0, 0.5)) * 2, 0, 1) * (wide - db), np.float32)


def _curve(grey: Map, rng: np.random.Generator) -> Map:
    """A grey map of the machine: gamma and an S-shaped part."""
    bent = grey ** np.float32(np.exp(rng.normal(0, 0.22)))
    if rng.random() < 0.4:
        bent = bent + rng.uniform(-0.3, 0.5) * bent * (1 - bent) * (2 * bent - 1) * 2
    return np.clip(bent * rng.uniform(0.8, 1.0), 0, 1)


def _levelled(grey: Map, rng: np.random.Generator) -> Map:
    """Brightness and contrast evened out over the picture, as adaptive gain and post-processing do."""
    reach = len(grey) * rng.uniform(0.08, 0.25)
    mean = ndimage.gaussian_filter(grey, reach)
    spread = np.sqrt(np.maximum(ndimage.gaussian_filter(grey * grey, reach) - mean * mean, 0)) + 0.05
    even = 0.4 + 0.2 * (grey - mean) / spread
    share = rng.uniform(0.2, 0.8)
    return np.clip(grey + share * (even - grey) * np.clip(grey * 8, 0, 1), 0, 1)


def shown(db: Map, rng: np.random.Generator) -> Map:
    """Grey levels 0..1 of echoes ``db``."""
    if rng.random() < 0.2:
        db = _spread(db, rng)
    db = _smoothed(db, rng)
    span = rng.uniform(38, 75) if rng.random() < 0.8 else rng.uniform(30, 95)
    grey = _curve(np.clip((db + rng.uniform(0.42, 0.72) * span) / span, 0, 1), rng)
    return np.asarray(_levelled(grey, rng) if rng.random() < 0.15 else grey, np.float32)
