"""The card's picture of failures, from made-up fields: real ones may not be shown here."""

from pathlib import Path

from training.microscopy import decode
from training.microscopy.failures import Failure, of_field, sheet, spread
from training.tb_smear_afb import evaluate, synthetic
from training.tb_smear_afb.where import PACKAGE

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "tb-smear-afb-failures.jpg"
NAMES = ("bacilli", "bacilli")  # a long bacillus or a cluster of two: people do not agree either
SIDE = 96


def draw() -> None:
    """Looks at the made-up fields of evaluate.MADE_SEEDS and writes PICTURE."""
    network = decode.compiled(PACKAGE, "network", "int8")
    least, iou, _ = evaluate.rules()
    failures: list[Failure] = []
    for seed in evaluate.MADE_SEEDS:
        made = synthetic.field(seed, 8, 5)
        found = decode.objects(network, made.pixels, least, iou)
        failures += of_field(made.pixels, found, made.boxes, evaluate.SLACK, NAMES)
    sheet(spread(failures), SIDE, PICTURE)
