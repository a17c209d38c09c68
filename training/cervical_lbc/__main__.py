"""Makes the model from nothing: ``python -m training.cervical_lbc [prepare|train|export|evaluate|failures|card|all]``."""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # thread pools wait for each other on small machines
os.environ.setdefault("OMP_NUM_THREADS", "1")

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
STEPS = ("prepare", "train", "export", "evaluate", "failures", "card")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.cervical_lbc", description=__doc__)
    parser.add_argument("step", nargs="?", default="all", choices=(*STEPS, "all"))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real images")
    parser.add_argument("--minutes", type=float, default=600.0, help="longest training time")
    parser.add_argument("--steps", type=int, default=1200, help="training batches")
    return parser.parse_args()


def _prepare(_: argparse.Namespace) -> None:
    from training.cervical_lbc import learn

    learn.prepare()


def _train(options: argparse.Namespace) -> None:
    from training.cervical_lbc import learn

    learn.train_classifier(options.data, options.steps, options.minutes)
    learn.train_detector(options.data, options.steps, options.minutes)


def _export(options: argparse.Namespace) -> None:
    from training.cervical_lbc import export

    export.assemble(options.data)


def _evaluate(options: argparse.Namespace) -> None:
    from training.cervical_lbc import evaluate

    evaluate.write(evaluate.measure(options.data))


def _failures(_: argparse.Namespace) -> None:
    from training.cervical_lbc import failures

    failures.draw()


def _card(_: argparse.Namespace) -> None:
    from inference import package
    from training.cervical_lbc import card
    from training.cervical_lbc.where import PACKAGE

    card.write()
    package.seal(PACKAGE)


def main() -> None:
    """Runs one step or all of them in order."""
    options = _arguments()
    does = {"prepare": _prepare, "train": _train, "export": _export, "evaluate": _evaluate}
    does |= {"failures": _failures, "card": _card}
    for step in STEPS if options.step == "all" else (options.step,):
        print(step, flush=True)
        does[step](options)


if __name__ == "__main__":
    main()
