"""Makes the model from nothing: ``python -m training.thyroid_us_nodule [STEP|all]``."""

import argparse
import os

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # the thread pools of NumPy, PyTorch and OpenVINO wait for each other on small machines
os.environ.setdefault("OMP_NUM_THREADS", "1")

from training.thyroid_us_nodule import pool
from training.thyroid_us_nodule.where import OUT

OUTLINE, FEATURES = OUT / "outline.pt", OUT / "features.pt"
STEPS = ("prepare", "outline", "features", "export", "evaluate", "failures", "card")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.thyroid_us_nodule", description=__doc__)
    parser.add_argument("step", nargs="?", default="all", choices=(*STEPS, "all"))
    parser.add_argument("--minutes", type=float, default=600.0, help="longest training time of each network")
    parser.add_argument("--steps", type=int, default=2600, help="training batches of each network")
    parser.add_argument("--begin", type=float, default=0.0, help="part of the outline training that an earlier run has done")
    return parser.parse_args()


def _prepare(_: argparse.Namespace) -> None:
    pool.prepare(OUT / "pool")


def _outline(options: argparse.Namespace) -> None:
    from training.thyroid_us_nodule import learn

    learn.train(OUT / "pool", OUTLINE, options.steps, options.minutes, begin=options.begin)


def _features(options: argparse.Namespace) -> None:
    from training.thyroid_us_nodule import learn_features

    learn_features.train(OUT / "pool", FEATURES, options.steps, options.minutes)


def _export(_: argparse.Namespace) -> None:
    from training.thyroid_us_nodule import export

    export.assemble(OUTLINE, FEATURES)


def _evaluate(_: argparse.Namespace) -> None:
    from training.thyroid_us_nodule import evaluate

    evaluate.write(evaluate.measure())


def _failures(_: argparse.Namespace) -> None:
    from training.thyroid_us_nodule import failures

    failures.draw()


def _card(_: argparse.Namespace) -> None:
    from inference import package
    from training.thyroid_us_nodule import card

    card.write()
    package.seal(card.PACKAGE)


def main() -> None:
    """Runs one step or all of them in order."""
    options = _arguments()
    does = {
        "prepare": _prepare,
        "outline": _outline,
        "features": _features,
        "export": _export,
        "evaluate": _evaluate,
        "failures": _failures,
        "card": _card,
    }
    for step in STEPS if options.step == "all" else (options.step,):
        print(step, flush=True)
        does[step](options)


if __name__ == "__main__":
    main()
