"""Makes the study that `ancilla demo` sends: ``python -m training.sample_study [FILE]``."""

import sys
from pathlib import Path

from training.sample_study import make

TARGET = Path(__file__).resolve().parents[2] / "node" / "sample" / "chest-ct-opacity.zip"

if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    make.write(make.study(), target)
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB")
