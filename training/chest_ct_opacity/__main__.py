"""Makes the model from nothing: ``python -m training.chest_ct_opacity [STEP|all]``, or ``choose`` how much to favour opacity."""

import argparse
import os
from pathlib import Path

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # the thread pools of NumPy, PyTorch and OpenVINO wait for each other on small machines
os.environ.setdefault("OMP_NUM_THREADS", "1")

from training.chest_ct_opacity import card, pool

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CHECKPOINT = pool.OUT / "network.pt"
STEPS = ("prepare", "train", "export", "evaluate", "failures", "card")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.chest_ct_opacity", description=__doc__)
    parser.add_argument("step", nargs="?", default="all", choices=(*STEPS, "all", "choose"))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real images")
    parser.add_argument("--minutes", type=float, default=600.0, help="longest training time")
    parser.add_argument("--steps", type=int, default=3200, help="training batches")
    parser.add_argument(
        "--from-shipped", type=Path, metavar="XML", help="this network.xml is trained on, or exported, instead of a checkpoint"
    )
    return parser.parse_args()


def _prepare(options: argparse.Namespace) -> None:
    pool.reals(pool.OUT / "pool", options.data)
    pool.phantoms(pool.OUT / "pool")


def _train(options: argparse.Namespace) -> None:
    from training.chest_ct_opacity import learn

    learn.train(pool.OUT / "pool", CHECKPOINT, options.steps, options.minutes, shipped=options.from_shipped)


def _export(options: argparse.Namespace) -> None:
    from training.chest_ct_opacity import export

    export.assemble(options.from_shipped or CHECKPOINT)


def _choose(options: argparse.Namespace) -> None:
    from training.chest_ct_opacity import choose

    for kind, row in choose.table(options.data).items():
        print(kind, row)


def _evaluate(options: argparse.Namespace) -> None:
    from training.chest_ct_opacity import choose, evaluate, external, painted, stress

    figures = evaluate.measure(options.data, pool.OUT / "pictures")
    figures["real_normal_study"] = external.check(options.data, pool.OUT / "pictures")
    figures["painted"] = painted.check(options.data)
    figures["stress"] = stress.check(options.data)
    figures["choice"] = choose.table(options.data)
    figures["training"] = _facts(options.data)
    evaluate.write(figures)


def _failures(_: argparse.Namespace) -> None:
    from training.chest_ct_opacity import failures

    failures.draw()


def _facts(data: Path) -> dict[str, int | float | str]:
    import openvino as ov

    from training.chest_ct_opacity import evaluate, favour, real, resume

    shipped = card.PACKAGE / "network.xml"
    return {
        "history": resume.history(shipped),
        "favour": favour.of(ov.Core().read_model(shipped)),
        "resamples": evaluate.RESAMPLES,
        "held_out": real.TEST_SLICES,
        "choice_slices": len(real.CHOICE_SLICES),
        "annotated_slices": len(real.trained_numbers(data)),
        "ct_slices": len(real.trained_ct(data)),
        "phantoms": len(pool.PHANTOM_SEEDS) + len(pool.SEVERE_SEEDS),
    }


def _card(_: argparse.Namespace) -> None:
    from inference import package

    card.write()
    package.seal(card.PACKAGE)


def main() -> None:
    """Runs one step or all of them in order."""
    options = _arguments()
    does = {"prepare": _prepare, "train": _train, "export": _export, "evaluate": _evaluate}
    does |= {"failures": _failures, "card": _card, "choose": _choose}
    for step in STEPS if options.step == "all" else (options.step,):
        print(step, flush=True)
        does[step](options)


if __name__ == "__main__":
    main()
