"""Single networks, Model API, nnU-Net, Triton, OVMS and WSInfer; hostile sources; the command."""

import json
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op
import pytest

from domain.errors import PackageError
from domain.jobs import Outcome
from inference import golden
from inference.analyse import Analyser
from inference.importing import draft, nnunet, volumes
from inference.importing.draft import toml
from inference.importing.options import Options
from inference.importing.recognised import import_model
from inference.importing.tree import opened
from inference.package import load
from node.__main__ import main
from tests.inference.importing import saved_model
from tests.inference.spheres import GEOMETRIES, TRUE_ML, Ball


def conv(channels: int, classes: int, dims: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (classes, channels, *[3] * dims)).astype(np.float32)


def segmenter(shape: list[int], classes: int = 2) -> ov.Model:
    """One convolution from an input to scores of the same size."""
    image = op.parameter(shape, np.float32, name="x")
    image.get_output_tensor(0).set_names({"x"})
    dims = len(shape) - 2
    ones = [1] * dims
    scores = op.convolution(image, op.constant(conv(shape[1], classes, dims)), ones, ones, ones, ones)
    scores.output(0).get_tensor().set_names({"y"})
    return ov.Model([op.result(scores)], [image], "segmenter")


def classifier(shape: list[int], classes: int, activated: bool = False) -> ov.Model:
    image = op.parameter(shape, np.float32, name="x")
    image.get_output_tensor(0).set_names({"x"})
    axes = [2, 3] if shape[1] in (1, 3) else [1, 2]
    means = op.reduce_mean(image, op.constant(np.array(axes, np.int64)), keep_dims=False)
    weights = np.random.default_rng(3).normal(0, 1, (min(shape[1], shape[3]), classes)).astype(np.float32)
    node = op.matmul(means, op.constant(weights), False, False)
    node = op.softmax(node, 1) if activated else node
    node.output(0).get_tensor().set_names({"logits"})
    return ov.Model([op.result(node)], [image], "classifier")


def saved(model: ov.Model, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def works(folder: Path) -> Any:
    package = load(folder)
    assert all(result.agrees for result in golden.check(package))
    return package


def test_an_openvino_network_of_volumes_imports_with_stated_assumptions(tmp_path: Path) -> None:
    path = saved(segmenter([1, 1, 32, 32, 32], 3), tmp_path / "organs.xml")
    made = import_model(path, tmp_path / "out", Options(labels=["liver", "left kidney"]))
    package = works(tmp_path / "out")
    assert made.source == "single network" and [s.laterality is not None for s in package.segments] == [False, True]
    assert any("RAS was assumed" in words for words in made.unknown) and any("CT was assumed" in words for words in made.unknown)


def test_an_onnx_classifier_of_images_imports(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import TensorProto, helper

    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 4], np.random.default_rng(0).normal(size=12).astype(np.float32))
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [1, 3, 48, 64])], [value("y", TensorProto.FLOAT, [1, 4])], [weights]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "net.onnx")
    made = import_model(
        tmp_path / "net.onnx", tmp_path / "out", Options(labels=["a", "b", "c", "d"], modality="US", model_id="quad")
    )
    package = works(tmp_path / "out")
    assert package.id == "quad" and package.contract.modalities == ("US",)
    assert any("softmax was put behind" in words for words in made.unknown)


def test_a_tensorflow_saved_model_imports_without_tensorflow(tmp_path: Path) -> None:
    saved_model.write(tmp_path / "colours")
    made = import_model(tmp_path / "colours", tmp_path / "out", Options(labels=["dull", "bright"], modality="XC"))
    package = works(tmp_path / "out")
    assert package.network.size == (40, 56) and package.name == "colours"
    assert not any("softmax was put behind" in words for words in made.unknown)  # the graph has one
    saved_model.write(tmp_path / "repo" / "colours" / "2" / "model.savedmodel")
    (tmp_path / "repo" / "colours" / "config.pbtxt").write_text('name: "colours"\nplatform: "tensorflow_savedmodel"\n')
    import_model(tmp_path / "repo", tmp_path / "served", Options(labels=["dull", "bright"]))
    works(tmp_path / "served")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(PackageError, match="no network that can be read"):
        import_model(tmp_path / "m", tmp_path / "none")


def test_torchscript_and_exported_programs_import_where_pytorch_is(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'import-torch')")
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 32, 48)).save(str(tmp_path / "net.pt"))
    with pytest.raises(PackageError, match="--size"):
        import_model(tmp_path / "net.pt", tmp_path / "out")
    options = Options(size=[32, 48], labels=["no", "yes"])
    import_model(tmp_path / "net.pt", tmp_path / "out", options)
    works(tmp_path / "out")
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 32, 48),)), tmp_path / "net.pt2")
    import_model(tmp_path / "net.pt2", tmp_path / "out2", options)
    works(tmp_path / "out2")
    (tmp_path / "bad.pt").write_bytes(b"no archive")
    with pytest.raises(PackageError, match="neither TorchScript nor"):
        import_model(tmp_path / "bad.pt", tmp_path / "out3", options)


def with_info(model: ov.Model, **entries: str) -> ov.Model:
    for key, value in entries.items():
        model.set_rt_info(value, ["model_info", key])
    return model


CLASSES = {
    "model_type": "Classification", "labels": "benign malignant", "resize_type": "standard",
    "mean_values": "123.7 116.3 103.5", "scale_values": "58.4 57.1 57.4",
}  # fmt: skip


@pytest.mark.parametrize("shape", [[1, 3, 40, 56], [1, 40, 56, 3]])
def test_model_api_classification_normalises_inside_the_graph(tmp_path: Path, shape: list[int]) -> None:
    path = saved(with_info(classifier(shape, 2), **CLASSES, reverse_input_channels="True"), tmp_path / "c.xml")
    made = import_model(path, tmp_path / "out")
    package = works(tmp_path / "out")
    assert made.source == "OpenVINO IR with Model API metadata" and package.network.size == (40, 56)
    assert package.network.fit == "stretch"
    image = np.random.default_rng(1).integers(0, 255, (1, 40, 56, 3)).astype(np.uint8)
    network = ov.Core().compile_model(str(tmp_path / "out" / "network.xml"), "CPU")
    found = network(image)["scores"][0]
    prepared = (image[..., ::-1].astype(np.float32) - (123.7, 116.3, 103.5)) / (58.4, 57.1, 57.4)
    prepared = prepared if shape[3] == 3 else prepared.transpose(0, 3, 1, 2)
    raw = ov.Core().compile_model(str(path), "CPU")(prepared.astype(np.float32))["logits"][0]
    assert np.allclose(found, np.exp(raw) / np.exp(raw).sum(), atol=1e-4)


def test_model_api_segmentation_and_detection(tmp_path: Path) -> None:
    path = saved(
        with_info(
            segmenter([1, 3, 32, 32], 3), model_type="Segmentation", labels="nodule cyst", resize_type="fit_to_window_letterbox"
        ),
        tmp_path / "s.xml",
    )
    import_model(path, tmp_path / "s")
    assert works(tmp_path / "s").network.fit == "letterbox"
    image = op.parameter([1, 3, 64, 64], np.float32, name="x")
    image.get_output_tensor(0).set_names({"x"})
    rows = np.array([[0, 1, 0.9, 0.25, 0.25, 0.75, 0.75], [0, 0, 0.2, 0, 0, 0.1, 0.1]], np.float32).reshape(1, 1, 2, 7)
    zero = op.multiply(
        op.reduce_mean(image, op.constant(np.array([0, 1, 2, 3], np.int64)), keep_dims=False), op.constant(np.float32(0))
    )
    node = op.add(op.constant(rows), zero)
    node.output(0).get_tensor().set_names({"detection_out"})
    model = with_info(
        ov.Model([op.result(node)], [image], "d"), model_type="ssd", labels="cell bacillus", confidence_threshold="0.4"
    )
    import_model(saved(model, tmp_path / "d.xml"), tmp_path / "d")
    works(tmp_path / "d")
    with np.load(tmp_path / "d" / "golden" / "generated.npz") as case:
        (row,) = case["objects"]
        rows_, columns = case["images"].shape[1:3]
    assert row[1] == 2 and row[2] == pytest.approx(0.9)
    assert np.allclose(row[3:7], [columns * 0.25, rows_ * 0.25, columns * 0.75, rows_ * 0.75], atol=0.5)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"model_type": "YOLOv8"}, "model_type = 'YOLOv8' cannot be represented"),
        ({**CLASSES, "hierarchical": "True"}, "hierarchical"),
        ({**CLASSES, "resize_type": "crop"}, "resize_type = 'crop'"),
        ({**CLASSES, "resize_type": "fit_to_window_letterbox", "pad_value": "114"}, "pad_value = '114'"),
        ({**CLASSES, "labels": "a b c"}, "answers 2 classes and 3 names"),
    ],
)
def test_model_api_entries_that_cannot_be_represented_are_named(tmp_path: Path, entries: dict[str, str], words: str) -> None:
    path = saved(with_info(classifier([1, 3, 32, 32], 2), **entries), tmp_path / "c.xml")
    with pytest.raises(PackageError, match=words):
        import_model(path, tmp_path / "out")


PLANS: dict[str, Any] = {
    "dataset_name": "Dataset042_Ball",
    "plans_name": "nnUNetPlans",
    "transpose_forward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {
        "0": {"mean": -400.0, "std": 300.0, "percentile_00_5": -1000.0, "percentile_99_5": 100.0}
    },
    "configurations": {
        "3d_fullres": {
            "spacing": [2.5, 1.6, 1.6],
            "patch_size": [32, 48, 48],
            "normalization_schemes": ["CTNormalization"],
            "use_mask_for_norm": [False],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 3,
                    "features_per_stage": [4, 8, 16],
                    "conv_op": "torch.nn.modules.conv.Conv3d",
                    "kernel_sizes": [[3, 3, 3]] * 3,
                    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
                    "n_conv_per_stage": [1, 1, 1],
                    "n_conv_per_stage_decoder": [1, 1],
                    "conv_bias": True,
                    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                    "dropout_op": None,
                    "dropout_op_kwargs": None,
                    "nonlin": "torch.nn.LeakyReLU",
                    "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        },
        "2d": {"inherits_from": "3d_fullres", "spacing": [1.6, 1.6], "patch_size": [48, 64]},
    },
}
DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "ball": 1}, "file_ending": ".nii.gz", "numTraining": 3}


def results(folder: Path, plans: Any = None, dataset: Any = None, name: str = "nnUNetTrainer__nnUNetPlans__3d_fullres") -> Path:
    inner = folder / "Dataset042_Ball" / name
    (inner / "fold_0").mkdir(parents=True)
    (inner / "plans.json").write_text(json.dumps(plans or PLANS))
    (inner / "dataset.json").write_text(json.dumps(dataset or DATASET))
    return folder / "Dataset042_Ball"


def changed(**changes: Any) -> dict[str, Any]:
    return {**PLANS, "configurations": {"3d_fullres": {**PLANS["configurations"]["3d_fullres"], **changes}}}


def test_nnunet_results_with_an_onnx_export_find_a_ball(tmp_path: Path) -> None:
    """A network that answers 'ball' where it is bright, in nnU-Net's own frame: the ball comes back."""
    image = op.parameter([1, 1, 32, 48, 48], np.float32, name="x")
    image.get_output_tensor(0).set_names({"x"})
    # CTNormalization makes -470 HU, half way up the edge of the ball, -0.233
    bright = op.add(image, op.constant(np.float32(0.233)))
    both = op.concat([op.multiply(bright, op.constant(np.float32(-1))), bright], 1)
    both.output(0).get_tensor().set_names({"y"})
    source = results(tmp_path)
    saved(ov.Model([op.result(both)], [image], "n"), tmp_path / "n.xml")
    with pytest.raises(PackageError, match=r"no checkpoint_final.pth"):
        import_model(source, tmp_path / "out")
    with opened(source) as tree:
        plans = tree.data(tree.named("plans.json")[0])
        sliding, unknown = nnunet.described(plans, DATASET, plans["configurations"]["3d_fullres"], Options(orientation="LAS"))
    assert sliding.before[0] == {"step": "Orientation", "axcodes": "SAL"} and any("LAS" in words for words in unknown)
    sliding.name = "ball"
    made = volumes.package("nnU-Net", sliding, ov.Core().read_model(tmp_path / "n.xml"))
    draft.write(made, tmp_path / "ball")
    analyser = Analyser(works(tmp_path / "ball"))
    for name in ("axial", "coronal", "5 mm slices of flat pixels"):
        ball: Ball = GEOMETRIES[name]
        found = analyser.analyse(ball.sources())
        assert found.outcome is Outcome.POSITIVE and found.labels is not None
        centroid, volume = ball.found(found.labels)
        assert np.abs(centroid - ball.centre).max() < min(ball.spacing[1:]) / 2
        assert volume == pytest.approx(TRUE_ML, rel=0.02)


@pytest.mark.parametrize("configuration", ["3d_fullres", "2d"])
def test_nnunet_checkpoints_are_read_as_tensors_and_their_architecture_is_built(tmp_path: Path, configuration: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'import-torch')")
    unet = pytest.importorskip(
        "dynamic_network_architectures.architectures.unet", reason="dynamic-network-architectures is not installed"
    )
    plans = json.loads(json.dumps(PLANS))
    arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    if configuration == "2d":
        flat = json.loads(json.dumps(plans["configurations"]["3d_fullres"]["architecture"]).replace("3d", "2d"))
        flat["arch_kwargs"] |= {"kernel_sizes": [[3, 3]] * 3, "strides": [[1, 1], [2, 2], [2, 2]]}
        plans["configurations"]["2d"]["architecture"] = flat
        arguments = flat["arch_kwargs"]
    source = results(tmp_path, plans, name=f"nnUNetTrainer__nnUNetPlans__{configuration}")
    kinds = {
        "conv_op": getattr(torch.nn, arguments["conv_op"].rsplit(".", 1)[-1]),
        "norm_op": getattr(torch.nn, arguments["norm_op"].rsplit(".", 1)[-1]),
        "nonlin": torch.nn.LeakyReLU,
    }
    torch.manual_seed(1)
    network = unet.PlainConvUNet(1, num_classes=2, **{**arguments, **kinds}, deep_supervision=True)
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": configuration},
        "inference_allowed_mirroring_axes": (0, 1, 2),
        "logging": {"mean_fg_dice": [np.float64(0.5)], "lrs": [np.float32(0.1)]},
    }
    torch.save(checkpoint, next(source.rglob("fold_0")) / "checkpoint_final.pth")
    made = import_model(source, tmp_path / "out")
    works(tmp_path / "out")
    assert any(words.endswith("fold_0/checkpoint_final.pth") for words in made.known)
    assert any("without mirroring" in words for words in made.unknown)


def test_several_channels_of_nnunet_are_series_with_a_normalisation_each(tmp_path: Path) -> None:
    """Each channel with its own modality and normalisation; a normalisation that is the same for all is one step."""
    dataset = {
        "channel_names": {"0": "CT", "1": "PET"},
        "labels": {"background": 0, "bone": [1], "tumor": [2]},
        "file_ending": ".x",
    }
    plans = changed(normalization_schemes=["CTNormalization", "ZScoreNormalization"], use_mask_for_norm=[False, False])
    image = op.parameter([1, 2, 32, 48, 48], np.float32, name="x")
    image.get_output_tensor(0).set_names({"x"})
    same = op.add(image, op.constant(np.float32(0.233)))
    same.output(0).get_tensor().set_names({"y"})
    saved(ov.Model([op.result(same)], [image], "n"), tmp_path / "n.xml")
    sliding, unknown = nnunet.described(plans, dataset, plans["configurations"]["3d_fullres"], Options())
    assert [(one["name"], one["modality"], one["units"]) for one in sliding.channels] == [
        ("CT", "CT", "HU"),
        ("PET", "PT", "SUVbw"),
    ]
    assert [(step["step"], step.get("channels")) for step in sliding.before[2:4]] == [
        ("CTNormalization", ["CT"]),
        ("ZScoreNormalization", ["PET"]),
    ]
    assert unknown
    sliding.name = "two"
    made = volumes.package("nnU-Net", sliding, ov.Core().read_model(tmp_path / "n.xml"))
    draft.write(made, tmp_path / "out")
    package = works(tmp_path / "out")
    assert [channel.contract.modality for channel in package.manifest.channels] == ["CT", "PT"]
    alike = changed(normalization_schemes=["ZScoreNormalization"] * 2, use_mask_for_norm=[True] * 2)
    mr = {**DATASET, "channel_names": {"0": "T1w", "1": "T2w"}}
    sliding, _ = nnunet.described(alike, mr, alike["configurations"]["3d_fullres"], Options())
    assert sliding.before[2] == {"step": "ZScoreNormalization", "use_mask_for_norm": True}


def test_older_plans_name_the_same_architecture_in_other_words() -> None:
    configuration = {
        "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "UNet_base_num_features": 32, "unet_max_num_features": 64, "n_conv_per_stage_encoder": [2, 2, 2],
    }  # fmt: skip
    name, arguments, imports = nnunet.architecture(configuration)
    assert name.endswith("PlainConvUNet") and arguments["features_per_stage"] == [32, 64, 64] and "norm_op" in imports


@pytest.mark.parametrize(
    ("plans", "dataset", "words"),
    [
        (changed(previous_stage="3d_lowres"), None, "cascade"),
        (changed(normalization_schemes=["MyNormalization"]), None, "'MyNormalization' cannot"),
        (changed(resampling_fn_data="resample_torch_fornnunet"), None, "resample_torch_fornnunet"),
        (None, {**DATASET, "channel_names": {"0": "T1", "1": "what"}}, "'what' is no sequence that is known here"),
        (None, {**DATASET, "channel_names": {"0": "T1", "1": "T1"}}, "two channels have one name"),
        (None, {**DATASET, "channel_names": ["CT"]}, "'channel_names' must name each channel"),
        (None, {**DATASET, "channel_names": {"0": "noise"}}, "'noise' is no modality"),
        (None, {**DATASET, "labels": {"background": 0, "a": 2}}, "without gaps"),
    ],
)
def test_what_nnunet_can_do_and_a_package_cannot_is_named(tmp_path: Path, plans: Any, dataset: Any, words: str) -> None:
    with pytest.raises(PackageError, match=words):
        import_model(results(tmp_path, plans, dataset), tmp_path / "out")


def test_regions_of_nnunet_overlap(tmp_path: Path) -> None:
    source = results(
        tmp_path,
        None,
        {**DATASET, "labels": {"background": 0, "whole tumor": [1, 2], "core": [2]}, "regions_class_order": [1, 2]},
    )
    onnx = source / "nnUNetTrainer__nnUNetPlans__3d_fullres" / "export.onnx"
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'import-torch')")
    del torch
    del onnx  # written by whoever exports; the description is what matters here
    with opened(source) as tree:
        dataset = tree.data(tree.named("dataset.json")[0])
    sliding, _ = nnunet.described(PLANS, dataset, PLANS["configurations"]["3d_fullres"], Options())
    assert sliding.labels == ["whole tumor", "core"] and sliding.behind[0] == {"step": "Activations", "sigmoid": True}


CONFIG = """
name: "xray"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, 40, 56 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" } ]
"""


def test_the_newest_version_in_a_triton_repository_is_taken_with_its_labels(tmp_path: Path) -> None:
    root = tmp_path / "repo" / "xray"
    saved(classifier([1, 3, 40, 56], 3), root / "1" / "model.xml")
    saved(classifier([1, 3, 40, 56], 2), root / "12" / "model.xml")
    (root / "config.pbtxt").write_text(CONFIG)
    (root / "labels.txt").write_text("normal\npneumonia\n")
    made = import_model(tmp_path / "repo", tmp_path / "out")
    assert made.source == "Triton repository"
    assert works(tmp_path / "out").network.outputs[0].values == ("normal", "pneumonia")
    (root / "config.pbtxt").write_text(CONFIG.replace("onnxruntime_onnx", "tensorrt_plan"))
    with pytest.raises(PackageError, match="'tensorrt_plan' cannot be imported"):
        import_model(tmp_path / "repo", tmp_path / "out2")


def test_an_ovms_repository_is_read_with_or_without_its_configuration(tmp_path: Path) -> None:
    saved(classifier([1, 3, 32, 32], 2), tmp_path / "m" / "3" / "net.xml")
    import_model(tmp_path / "m", tmp_path / "a", Options(labels=["no", "yes"]))
    works(tmp_path / "a")
    saved(with_info(classifier([1, 3, 32, 32], 2), **CLASSES), tmp_path / "r" / "mammo" / "1" / "net.xml")
    config = {"model_config_list": [{"config": {"name": "mammo", "base_path": "/models/mammo", "shape": "(1,3,32,32)"}}]}
    (tmp_path / "r" / "config.json").write_text(json.dumps(config))
    made = import_model(tmp_path / "r", tmp_path / "b")
    assert made.source == "OpenVINO Model Server repository" and works(tmp_path / "b").name == "mammo"
    saved(classifier([1, 3, 32, 32], 2), tmp_path / "r" / "other" / "1" / "net.xml")
    with pytest.raises(PackageError, match="2 models are there"):
        import_model(tmp_path / "r", tmp_path / "c")


WSI = {
    "spec_version": "1.0", "architecture": "resnet34", "num_classes": 2, "patch_size_pixels": 350, "spacing_um_px": 0.25,
    "class_names": ["other", "tumor"],
    "transform": [
        {"name": "Resize", "arguments": {"size": 64}}, {"name": "ToTensor"},
        {"name": "Normalize", "arguments": {"mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.2]}},
    ],
}  # fmt: skip


def test_a_wsinfer_model_becomes_tiles_of_a_slide_at_its_scale(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'import-torch')")
    torch.manual_seed(0)
    (tmp_path / "m").mkdir()
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 64, 64)).save(str(tmp_path / "m" / "torchscript_model.pt"))
    (tmp_path / "m" / "config.json").write_text(json.dumps(WSI))
    import_model(tmp_path / "m", tmp_path / "out")
    package = works(tmp_path / "out")
    assert package.contract.kind == "slide" and package.network.size == (64, 64)
    assert package.network.um_per_pixel == pytest.approx(0.25 * 350 / 64)
    (tmp_path / "m" / "config.json").write_text(json.dumps({**WSI, "transform": [{"name": "Stain"}]}))
    with pytest.raises(PackageError, match="'Stain' cannot be represented"):
        import_model(tmp_path / "m", tmp_path / "out2")


@pytest.mark.parametrize("name", ["../evil.onnx", "/evil.onnx", "a/../../evil.onnx"])
def test_a_zip_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(PackageError, match="out of the folder"):
        import_model(tmp_path / "m.zip", tmp_path / "out")
    assert not (tmp_path.parent / "evil.onnx").exists()


def test_links_bombs_and_nonsense_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "net.onnx").symlink_to("/etc/hostname")
    with pytest.raises(PackageError, match="link or no plain file"):
        import_model(tmp_path / "m", tmp_path / "out")
    with pytest.raises(PackageError, match="symbolic link"):
        import_model(tmp_path / "m" / "net.onnx", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.onnx", bytes(50_000_000))
    with pytest.raises(PackageError, match="far more"):
        import_model(tmp_path / "bomb.zip", tmp_path / "out")
    entry = zipfile.ZipInfo("net.onnx")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(entry, "/etc/hostname")
    with pytest.raises(PackageError, match="link"):
        import_model(tmp_path / "link.zip", tmp_path / "out")
    (tmp_path / "text.md").write_text("x")
    with pytest.raises(PackageError, match="none of the sources"):
        import_model(tmp_path / "text.md", tmp_path / "out")
    with pytest.raises(PackageError, match="nothing to import"):
        import_model(tmp_path / "nowhere", tmp_path / "out")


def test_the_command_makes_a_package_and_says_what_it_assumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(segmenter([1, 1, 32, 32, 32]), tmp_path / "net.xml")
    out = tmp_path / "out"
    arguments = ["models", "import", str(path), "--out", str(out), "--id", "my-net", "--labels", "spleen", "--modality", "MR"]
    assert main(arguments) == 0
    assert "assumed: Orientation" in capsys.readouterr().out
    about = tomllib.loads((out / "package.toml").read_text())
    assert about["id"] == "my-net" and about["input"]["units"] == "arbitrary"
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments[:4], str(tmp_path / "new"), "--size", "a,b"]) == 2


def test_toml_that_is_written_is_read_again() -> None:
    data = {
        "a": 1,
        "b": [1.5, -2.0],
        "t": {"x": 'quote " and \\', "u": {"on": True}},
        "many": [{"k": [1]}, {"k": [], "s": "é"}],
        "empty": [],
    }
    assert tomllib.loads(toml(data)) == data
