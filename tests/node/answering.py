"""One order carried out as a worker does it, without node and network: what it answers, and the files it wrote by role."""

from pathlib import Path

from domain.jobs import Answer, Order
from inference.package import load
from inference.source import open_source
from node import work
from tests.node.test_work import AT


def answer(package: Path, study: list[bytes], folder: Path, outputs: tuple[str, ...]) -> tuple[Answer, dict[str, Path]]:
    """``study``: its files. What is written goes below ``folder``."""
    sources = [open_source(data) for data in study]
    order = Order(
        job_id=1,
        token=1,
        study_uid=str(sources[0].header.StudyInstanceUID),
        revision=1,
        package=str(package),
        package_digest=load(package).digest,
        input_digest="ab" * 32,
        instances=(),
        spool_dir="",
        out_dir=str(folder / "results"),
        data_dir=str(folder),
        started_at=AT,
        institution="Test",
        device_uid="2.25.1",
        outputs=outputs,
        threads=1,
    )
    given = work.respond(order, lambda: sources)
    return given, {artifact.role: folder / artifact.path for artifact in given.artifacts}
