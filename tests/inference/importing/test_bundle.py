"""MONAI bundles: ten configurations of the zoo as data, three of them with their real architecture, and what is refused."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from domain.errors import PackageError
from inference import golden
from inference.importing import bundle, sequences, transforms
from inference.importing.constants import Code, Configuration
from inference.importing.options import Options
from inference.importing.recognised import import_model
from inference.importing.tree import opened
from inference.importing.volumes import Sliding
from inference.package import Package, load
from tests.inference.importing import zoo

VOLUMES = [name for name, (config, _) in zoo.ZOO.items() if "classification" not in name and "tumor" not in name]


@pytest.mark.parametrize("name", VOLUMES)
def test_a_volume_configuration_of_the_zoo_is_understood_step_by_step(tmp_path: Path, name: str) -> None:
    with opened(zoo.write(tmp_path / name, name)) as tree:
        found = bundle.read(tree)
        assert bundle.dimensions(found) == 3
        sliding, _ = bundle.volume(found, Options())
    config, about = zoo.ZOO[name]
    written = [t["_target_"].removesuffix("d") for t in config["preprocessing"]["transforms"]]
    real = [n for n in written if n not in ("LoadImage", "EnsureChannelFirst", "AddChannel", "EnsureType")]
    assert [step["step"] for step in sliding.before if step["step"] in real] == real
    assert sliding.before[0]["step"] == "Orientation" or "Orientation" not in real
    classes = list(about["network_data_format"]["outputs"]["pred"]["channel_def"].values())
    assert sliding.labels == classes[1:]
    assert sliding.window == config["inferer"]["roi_size"]


def test_constants_and_references_reach_the_package(tmp_path: Path) -> None:
    with opened(zoo.write(tmp_path / "w", "wholeBody_ct_segmentation")) as tree:
        sliding, _ = bundle.volume(bundle.read(tree), Options())
    assert {"step": "Spacing", "pixdim": [1.5, 1.5, 1.5], "mode": "bilinear"} in sliding.before
    assert sliding.inferer["overlap"] == 0.25 and sliding.inferer["padding_mode"] == "replicate"
    assert {"step": "Invert", "nearest_interp": True} in sliding.behind


def test_labels_before_the_way_back_are_told_of(tmp_path: Path) -> None:
    with opened(zoo.write(tmp_path / "p", "prostate_mri_anatomy")) as tree:
        sliding, unknown = bundle.volume(bundle.read(tree), Options())
    assert [step["step"] for step in sliding.behind] == ["AsDiscrete", "Invert", "KeepLargestConnectedComponent"]
    assert sliding.behind[1]["nearest_interp"] is True and sliding.behind[2]["connectivity"] == 3
    assert any("came before Invert" in words for words in unknown)


def test_the_spleen_network_of_the_zoo_imports_with_random_weights(tmp_path: Path) -> None:
    pytest.importorskip("monai", reason="MONAI is not installed (extra 'import-torch')")
    inferer = {**zoo.sliding(), "roi_size": [32, 32, 32]}  # the zoo's is 96: the same network, quicker here
    source = zoo.write(tmp_path / "spleen", "spleen_ct_segmentation", inferer=inferer)
    zoo.random_weights(source, zoo.ZOO["spleen_ct_segmentation"][0]["network_def"])
    made = import_model(source, tmp_path / "out")
    toml = tomllib.loads((tmp_path / "out" / "package.toml").read_text())
    assert toml["version"] == "0.5.9" and toml["manufacturer"] == "MONAI team" and toml["id"] == "spleen-ct-segmentation"
    assert toml["inferer"] == {
        "name": "SlidingWindowInferer",
        "roi_size": [32, 32, 32],
        "overlap": 0.5,
        "mode": "constant",
        "padding_mode": "constant",
        "cval": 0.0,
        "sigma_scale": 0.125,
    }
    segments = json.loads((tmp_path / "out" / "segments.json").read_text())["segmentAttributes"]
    assert segments[0][0]["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == "78961009"
    assert "To be written" in (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert load(tmp_path / "out").digest == made.digest


SMALL = {"_target_": "Classifier", "in_shape": [3, 256, 256], "classes": 2, "channels": [4, 8], "strides": [4, 4]}


@pytest.mark.parametrize(
    ("name", "changes"), [("ventricular_short_axis_3label", {}), ("endoscopic_inbody_classification", {"network_def": SMALL})]
)
def test_two_dimensional_networks_import_with_random_weights(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    pytest.importorskip("monai", reason="MONAI is not installed (extra 'import-torch')")
    source = zoo.write(tmp_path / name, name, **changes)
    zoo.random_weights(source, changes.get("network_def", zoo.ZOO[name][0]["network_def"]))
    made = import_model(source, tmp_path / "out")
    assert made.source == "MONAI bundle" and all(result.agrees for result in golden.check(load(tmp_path / "out")))
    assert made.unknown


def test_a_network_whose_architecture_is_code_comes_from_its_torchscript_or_not_at_all(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (extra 'import-torch')")
    source = zoo.write(tmp_path / "renal", "renalStructures_UNEST_segmentation")
    (source / "models" / "model.pt").write_bytes(b"x")
    with pytest.raises(PackageError, match=r"scripts.networks.unest.UNesT' is code of the bundle, which is not run"):
        import_model(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    zoo.stand_in(source, 4)
    import_model(source, tmp_path / "out")
    assert len(load(tmp_path / "out").segments) == 3


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'import-torch')")
    pytest.importorskip("monai", reason="MONAI is not installed (extra 'import-torch')")
    source = zoo.write(tmp_path / "v", "ventricular_short_axis_3label")
    torch.save({"a": torch.zeros(3)}, source / "models" / "model.pt")
    with pytest.raises(PackageError, match="not the weights of this architecture"):
        import_model(source, tmp_path / "out")


class Harmful:
    """What a pickle with code in it looks like."""

    ran: list[str] = []  # noqa: RUF012

    def __reduce__(self) -> Any:
        return (Harmful.ran.append, ("ran",))


def test_a_checkpoint_with_code_in_it_is_refused_and_its_code_never_runs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'import-torch')")
    pytest.importorskip("monai", reason="MONAI is not installed (extra 'import-torch')")
    source = zoo.write(tmp_path / "v", "ventricular_short_axis_3label")
    torch.save({"model": Harmful()}, source / "models" / "model.pt")
    with pytest.raises(PackageError, match="more than plain tensors"):
        import_model(source, tmp_path / "out")
    assert Harmful.ran == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x"}, r"preprocessing\[0\] \(Lambdad\) cannot be represented"),
    ({"_target_": "Spacingd", "pixdim": [1, 1, 1], "padding_mode": "zeros"}, "'padding_mode' = 'zeros' cannot"),
    ({"_target_": "Spacingd", "pixdim": [1, 1, 1], "mode": 3}, "'mode' = 3 cannot"),
    ({"_target_": "Spacingd", "pixdim": "$numpy.ones(3)"}, "is code; only constants"),
    ({"_target_": "ScaleIntensityRanged", "a_min": 0, "a_max": 1}, "without 'b_min'"),
    ({"_target_": "CropForegroundd", "select_fn": "$lambda x: x > -500"}, "is code"),
    ({"_target_": "NormalizeIntensityd", "surprise": 1}, "'surprise' = '1' cannot be represented"),
    ({"_target_": "Orientationd", "axcodes": "@nowhere"}, "there is no '@nowhere'"),
]


@pytest.mark.parametrize(("step", "words"), REFUSED)
def test_what_cannot_be_represented_is_refused_by_name(tmp_path: Path, step: dict[str, Any], words: str) -> None:
    source = zoo.write(tmp_path / "b", "spleen_ct_segmentation", preprocessing={"_target_": "Compose", "transforms": [step]})
    with pytest.raises(PackageError, match=words):
        import_model(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("inferer", {"_target_": "SaliencyInferer"}, "there is no such inferer"),
        ("inferer", {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, -1]}, "sizes above 0"),
        ("postprocessing", {"transforms": [zoo.SOFTMAX]}, "there is no AsDiscrete"),
        ("postprocessing", {"transforms": [{"_target_": "Ensembled"}]}, "no such step for labels"),
    ],
)
def test_inferers_and_postprocessing_that_do_not_fit_are_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    with pytest.raises(PackageError, match=words):
        import_model(zoo.write(tmp_path / "b", "spleen_ct_segmentation", **{key: value}), tmp_path / "out")


def test_the_brain_tumour_network_of_the_zoo_imports_with_its_four_sequences(tmp_path: Path) -> None:
    pytest.importorskip("monai", reason="MONAI is not installed (extra 'import-torch')")
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [48, 48, 24], "overlap": 0.5}  # smaller: quicker here
    source = zoo.write(tmp_path / "b", "brats_mri_segmentation", inferer=inferer)
    zoo.random_weights(source, zoo.BRATS[0]["network_def"])
    made = import_model(source, tmp_path / "out")
    package = load(tmp_path / "out")
    assert isinstance(package, Package)
    assert [channel.name for channel in package.manifest.channels] == ["T1c", "T1", "T2", "FLAIR"]
    assert [segment.label for segment in package.segments] == ["Tumor core", "Whole tumor", "Enhancing tumor"]
    assert all(case.agrees for case in golden.check(package))
    assert any("T1c, T1, T2, FLAIR, in this order" in words for words in made.unknown)
    headers = [
        {"SeriesDescription": "t1_mpr_sag KM", "ContrastBolusAgent": "Gadovist"},
        {"SeriesDescription": "t1_mpr_sag"},
        {"SeriesDescription": "t2_tse_tra"},
        {"SeriesDescription": "t2_tirm_tra_dark-fluid"},
    ]
    ranks = [[channel.rank(_header(header)) for channel in package.manifest.channels] for header in headers]
    assert [[rank is not None for rank in row] for row in ranks] == [
        [i == j or (i, j) == (0, 1) for j in range(4)] for i in range(4)
    ]
    assert ranks[0][1] == 1 and ranks[1][1] == 0, "the series without contrast is the better T1"


def _header(values: dict[str, str]) -> Dataset:
    header = Dataset()
    header.Modality = "MR"
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return header


def described(tmp_path: Path, channel_def: Any = None, channels: Any = 4, **changes: Any) -> Sliding:
    source = zoo.write(tmp_path / "b", "brats_mri_segmentation", **changes)
    about = json.loads((source / "configs" / "metadata.json").read_text())
    about["network_data_format"]["inputs"]["image"] |= {"num_channels": channels, "channel_def": channel_def or {}}
    (source / "configs" / "metadata.json").write_text(json.dumps(about))
    with opened(source) as tree:
        return bundle.volume(bundle.read(tree), Options())[0]


def test_series_that_are_put_together_by_a_step_are_channels_in_its_order(tmp_path: Path) -> None:
    keys = ["t2", "adc"]
    steps = [
        {"_target_": "LoadImaged", "keys": keys},
        {"_target_": "ResampleToMatchd", "keys": ["adc"], "key_dst": "t2"},
        {"_target_": "ScaleIntensityRanged", "keys": ["adc"], "a_min": 0, "a_max": 3000, "b_min": 0, "b_max": 1},
        {"_target_": "NormalizeIntensityd", "keys": "t2"},
        {"_target_": "Spacingd", "keys": keys, "pixdim": [0.5, 0.5, 3.0], "mode": "bilinear"},
        {"_target_": "ConcatItemsd", "keys": keys, "name": "image"},
    ]
    found = described(tmp_path / "a", channels=2, preprocessing={"transforms": steps})
    assert [one["name"] for one in found.channels] == keys and found.modality == "MR"
    assert [step.get("channels") for step in found.before if step["step"] != "Orientation"] == [["adc"], ["t2"], None]
    steps[4]["keys"] = ["adc"]
    with pytest.raises(PackageError, match="for some channels only"):
        described(tmp_path / "b", channels=2, preprocessing={"transforms": steps})
    steps[1]["key_dst"] = "adc"
    with pytest.raises(PackageError, match="'key_dst' = 'adc' cannot"):
        described(tmp_path / "c", channels=2, preprocessing={"transforms": steps})


@pytest.mark.parametrize(
    ("channel_def", "channels", "words"),
    [
        (None, 4, "wants 4 channels .* and none is named: say which with --channels"),
        ({"0": "T1", "1": "T2"}, 4, "2 are named"),
        ({"0": "T1", "1": "t1"}, 2, "two channels have one name"),
        (None, "four", "whole number"),
    ],
)
def test_channels_without_a_name_are_refused(tmp_path: Path, channel_def: Any, channels: Any, words: str) -> None:
    with pytest.raises(PackageError, match=words):
        described(tmp_path, channel_def, channels)


@pytest.mark.parametrize(
    ("name", "modality", "kind"),
    [
        ("T1gd", "MR", "contrast"), ("t1ce", "MR", "contrast"), ("T1-post", "MR", "contrast"), ("T1w", "MR", "*t1*"),
        ("t2f", "MR", "*flair*"), ("T2w MRI", "MR", "*t2*"), ("ADC", "MR", "ADC"), ("CT", "CT", None), ("PET", "PT", None),
    ],
)  # fmt: skip
def test_names_of_sequences_are_known(name: str, modality: str, kind: str | None) -> None:
    found = sequences.channel(name, "")
    assert found["modality"] == modality and found["name"] == name
    assert kind is None or kind in json.dumps(found["any_of"][0])
    with pytest.raises(PackageError, match="is no sequence that is known here"):
        sequences.channel("noise", "")
    assert sequences.channel("noise", "MR")["any_of"] == [{"description": ["*noise*"]}]


def test_expressions_of_constants_are_folded_and_others_are_left_alone() -> None:
    data = {
        "root": "/x", "size": [96, 96], "high": False, "path": "$@root + '/models/' + 'm.pt'",
        "pick": "$[1, -2] if @high else [3.0]",
        "code": "$__import__('os').system('true')", "nested": "$[@size, @code]",
        "first": "@size#0", "also": "@size::1", "a": "@b", "b": "@a",
    }  # fmt: skip
    configuration = Configuration(data, "c")
    assert configuration.get("path") == "/x/models/m.pt"
    assert configuration.get("pick") == [3.0] and configuration.get("first") == 96 and configuration.get("also") == 96
    assert isinstance(configuration.get("code"), Code) and isinstance(configuration.get("nested"), Code)
    with pytest.raises(PackageError, match="in a circle"):
        configuration.get("a")


def test_small_objects_counted_in_voxels_need_a_known_grid() -> None:
    step = transforms.Transform({"_target_": "RemoveSmallObjectsd", "min_size": 500}, "p")
    found, _ = transforms.behind([step, transforms.Transform(zoo.ARGMAX, "p")], 0.002)
    assert found[1]["min_volume_ml"] == 1.0
    with pytest.raises(PackageError, match="size is not known"):
        transforms.behind(
            [transforms.Transform({"_target_": "RemoveSmallObjectsd"}, "p"), transforms.Transform(zoo.ARGMAX, "p")], None
        )
