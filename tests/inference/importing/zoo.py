"""The configurations of ten models of MONAI's zoo, as small tables of their published constants, and bundles made of them."""

import json
from pathlib import Path
from typing import Any

INPUT = [{"_target_": "LoadImaged", "keys": "image"}, {"_target_": "EnsureChannelFirstd", "keys": "image"}]
RAS = {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}
TYPED = {"_target_": "EnsureTyped", "keys": "image"}
SOFTMAX = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
ARGMAX = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
SAVED = {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"}
HEAD = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "output_dir": "$@bundle_root + '/eval'",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network": "$@network_def.to(@device)",
}


def invert(nearest: bool) -> dict[str, Any]:
    return {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": nearest,
        "to_tensor": True,
    }


def spacing(*pixdim: float) -> dict[str, Any]:
    return {"_target_": "Spacingd", "keys": "image", "pixdim": list(pixdim), "mode": "bilinear"}


def scaled(low: float, high: float) -> dict[str, Any]:
    return {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": low,
        "a_max": high,
        "b_min": 0,
        "b_max": 1,
        "clip": True,
    }


def sliding(overlap: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], "sw_batch_size": 4, "overlap": overlap, **more}


def config(network: dict[str, Any], pre: list[Any], inferer: dict[str, Any], post: list[Any], **more: Any) -> dict[str, Any]:
    return {
        **HEAD,
        "network_def": network,
        "preprocessing": {"_target_": "Compose", "transforms": pre},
        "inferer": inferer,
        "postprocessing": {"_target_": "Compose", "transforms": post},
        **more,
    }


def unet(out: int, channels: list[int], units: int = 2, dims: int = 3, **more: Any) -> dict[str, Any]:
    strides = [2] * (len(channels) - 1)
    return {
        "_target_": "UNet",
        "spatial_dims": dims,
        "in_channels": 1,
        "out_channels": out,
        "channels": channels,
        "strides": strides,
        "num_res_units": units,
        **more,
    }


def metadata(modality: str, classes: list[str], shape: list[int], channels: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "version": "0.5.9",
        "task": "A task",
        "description": "A network of the zoo",
        "authors": "MONAI team",
        "copyright": "Copyright (c) MONAI Consortium",
        "network_data_format": {
            "inputs": {"image": {"modality": modality, "num_channels": channels, "spatial_shape": shape}},
            "outputs": {"pred": {"num_channels": len(classes), "channel_def": {str(i): name for i, name in enumerate(classes)}}},
        },
        **more,
    }


CUBE = [96, 96, 96]
BTCV = [
    "background",
    "spleen",
    "right_kidney",
    "left_kidney",
    "gallbladder",
    "esophagus",
    "liver",
    "stomach",
    "aorta",
    "IVC",
    "portal_and_splenic_veins",
    "pancreas",
    "right_adrenal_gland",
    "left_adrenal_gland",
]
ZOO: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "spleen_ct_segmentation": (
        config(
            unet(2, [16, 32, 64, 128, 256], norm="batch"),
            [*INPUT, RAS, spacing(1.5, 1.5, 2.0), scaled(-57, 164), TYPED],
            sliding(),
            [SOFTMAX, invert(False), ARGMAX, SAVED],
        ),
        metadata("CT", ["background", "spleen"], CUBE),
    ),
    "swin_unetr_btcv_segmentation": (
        config(
            {
                "_target_": "SwinUNETR",
                "spatial_dims": 3,
                "img_size": 96,
                "in_channels": 1,
                "out_channels": 14,
                "feature_size": 48,
                "use_checkpoint": False,
            },
            [{**INPUT[0], "reader": "ITKReader"}, INPUT[1], RAS, spacing(1.5, 1.5, 2.0), scaled(-175, 250), TYPED],
            sliding(),
            [SOFTMAX, invert(False), ARGMAX, SAVED],
        ),
        metadata("CT", BTCV, CUBE),
    ),
    "wholeBody_ct_segmentation": (
        config(
            {
                "_target_": "SegResNet",
                "spatial_dims": 3,
                "in_channels": 1,
                "out_channels": 105,
                "init_filters": 32,
                "blocks_down": [1, 2, 2, 4],
                "blocks_up": [1, 1, 1],
                "dropout_prob": 0.2,
            },
            [
                *INPUT,
                RAS,
                {"_target_": "Spacingd", "keys": "@image_key", "pixdim": "@pixdim", "mode": "bilinear"},
                {"_target_": "NormalizeIntensityd", "keys": "@image_key", "nonzero": True},
                {"_target_": "ScaleIntensityd", "keys": "@image_key", "minv": -1.0, "maxv": 1.0},
            ],
            sliding("@displayable_configs#sw_overlap", padding_mode="replicate", mode="gaussian", device="@device"),  # type: ignore[arg-type]
            [SOFTMAX, ARGMAX, invert(True), SAVED],
            displayable_configs={"highres": True, "sw_overlap": 0.25, "sw_batch_size": 1},
            image_key="image",
            pixdim="$[1.5, 1.5, 1.5] if @displayable_configs#highres else [3.0, 3.0, 3.0]",
        ),
        metadata("CT", ["background", *(f"structure {i}" for i in range(1, 105))], CUBE),
    ),
    "prostate_mri_anatomy": (
        config(
            unet(3, [16, 32, 64, 128, 256, 512], 4, norm="batch", act="prelu", dropout=0.15),
            [
                *INPUT,
                RAS,
                spacing(0.5, 0.5, 0.5),
                {"_target_": "ScaleIntensityd", "keys": "image", "minv": 0, "maxv": 1},
                {"_target_": "NormalizeIntensityd", "keys": "image"},
                TYPED,
            ],
            sliding(),
            [
                ARGMAX,
                {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]},
                invert(False),
                {**SAVED, "resample": False},
            ],
        ),
        metadata("MR", ["background", "central gland", "peripheral zone"], CUBE),
    ),
    "renalStructures_UNEST_segmentation": (
        config(
            {"_target_": "scripts.networks.unest.UNesT", "in_channels": 1, "out_channels": 4},
            [INPUT[0], {"_target_": "AddChanneld", "keys": "image"}, RAS, spacing(1, 1, 1), scaled(-175, 250), TYPED],
            sliding(),
            [SOFTMAX, {**invert(False), "meta_key_postfix": "meta_dict"}, ARGMAX, SAVED],
        ),
        metadata("CT", ["background", "kidney cortex", "medulla", "pelvis collecting system"], CUBE),
    ),
    "wholeBrainSeg_Large_UNEST_segmentation": (
        config(
            {"_target_": "scripts.networks.unest_base_patch_4.UNesT", "in_channels": 1, "out_channels": 133, "patch_size": 4},
            [*INPUT, {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": "True", "channel_wise": "True"}, TYPED],
            sliding(0.7),
            [SOFTMAX, invert(False), ARGMAX, SAVED],
        ),
        metadata("MRI", ["background", *(f"region {i}" for i in range(1, 133))], CUBE),
    ),
    "ventricular_short_axis_3label": (
        config(
            unet(4, [16, 32, 64, 128, 256], dims=2),
            [
                {**INPUT[0], "image_only": False},
                INPUT[1],
                {"_target_": "ScaleIntensityd", "keys": "image"},
                {**TYPED, "device": "@device"},
            ],
            {"_target_": "SliceInferer", "roi_size": [256, 256], "spatial_dim": 2},
            [SOFTMAX, invert(False), ARGMAX, SAVED],
        ),
        metadata("MR", ["background", "left ventricle", "myocardium", "right ventricle"], [256, 256]),
    ),
    "breast_density_classification": (
        config(
            {
                "_target_": "TorchVisionFCModel",
                "model_name": "inception_v3",
                "aux_logits": False,
                "num_classes": 4,
                "in_channels": 2048,
                "use_conv": False,
                "pool": "",
            },
            [
                *INPUT,
                {"_target_": "ScaleIntensityd", "keys": "image", "minv": 0.0, "maxv": 1.0},
                {"_target_": "Resized", "keys": "image", "spatial_size": [299, 299]},
            ],
            {"_target_": "SimpleInferer"},
            [
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
            ],
        ),
        metadata("Mammogram", ["A", "B", "C", "D"], [299, 299], 3),
    ),
    "endoscopic_inbody_classification": (
        config(
            {"_target_": "SEResNet50", "spatial_dims": 2, "in_channels": 3, "num_classes": 2},
            [
                INPUT[0],
                {"_target_": "AsChannelFirstd", "keys": "image"},
                {"_target_": "Resized", "keys": "image", "spatial_size": [256, 256], "mode": "bilinear"},
                {"_target_": "CastToTyped", "dtype": "$torch.float32", "keys": "image"},
                {"_target_": "NormalizeIntensityd", "nonzero": True, "channel_wise": True, "keys": "image"},
                TYPED,
            ],
            {"_target_": "SimpleInferer"},
            [{"_target_": "AsDiscreted", "argmax": True, "to_onehot": 2, "keys": ["pred"]}],
        ),
        metadata("RGB", ["inbody", "outbody"], [256, 256], 3),
    ),
    "pathology_tumor_detection": (
        config(
            {"_target_": "TorchVisionFCModel", "model_name": "resnet18", "num_classes": 1, "use_conv": True, "pretrained": True},
            [
                {"_target_": "CastToTyped", "keys": "image", "dtype": "float32"},
                {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0.0, "a_max": 255.0, "b_min": -1.0, "b_max": 1.0},
                {"_target_": "ToTensord", "keys": "image"},
            ],
            {"_target_": "SimpleInferer"},
            [
                {"_target_": "EnsureTyped", "keys": "pred"},
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {"_target_": "ToNumpyd", "keys": "pred"},
            ],
            patch_size=[224, 224],
            dataset={"_target_": "MaskedPatchWSIDataset", "data": "@datalist", "patch_size": "@patch_size"},
        ),
        metadata("Pathology", ["tumor"], [224, 224], 3),
    ),
}

# Four sequences at once; not among the ten, which the first tests count on.
BRATS = (
    config(
        {
            "_target_": "SegResNet",
            "blocks_down": [1, 2, 2, 4],
            "blocks_up": [1, 1, 1],
            "init_filters": 8,  # the zoo's has 16
            "in_channels": 4,
            "out_channels": 3,
            "dropout_prob": 0.2,
        },
        [INPUT[0], {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True}],
        {"_target_": "SlidingWindowInferer", "roi_size": [240, 240, 160], "sw_batch_size": 1, "overlap": 0.5},
        [
            {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
            invert(False),
            {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
            SAVED,
        ],
    ),
    metadata("MR", ["Tumor core", "Whole tumor", "Enhancing tumor"], ["8*n", "8*n", "8*n"], 4),  # type: ignore[list-item]
)
BRATS[1]["network_data_format"]["inputs"]["image"]["channel_def"] = {"0": "T1c", "1": "T1", "2": "T2", "3": "FLAIR"}
ALL = {**ZOO, "brats_mri_segmentation": BRATS}


def write(folder: Path, name: str, **changes: Any) -> Path:
    """The bundle's configs; weights are to be added."""
    configuration, about = ALL[name]
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps({**configuration, **changes}))
    (folder / "configs" / "metadata.json").write_text(json.dumps({**about, "name": name}))
    return folder


def random_weights(folder: Path, definition: dict[str, Any]) -> None:
    """``models/model.pt``: the architecture of a configuration as it comes from MONAI, never trained."""
    import torch

    from inference.importing import torch_networks

    torch.manual_seed(1)
    arguments = {k: v for k, v in definition.items() if k != "_target_"}
    network = torch_networks.monai_network(definition["_target_"], arguments)
    torch.save(network.state_dict(), folder / "models" / "model.pt")


def stand_in(folder: Path, channels: int) -> None:
    """``models/model.ts``: a small network that answers like one whose architecture is code of the bundle."""
    import torch

    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(4, channels, 1)).eval()
    torch.jit.trace(network, torch.zeros(1, 1, 32, 32, 32)).save(str(folder / "models" / "model.ts"))
