"""Where the package and the work files lie."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "models" / "thyroid-us-nodule"
OUT = Path(__file__).resolve().parents[1] / "out" / "thyroid_us_nodule"
