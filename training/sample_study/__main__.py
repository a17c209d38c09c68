"""Makes the studies that `ancilla demo` sends: ``python -m training.sample_study [MODEL ...]``."""

import sys
from pathlib import Path

from training.sample_study import make, microscopy, thyroid

FOLDER = Path(__file__).resolve().parents[2] / "node" / "sample"
MAKERS = {
    "chest-ct-opacity": lambda target: make.write(make.study(), target),
    "thyroid-us-nodule": thyroid.write,
    "tb-smear-afb": lambda target: microscopy.write(microscopy.smear(), target),
    "cervical-lbc": lambda target: microscopy.write(microscopy.cytology(), target),
}

if __name__ == "__main__":
    for model in sys.argv[1:] or MAKERS:
        file = FOLDER / f"{model}.zip"
        file.parent.mkdir(parents=True, exist_ok=True)
        MAKERS[model](file)
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")
