"""Writing results: our Segmentations beside those of highdicom and dcmqi from the same masks, and reports of many findings.

Time is processor time (user and system) of the writing process: none of them uses more than one core, and it hardly depends on
what else the machine does. Memory is the largest resident set of the process, masks included.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from bench import masks
from bench.rows import Row, UnmeasurableError, alone, compare

FIGURES = Mapping[str, float]
TARGETS: Mapping[tuple[str, int], float | None] = {
    ("seg", 1): 4.0,
    ("seg", 5): 4.0,
    ("seg", 104): 8.0,
    ("labelmap", 104): 3.0,
}
NAMES = {"seg": "BINARY", "labelmap": "LABELMAP"}
MEMORY_TARGET = 3.0  # times less
FINDINGS = 10_000
REPORT_SECONDS = 5.0
GROWTH = 12.0  # for ten times as many findings


def measure(rounds: int, folder: Path) -> Iterator[Row]:
    """Rows for each number of segments, then for reports. Raises UnmeasurableError."""
    images = masks.images_as_files(folder / "ct")
    samples: dict[tuple[str, int], dict[str, list[FIGURES]]] = {key: {} for key in TARGETS}
    files = {count: masks.for_dcmqi(count, folder) for _, count in TARGETS}
    for turn in range(rounds):
        for (output, count), found in samples.items():
            writers = {
                "all": lambda o=output, c=count: _written("all", o, c, folder),
                "ours": lambda o=output, c=count: _written("ours", o, c, folder),
                "highdicom": lambda o=output, c=count: _written("highdicom", o, c, folder),
                "dcmqi": lambda o=output, c=count: _dcmqi(o, files[c], images, folder),
            }
            names = list(writers)
            for name in names[turn % 4 :] + names[: turn % 4]:
                found.setdefault(name, []).append(writers[name]())
    for (output, count), found in samples.items():
        yield from _rows(output, count, found)
    yield from _reports(rounds, folder)


def _rows(output: str, count: int, found: Mapping[str, list[FIGURES]]) -> Iterator[Row]:
    name = f"{NAMES[output]} Segmentation, 600x512x512, {count} segment{'s' if count > 1 else ''}"
    for peer, package in (("highdicom", "highdicom"), ("dcmqi itkimage2segimage", "dcmqi")):
        theirs = found[peer.split()[0]]
        target = TARGETS[output, count]
        times = [[each["cpu"] for each in figures] for figures in (found["ours"], theirs)]
        yield compare(name, "s", *times, peer, version(package), target, more_is_better=False)
        memory = [[each["MB"] for each in figures] for figures in (found["ours"], theirs)]
        limit = MEMORY_TARGET if (output, count) == ("seg", 104) else None
        yield compare(f"- memory, {count}, {NAMES[output]}", "MB", *memory, peer, version(package), limit, more_is_better=False)
    yield alone(
        f"- with headers reduced and rules checked, {count}, {NAMES[output]}", "s", [each["cpu"] for each in found["all"]]
    )


def _reports(rounds: int, folder: Path) -> Iterator[Row]:
    many = [_written("ours", "sr", FINDINGS, folder)["cpu"] for _ in range(rounds)]
    tenth = [_written("ours", "sr", FINDINGS // 10, folder)["cpu"] for _ in range(rounds)]
    yield alone(f"report of {FINDINGS:,} findings", "s", many, REPORT_SECONDS)
    yield alone(f"- times longer than one of {FINDINGS // 10:,}", "x", [a / b for a, b in zip(many, tenth, strict=True)], GROWTH)


def _written(who: str, output: str, count: int, folder: Path) -> FIGURES:
    """One write in a process of its own."""
    file = folder / "written.dcm"
    command = [sys.executable, "-m", "bench.writing", who, output, str(count), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    file.unlink(missing_ok=True)
    if done.returncode:
        raise UnmeasurableError(f"{who} wrote no {output} of {count}: {done.stderr.strip().splitlines()[-1:]}")
    figures: FIGURES = json.loads(done.stdout)
    return figures


def _dcmqi(output: str, files: tuple[Path, Path], images: Path, folder: Path) -> FIGURES:
    """dcmqi's program; its start, and its reading of the headers and the masks, are part of it."""
    tool, file = Path(sys.executable).parent / "itkimage2segimage", folder / "written.dcm"
    command = [
        str(tool), "--inputImageList", str(files[0]), "--inputMetadata", str(files[1]), "--inputDICOMDirectory", str(images),
        "--outputDICOM", str(file), "--skip", "1",
        "--segmentationType", "labelmap" if output == "labelmap" else "binary",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not file.exists():
        raise UnmeasurableError("dcmqi wrote no Segmentation")
    size = file.stat().st_size
    file.unlink()
    return {"cpu": used.ru_utime + used.ru_stime, "wall": 0.0, "MB": used.ru_maxrss / 1e3, "bytes": size}
