"""What the INT8 network is fitted on besides the golden cases: 8-bit slices, CT slices with opacities, phantoms.

Images of the training part only.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.chest_ct_opacity import pool, real

PATTERNS = {"semiseg-*-1-0.npz": 1, "semiseg-*-2-small0.npz": 2, "nysbu-*.npz": 4, "phantom-*.npz": 3}  # every so many of them
SLICES, MARGIN = 5, 5  # of a phantom; slices left out at either end


def inputs(folder: Path) -> Iterator[npt.NDArray[np.float32]]:
    """Inputs of the network, float32 (1, 3, rows, columns) in HU, from the stacks in ``folder``; the same ones each time."""
    rng = np.random.default_rng(0)
    for pattern, every in PATTERNS.items():
        for path in sorted(folder.glob(pattern))[::every]:
            if not real.for_choices(path.stem):
                hu = pool.load(path).hu
                middles = [1] if len(hu) == 3 else rng.integers(MARGIN, len(hu) - MARGIN, SLICES).tolist()
                for k in middles:
                    yield hu[None, k - 1 : k + 2].astype(np.float32)
