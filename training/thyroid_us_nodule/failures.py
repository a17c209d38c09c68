"""The card's picture of failures, from the test phantoms."""

from pathlib import Path

from training import contours
from training.thyroid_us_nodule import evaluate, phantom, pool

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "thyroid-us-nodule-failures.jpg"
WORST, STEP, EMPTY = 18, 3, 2


def draw() -> None:
    """Writes PICTURE: every third of the pictures with the lowest Dice, and two without a nodule where one was outlined."""
    seeds = range(pool.TEST_SEED, pool.TEST_SEED + pool.TEST_COUNT)
    seen = evaluate.cases(evaluate.compiled("network-int8.xml"), [phantom.make(seed) for seed in seeds])
    rated = sorted((c for c in seen if (c.labels > 0).sum() >= evaluate.LEAST_AREA), key=evaluate.picture_dice)
    invented = [c for c in seen if not c.labels.any() and c.found.any()]
    shown = [*rated[:WORST:STEP], *invented[:EMPTY]]
    contours.sheet([(case.gray, case.labels > 0, case.found) for case in shown], PICTURE)
