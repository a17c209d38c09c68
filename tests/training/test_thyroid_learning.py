"""Training of the thyroid outlines: what went badly comes again sooner."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed (extra 'train')")
from training.thyroid_us_nodule import learn


@pytest.fixture
def source(tmp_path: Path) -> learn.Source:
    rng = np.random.default_rng(1)
    labels = np.zeros((6, 256, 256), np.uint8)
    labels[:5, 100:150, 100:150] = 1  # the last picture is empty
    pixels = rng.integers(0, 255, labels.shape, dtype=np.uint8)
    np.savez(tmp_path / "chunk-000.npz", pixels=pixels, labels=labels, features=np.full((6, 3, 9), -1, np.int8))
    made = learn.Source(tmp_path, 1)
    made.look()
    return made


def _drawn(source: learn.Source) -> Counter[int]:
    return Counter(k for _ in range(25) for _, k in source.batch(64)[2])


def test_a_picture_that_went_badly_is_shown_more_often_than_the_others(source):
    name = "chunk-000.npz"
    for _ in range(8):
        source.learnt([(name, k) for k in range(6)], [1.5 if k == 2 else 0.05 for k in range(6)])
    drawn = _drawn(source)
    assert drawn[2] > 3 * max(drawn[k] for k in (0, 1, 3, 4))
    assert min(drawn[k] for k in range(6)) > 0


def test_a_batch_names_its_pictures_and_keeps_their_truth(source):
    grey, truth, places = source.batch(64)
    assert grey.shape == truth.shape == (learn.BATCH, 1, 64, 64)
    assert len(places) == learn.BATCH
    assert set(truth.unique().tolist()) <= {0.0, 1.0}


def test_the_loss_is_told_for_each_picture():
    import torch

    truth = torch.zeros(2, 1, 8, 8)
    truth[:, :, 2:6, 2:6] = 1
    logits = torch.stack([truth[0] * 20 - 10, 10 - truth[1] * 20])
    good, bad = learn.loss(logits, truth).tolist()
    assert good < 0.01
    assert bad > 1


def test_a_training_from_nothing_begins_with_the_same_weights_every_time(source, tmp_path, monkeypatch):
    import torch

    begun = []
    monkeypatch.setattr(learn._Learner, "save", lambda self, *_: begun.append(self.network.stem[0].weight.detach().clone()))
    for _ in range(2):
        learn.train(tmp_path, tmp_path / "none.pt", 1, 1e-9)
    assert torch.equal(*begun)
