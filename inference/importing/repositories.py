"""Model repositories of NVIDIA Triton and OpenVINO Model Server: the newest version of the one model in them."""

import re
from dataclasses import replace
from typing import Any

from domain.errors import PackageError
from inference.importing import model_api, networks, single
from inference.importing.draft import Draft
from inference.importing.options import Options
from inference.importing.tree import Tree

TRITON, OVMS = "Triton repository", "OpenVINO Model Server repository"
_VERSION = re.compile(r"^(?:(?P<model>.*)/)?(?P<version>\d+)/(?P<file>[^/]+|model\.savedmodel/.+)$")
_READABLE = (".onnx", ".xml", ".pt")


def is_triton(tree: Tree) -> bool:
    """Whether there is a config.pbtxt."""
    return bool(tree.named("config.pbtxt"))


def is_ovms(tree: Tree) -> bool:
    """Whether there are numbered versions, with or without a config.json."""
    listed = "config.json" in tree and isinstance(data := tree.data("config.json"), dict) and "model_config_list" in data
    return bool(listed or any(name.endswith(_READABLE) for name in _versions(tree)))


def triton(tree: Tree, options: Options) -> Draft:
    """The draft; raises PackageError."""
    model, file = _newest(tree, TRITON)
    configs = [n for n in tree.named("config.pbtxt") if n.removesuffix("config.pbtxt").strip("/") == model]
    config = Prototext(tree.text(configs[0])) if configs else Prototext("")
    platform = config.word("platform") or config.word("backend")
    if platform in ("tensorrt_plan", "python", "ensemble"):
        raise PackageError(
            f"config.pbtxt: {platform!r} cannot be imported: a network as ONNX, OpenVINO IR, SavedModel or TorchScript can"
        )
    labels = config.word("label_filename")
    options = _with(tree, options, f"{model}/{labels}".strip("/") if labels else "", config.word("name"), config.dims("input"))
    return _delegated(tree, file, options, TRITON)


def ovms(tree: Tree, options: Options) -> Draft:
    """The draft; raises PackageError."""
    name, shape = "", []
    if "config.json" in tree:
        listed = tree.data("config.json").get("model_config_list", [])
        if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
            raise PackageError("config.json: exactly one model can be imported at a time; give the folder of that model")
        config = listed[0].get("config", {})
        name = str(config.get("name", ""))
        shape = [int(n) for n in re.findall(r"-?\d+", str(config.get("shape", "")))]
    _, file = _newest(tree, OVMS)
    return _delegated(tree, file, _with(tree, options, "", name, shape[2:]), OVMS)


def _versions(tree: Tree) -> dict[str, tuple[str, int]]:
    """Files inside numbered folders: model and version of each."""
    found = {}
    for name in tree.files:
        match = _VERSION.match(name)
        if match:
            found[name] = (match["model"] or "", int(match["version"]))
    return found


def _newest(tree: Tree, source: str) -> tuple[str, str]:
    versions = _versions(tree)
    models = sorted({model for model, _ in versions.values()})
    if len(models) != 1:
        raise PackageError(
            f"{source}: {len(models)} models are there ({', '.join(models) or 'none'}); give the folder of one of them"
        )
    version = max(v for _, v in versions.values())
    inside = [name for name, (_, v) in versions.items() if v == version]
    saved = next((name for name in inside if name.endswith("saved_model.pb")), "")
    if saved:
        return models[0], saved.removesuffix("saved_model.pb").rstrip("/")
    readable = [name for name in inside if name.endswith(_READABLE)]
    if len(readable) != 1:
        words = ", ".join(sorted(name.rsplit("/", 1)[-1] for name in inside)) or "nothing"
        raise PackageError(
            f"{source}: version {version} has {words}; exactly one of {' '.join(_READABLE)} or a SavedModel is needed"
        )
    return models[0], readable[0]


def _with(tree: Tree, options: Options, labels_file: str, name: str, dims: list[int]) -> Options:
    labels = options.labels
    if not labels and labels_file:
        labels = [line.strip() for line in tree.text(labels_file).splitlines() if line.strip()]
    size = options.size or [n for n in dims if n > 4]
    fits = len(size) in (2, 3) and all(n > 0 for n in dims)
    return replace(options, labels=labels, size=options.size or (size if fits else []), name=options.name or name)


def _delegated(tree: Tree, file: str, options: Options, source: str) -> Draft:
    if file.endswith(".xml"):
        model = networks.read(tree, file)
        if model_api.Info(model).text("model_type"):
            return model_api.of_model(model, options, options.name or tree.name)
        return single.of_network(tree, file, options, source, model)
    return single.of_network(tree, file, options, source)


class Prototext:
    """As much of protobuf's text format as a config.pbtxt needs: the first word, or the dims of a block."""

    def __init__(self, text: str) -> None:
        self._text = re.sub(r"#[^\n]*", "", text)

    def word(self, key: str) -> str:
        """The first value of a key, or nothing."""
        match = re.search(rf'\b{key}\s*:\s*"([^"]*)"', self._text)
        return match[1] if match else ""

    def dims(self, block: str) -> list[int]:
        """``dims`` of the first such block."""
        match = re.search(rf"\b{block}\s*(?::\s*)?[\[{{].*?\bdims\s*:\s*\[([^\]]*)\]", self._text, re.DOTALL)
        found: Any = re.findall(r"-?\d+", match[1]) if match else []
        return [int(n) for n in found]
