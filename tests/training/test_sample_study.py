"""The study of the demo: valid, small, of nobody, and found positive by the model that ships."""

import io
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from domain.jobs import Outcome
from inference import package
from inference.analyse import Analyser
from inference.source import open_source
from tests.peers import program
from training.chest_ct_opacity.where import PACKAGE
from training.sample_study import make

SAMPLE = Path(__file__).resolve().parents[2] / "node" / "sample" / "chest-ct-opacity.zip"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    with zipfile.ZipFile(SAMPLE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def images(files) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(io.BytesIO(content)) for content in files.values()]


def test_the_sample_is_small():
    assert SAMPLE.stat().st_size < 3_000_000


def test_the_sample_is_one_series_of_ct_images_of_nobody(images):
    assert len(images) == make.SLICES
    assert {str(ds.PatientName) for ds in images} == {"Synthetic^Thorax"}
    assert {ds.PatientID for ds in images} == {"SYNTHETIC-001"}
    assert len({ds.StudyInstanceUID for ds in images}) == len({ds.SeriesInstanceUID for ds in images}) == 1
    assert all("ynthetic" in ds.ImageComments and "ynthetic" in ds.StudyDescription for ds in images)


def test_uids_are_valid_and_different(images):
    uids = [ds.SOPInstanceUID for ds in images]
    assert len(set(uids)) == len(uids)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)
    assert uids[0] == make.uid("image", len(images) - 1)


def test_slices_are_equally_spaced_and_instance_one_is_the_highest(images):
    heights = [ds.ImagePositionPatient[2] for ds in sorted(images, key=lambda ds: ds.InstanceNumber)]
    assert np.allclose(np.diff(heights), -make.STEP_MM)


def test_images_are_compressed_without_loss_and_decode(images):
    ds = images[len(images) // 2]
    assert ds.file_meta.TransferSyntaxUID == pydicom.uid.JPEGLSLossless
    hu = ds.pixel_array.astype(int) + int(ds.RescaleIntercept)
    assert hu.shape == (make.SIZE, make.SIZE)
    assert hu.min() >= -1024
    assert (hu < -700).mean() > 0.2


def test_what_is_written_is_what_was_drawn_and_the_same_bytes_again(tmp_path: Path):
    drawn = make.study(1, 64, 6)
    make.write(drawn, tmp_path / "a.zip")
    make.write(make.study(1, 64, 6), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        highest = pydicom.dcmread(io.BytesIO(archive.read("chest-ct/IM0001.dcm")))
    assert np.array_equal(highest.pixel_array.astype(int) - 1024, drawn.hu[-1])


@pytest.mark.peer
def test_dciodvfy_finds_no_error_in_the_images(files, tmp_path: Path):
    for name in sorted(files)[::20]:
        path = tmp_path / Path(name).name
        path.write_bytes(files[name])
        told = subprocess.run([program("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in told.stderr + told.stdout


def test_the_shipped_model_finds_the_opacities_of_the_sample(files):
    analysis = Analyser(package.load(PACKAGE), "fp32").analyse([open_source(content) for content in files.values()])
    assert analysis.outcome is Outcome.POSITIVE
    assert {f.tracking_id.split("/")[1] for f in analysis.findings} >= {"left-lung", "right-lung", "ground-glass-opacity"}
    assert analysis.key_images
