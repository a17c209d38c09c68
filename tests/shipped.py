"""The answer of each model that ships to its sample study, made as the node makes it: analysis, DICOM objects, overlay."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset

from domain.jobs import Answer, Order
from inference.package import load
from inference.source import open_source
from node.demo import SAMPLES
from node.files import find, unzip, view
from node.work import respond

MODELS: Final = Path(__file__).resolve().parents[1] / "models"
IDS: Final = ("chest-ct-opacity", "thyroid-us-nodule", "tb-smear-afb", "cervical-lbc")
OUTPUTS: Final = ("sr", "seg", "gsps", "sc", "pdf", "ann", "kos", "sr-comprehensive", "sr-enhanced")


@dataclass(frozen=True)
class Shipped:
    """``images`` of the sample and ``files`` of the answer by role, all on disk."""

    study_uid: str
    images: tuple[Path, ...]
    answer: Answer
    files: dict[str, Path]

    def dataset(self, role: str) -> Dataset:
        return pydicom.dcmread(self.files[role])


def answered(model: str, folder: Path, outputs: tuple[str, ...] = OUTPUTS) -> Shipped:
    """The model ``model`` on its sample; ``folder`` is empty."""
    images, out = folder / "images", folder / "results"
    images.mkdir(parents=True)
    unzip(SAMPLES / f"{model}.zip", images)
    ((study_uid, stored),) = find([images]).by_study().items()
    package = load(MODELS / model)
    order = Order(
        job_id=0, token=0, study_uid=study_uid, revision=1, package=str(MODELS / model), package_digest=package.digest,
        input_digest=hashlib.sha256("".join(sorted(file.digest for file in stored)).encode()).hexdigest(), instances=(),
        spool_dir="", out_dir=str(out), data_dir=str(out), started_at=datetime(2026, 3, 4, 9, 30, 15, tzinfo=UTC),
        institution="General Hospital", device_uid="2.25.1234567890", outputs=outputs,
    )  # fmt: skip
    answer = respond(order, lambda: [open_source(view(file.path)) for file in stored])
    files = {artifact.role: out / Path(artifact.path).name for artifact in answer.artifacts if artifact.sop_class_uid}
    return Shipped(study_uid, tuple(file.path for file in stored), answer, files)
