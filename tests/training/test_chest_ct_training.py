"""Training may go on from what ships: weights read back, blended, favoured once; cut-outs hold the lungs."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch

from training.chest_ct_opacity import augment, blend, calibrate, favour, painted, pool, resume
from training.chest_ct_opacity.network import Network
from training.chest_ct_opacity.where import PACKAGE

SHIPPED = PACKAGE / "network.xml"


def _opacity(path: Path, hu: np.ndarray) -> np.ndarray:
    return np.array(ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"hu": hu})["opacity"])


@pytest.fixture(scope="module")
def hu() -> np.ndarray:
    with np.load(PACKAGE / "golden" / "phantom-positive.npz") as held:
        return np.kron(held["hu"][None, 12:15], np.ones((1, 1, 2, 2))).astype(np.float32)


def test_the_network_says_how_it_was_made_and_how_much_it_favours_opacity():
    assert "batches of" in resume.history(SHIPPED)
    assert favour.of(ov.Core().read_model(SHIPPED)) == pytest.approx(favour.FAVOUR)


def test_a_network_read_back_answers_as_the_shipped_one_without_the_favour(hu):
    made = resume.network(SHIPPED, torch.from_numpy(np.repeat(hu, 2, 0))).eval()
    with torch.no_grad():
        logits = made(torch.from_numpy(hu))[0, 3:].numpy()
    ours = np.where(logits[1:].max(0) + favour.FAVOUR > logits[0], 1, 0)
    theirs = _opacity(SHIPPED, hu)[0] > 0
    assert theirs.sum() > 50
    assert ((ours > 0) != theirs).mean() < 0.001
    assert ((logits.argmax(0) > 0).sum()) < ours.sum(), "the favour is taken out"


def test_a_blend_with_itself_is_itself_and_favours_nothing(tmp_path: Path, hu):
    blend.blend(SHIPPED, SHIPPED, tmp_path / "network.xml")
    model = ov.Core().read_model(tmp_path / "network.xml")
    assert favour.of(model) == pytest.approx(0)
    assert resume.history(tmp_path / "network.xml").startswith("the mean of (")
    favour.add(model)
    ov.save_model(model, tmp_path / "favoured.xml")
    assert (_opacity(tmp_path / "favoured.xml", hu) != _opacity(SHIPPED, hu)).mean() < 0.001


def test_a_cut_out_holds_the_lungs():
    torch.manual_seed(0)
    labels = torch.zeros(4, 2, 128, 128, dtype=torch.uint8)
    labels[:, 0, 70:100, 75:115] = 1
    hu = torch.full((4, 3, 128, 128), -1000.0)
    hu[:, :, 70:100, 75:115] = -800
    moved, found = augment.move(hu, labels, 64)
    assert moved.shape == (4, 3, 64, 64)
    assert ((found[:, 0] > 0).sum((1, 2)) > 500).all()
    assert moved[:, 1][found[:, 0] > 0].mean() == pytest.approx(-800, abs=20)


def test_pictures_regreyed_keep_their_order_and_air_and_tissue_apart():
    torch.manual_seed(0)
    ramp = torch.linspace(-1000, 100, 64).expand(32, 3, 64, 64)
    made = augment.regrey(ramp)
    changed = (made != ramp).flatten(1).any(1)
    assert 0 < changed.sum() < 32
    assert (made.diff(dim=-1) >= 0).all()
    assert (made[..., -1] - made[..., 0] > 700).all()


def test_calibration_leaves_out_what_choices_are_made_with(tmp_path: Path):
    for number, value in ((3, -100), (4, -200)):
        hu = np.full((3, 8, 8), value, np.int16)
        pool.Stack(hu, np.ones(hu.shape, np.uint8), np.zeros(hu.shape, np.uint8)).save(tmp_path / f"semiseg-{number}-1-0.npz")
    assert [float(i.mean()) for i in calibrate.inputs(tmp_path)] == [-200]


def test_training_keeps_settled_batch_norms_and_notes_what_it_did(tmp_path: Path):
    from training.chest_ct_opacity import learn

    torch.manual_seed(0)
    first = Network()
    torch.save({"network": first.state_dict(), "history": "10 batches of 16"}, tmp_path / "network.pt")
    learner = learn._Learner(tmp_path / "network.pt", Network(), settled=True)
    learner.step(torch.full((2, 3, 64, 64), -500.0), torch.ones(2, 2, 64, 64, dtype=torch.long), 1e-3)
    learner.save(tmp_path / "network.pt", 1, 2)
    held = torch.load(tmp_path / "network.pt", weights_only=True)
    assert held["history"] == "10 batches of 16, then 1 batches of 2"
    assert torch.equal(held["network"]["stem.1.running_mean"], first.state_dict()["stem.1.running_mean"])
    assert not torch.equal(held["network"]["stem.0.weight"], first.state_dict()["stem.0.weight"])


def test_a_slice_beside_an_opacity_is_likelier_affected_than_one_far_away():
    share = np.zeros(21)
    share[10] = 0.3
    found = painted.likely(share, 5.0)
    assert found[10] > found[9] > found[8] > found[0] == 0
    assert found[11] == pytest.approx(found[9])
    assert found.sum() == pytest.approx(0.3)
    nearer = painted.likely(share, 2.5)
    assert nearer[9] / nearer[10] > found[9] / found[10]


def test_the_last_slice_has_itself_for_a_neighbour():
    assert painted.likely(np.full(5, 0.2), 4.0) == pytest.approx(0.2)
