"""Where things lie, and the scale everything is seen at."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "models" / "tb-smear-afb"
OUT = Path(__file__).resolve().parents[1] / "out" / "tb_smear_afb"
CHECKPOINT = OUT / "network.pt"
WIDTH, HEIGHT = 1280, 960  # a whole field as the network sees it: about 0.1 micrometres a pixel under a 100x objective
CLASSES = ("bacillus", "cluster")
