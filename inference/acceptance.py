"""Whether a package answers on this CPU as it did where it was made, in which precisions, and how fast: tried once, remembered.

A package that fails in FP32 is refused. Otherwise the fastest precision within the package's own tolerances is chosen.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import openvino as ov

from domain.acceptance import Acceptance, Trial
from domain.errors import AncillaError, PackageError
from inference import golden, tuning
from inference.analyse import analyser_of
from inference.package import AnyPackage
from inference.running import PRECISIONS, Compiled, Way, native_precisions

FOLDER: Final = "accepted"  # below data_dir
_FORM: Final = "1"  # raised when trials are made or judged in another way
_MOST_BYTES: Final = 100_000


def accept(package: AnyPackage, precision: str = "auto", threads: int = 0, cache_dir: Path | None = None) -> Acceptance:
    """Tries FP32 and what ``precision`` may come to; raises PackageError when the package cannot be tried at all."""
    settled = Way(threads=threads).settled()
    tried = [_trial(package, one, settled.threads, cache_dir) for one in _wanted(precision)]
    paces = tuning.race({trial.precision: network for trial, network in tried if network is not None and trial.agrees})
    trials = [replace(trial, per_second=round(paces.get(trial.precision, 0.0), 2)) for trial, _ in tried]
    good = [trial for trial in trials if trial.agrees]
    if not any(trial.precision == "fp32" for trial in good):
        return Acceptance(package.id, package.digest, machine(), settled.threads, "", tuple(trials))
    fastest = max(good, key=lambda trial: trial.per_second)
    quick = fastest.per_second > tuning.QUICK
    tuned = fastest if quick else _tuned(package, fastest, settled.threads, cache_dir)
    return Acceptance(
        package.id,
        package.digest,
        machine(),
        settled.threads,
        tuned.precision,
        tuple(tuned if trial is fastest else trial for trial in trials),
    )


def machine(core: Any = None) -> str:
    """The CPU in words: results of a trial count for no other."""
    name = (core or ov.Core()).get_property("CPU", "FULL_DEVICE_NAME")
    return f"{name}, {len(os.sched_getaffinity(0))} cores, OpenVINO {ov.__version__}"


def remembered(data_dir: Path, digest: str, threads: int, precision: str = "auto") -> Acceptance | None:
    """What was tried before with this package on this machine, when that covers the setting; None for none or a broken note."""
    file = _file(data_dir, digest, threads)
    try:
        if file.stat().st_size > _MOST_BYTES:
            return None
        about = json.loads(file.read_text(encoding="utf-8"))
        trials = tuple(Trial(**trial) for trial in about.pop("trials"))
        found = Acceptance(**about, trials=trials)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if found.digest == digest and found.machine == machine() and found.covers(precision) else None


def remember(data_dir: Path, acceptance: Acceptance) -> None:
    """Written whole or not at all."""
    file = _file(data_dir, acceptance.digest, acceptance.threads)
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    part = file.with_name(f"{uuid4().hex}.part")
    part.write_text(json.dumps(asdict(acceptance), indent=1), encoding="utf-8")
    part.replace(file)


def _file(data_dir: Path, digest: str, threads: int) -> Path:
    settled = Way(threads=threads).settled().threads
    mark = hashlib.sha256("\n".join((digest, machine(), str(settled), _FORM)).encode()).hexdigest()[:32]
    return data_dir / FOLDER / f"{mark}.json"


def _wanted(precision: str) -> Sequence[str]:
    if precision not in PRECISIONS:
        raise PackageError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if precision != "auto":
        return tuple(dict.fromkeys(("fp32", precision)))
    return native_precisions()


def _trial(package: AnyPackage, precision: str, threads: int, cache_dir: Path | None) -> tuple[Trial, Compiled | None]:
    if precision not in native_precisions():
        return Trial(precision, False, f"this CPU has no instructions for {precision}", 0.0), None
    try:
        analyser = analyser_of(package, precision, threads, cache_dir)
        wrong = [f"{case.case}: {case.words}" for case in golden.run(analyser) if not case.agrees]
    except AncillaError as error:
        return Trial(precision, False, str(error), 0.0), None
    way = analyser.network.way
    return Trial(precision, not wrong, "; ".join(wrong), 0.0, way.streams, way.batch), analyser.network


def _tuned(package: AnyPackage, trial: Trial, threads: int, cache_dir: Path | None) -> Trial:
    def make(way: Way) -> Compiled:
        return analyser_of(package, way.precision, way.threads, way.cache_dir, way.streams, way.batch).network

    best, pace = tuning.fastest(make, Way(trial.precision, threads, cache_dir=cache_dir))
    return replace(trial, per_second=round(pace, 2), streams=best.streams, batch=best.batch)
