"""Reads ``package.toml`` of a package over images or slides, strictly."""

from collections.abc import Iterable

from domain.errors import PackageError
from inference.about import read_about
from inference.images.contract import (
    CEILING_PIXELS,
    CEILING_SLIDE,
    KINDS,
    OUTPUTS,
    Contract,
    Crops,
    Frames,
    Head,
    Manifest,
    Network,
    ObjectRule,
    Output,
    Quality,
    Tissue,
    Tolerances,
)
from inference.keys import Table, known_segments


def read_manifest(data: object, known: Iterable[int]) -> Manifest:
    """``package.toml`` parsed; ``known`` are the segment numbers; raises PackageError."""
    table = Table(data, "package.toml")
    about = read_about(table)
    contract = _contract(table.table("input"))
    network = _network(table.table("network"), contract.kind, tuple(known))
    manifest = Manifest(
        about=about,
        contract=contract,
        quality=_quality(table.table("quality")) if "quality" in table else None,
        network=network,
        objects=tuple(_objects(item, network) for item in table.tables("objects", optional=True)),
        crops=_crops(table.table("crops"), tuple(known)) if "crops" in table else None,
        frames=_frames(table.table("frames") if "frames" in table else Table({}, "package.toml: frames")),
        tissue=_tissue(table.table("tissue") if "tissue" in table else Table({}, "package.toml: tissue")),
        tolerances=_tolerances(table.table("precision")),
        peak_memory_mb=table.integer("peak_memory_mb", 1, 10_000_000, 0) if "peak_memory_mb" in table else 0,
    )
    table.done()
    return _consistent(manifest)


def _consistent(manifest: Manifest) -> Manifest:
    outputs = manifest.network.outputs
    if len({output.name for output in outputs}) != len(outputs):
        raise PackageError("package.toml: network: outputs: the names must all be different")
    kinds = [output.kind for output in outputs if output.kind != "scores"]
    if len(set(kinds)) != len(kinds):
        raise PackageError("package.toml: network: outputs: only 'scores' may be there more than once")
    if "sizes" in kinds and "centres" not in kinds:
        raise PackageError("package.toml: network: outputs: 'sizes' belong to 'centres'")
    classes = [number for rule in manifest.objects for number in rule.classes]
    if len(set(classes)) != len(classes):
        raise PackageError("package.toml: objects: each class comes from one [[objects]] only")
    if manifest.crops is not None and not manifest.objects:
        raise PackageError("package.toml: crops are of objects: there must be [[objects]]")
    heads = [output.name for output in outputs if output.kind == "scores"]
    heads += [head.name for head in manifest.crops.heads] if manifest.crops else []
    if len(set(heads)) != len(heads):
        raise PackageError("package.toml: the names of all outputs with scores must be different")
    return manifest


def _contract(table: Table) -> Contract:
    kind = table.choice("kind", KINDS)
    slide = kind == "slide"
    modalities = table.take("modality")
    if not isinstance(modalities, list) or not 1 <= len(modalities) <= 32 or not all(_is_modality(m) for m in modalities):
        raise table.wrong("modality", "a list of values of Modality, such as ['US']")
    contract = Contract(
        kind=kind,
        modalities=tuple(modalities),
        scope="series" if slide else table.choice("scope", ("study", "series"), "study"),
        colour=table.choice("colour", ("any", "rgb"), "any"),
        view="image" if slide else table.choice("view", ("image", "region"), "image"),
        min_images=1 if slide else table.integer("min_images", 1, 10_000, 1),
        max_images=table.integer("max_images", 1, 100_000, 4000),
        min_rows=table.integer("min_rows", 1, 65535, 32),
        min_columns=table.integer("min_columns", 1, 65535, 32),
        max_pixels=table.integer("max_pixels", 1, CEILING_PIXELS, 10**8),
        max_slide_pixels=table.integer("max_slide_pixels", 1, CEILING_SLIDE, 40 * 10**9) if kind != "images" else 0,
        um_per_pixel=_range(table, "um_per_pixel") if kind != "images" else (),
        field_mm2=table.number("field_mm2", 0.0, 100.0, 0.0) if kind != "images" else 0.0,
    )
    table.done()
    return contract


def _is_modality(value: object) -> bool:
    return isinstance(value, str) and value.isalnum() and value.isupper() and len(value) <= 16


def _range(table: Table, key: str, low: float = 0.001, high: float = 10_000) -> tuple[float, ...]:
    least, greatest = table.numbers(key, 2, 2, low, high)
    if least >= greatest:
        raise table.wrong(key, "the least and the greatest value, in this order")
    return (least, greatest)


def _quality(table: Table) -> Quality:
    quality = Quality(
        min_focus=table.number("min_focus", 0, 1e6, 0.0),
        min_contrast=table.number("min_contrast", 0, 255, 0.0),
        brightness=_range(table, "brightness", 0, 255) if "brightness" in table else (0.0, 255.0),
    )
    table.done()
    return quality


def _network(table: Table, kind: str, known: tuple[int, ...]) -> Network:
    rows, columns = table.integers("size", 2, 2, 16, 4096)
    way = table.choice("way", ("tiles",) if kind == "slide" else ("whole", "tiles"))
    tiles = way == "tiles"
    cut = tiles or kind == "any"  # a slide is always read in tiles
    outputs = tuple(_output(output, known) for output in table.tables("outputs"))
    network = Network(
        file=table.text("file", 100),
        input=table.text("input", 100),
        size=(rows, columns),
        way=way,
        scale=table.number("scale", 0.01, 8, 1.0) if tiles and kind != "slide" else 1.0,
        um_per_pixel=table.number("um_per_pixel", 0.05, 100) if kind != "images" else 0.0,
        overlap=table.integer("overlap", 0, min(rows, columns) // 2, min(rows, columns) // 8) if cut else 0,
        blend=table.choice("blend", ("gaussian", "constant"), "gaussian") if cut else "constant",
        outputs=outputs,
        fit="letterbox" if tiles else table.choice("fit", ("letterbox", "stretch"), "letterbox"),
    )
    table.done()
    if not outputs:
        raise table.wrong("outputs", "a list of at least one output")
    return network


def _output(table: Table, known: tuple[int, ...]) -> Output:
    kind = table.choice("kind", OUTPUTS)
    has_classes = kind not in ("sizes", "scores")
    output = Output(
        name=table.text("name", 100),
        kind=kind,
        classes=known_segments(table, "classes", known) if has_classes else (),
        values=texts(table, "values") if kind == "scores" else (),
    )
    table.done()
    return output


def texts(table: Table, key: str, most: int = 64) -> tuple[str, ...]:
    """A list of different short names."""
    values = table.take(key)
    if not isinstance(values, list) or not 1 <= len(values) <= most or len(set(map(str, values))) != len(values):
        raise table.wrong(key, f"a list of 1 to {most} different names")
    items = Table({str(i): value for i, value in enumerate(values)}, f"{table.where}: {key}")
    return tuple(items.text(str(i), 48) for i in range(len(values)))


def _objects(table: Table, network: Network) -> ObjectRule:
    sources = {output.name: output for output in network.outputs if output.kind not in ("sizes", "scores")}
    source = sources[table.choice("from", sources)]
    classes = known_segments(table, "classes", source.classes) if "classes" in table else source.classes
    rule = ObjectRule(
        source=source.name,
        kind=source.kind,
        classes=classes,
        min_score=table.number("min_score", 0, 1, 0.0 if source.kind in ("labels", "probability") else 0.5),
        min_distance=table.number("min_distance", 0, 4096, 0.0),
        iou=table.number("nms_iou", 0.01, 1, 0.5),
        side=table.number("side", 1, 4096, 16.0),
        threshold=table.number("threshold", 0.01, 0.99, 0.5),
        min_area=table.number("min_area", 0, 1e9, 0.0),
        fill_holes=table.flag("fill_holes", False),
        keep_largest=table.integer("keep_largest", 0, 1000, 0),
        connectivity=table.integer("connectivity", 1, 2, 1),
        most=table.integer("most", 1, 100_000, 10_000),
    )
    table.done()
    return rule


def _crops(table: Table, known: tuple[int, ...]) -> Crops:
    crops = Crops(
        file=table.text("file", 100),
        input=table.text("input", 100),
        size=table.integer("size", 8, 1024),
        margin=table.number("margin", 0.5, 10, 1.5),
        side=table.number("side", 0, 4096, 0.0),
        mask=table.flag("mask", False),
        classes=known_segments(table, "classes", known) if "classes" in table else known,
        most=table.integer("most", 1, 100_000, 2000),
        heads=tuple(_head(head, known) for head in table.tables("outputs")),
    )
    table.done()
    if not crops.heads or len({head.name for head in crops.heads}) != len(crops.heads):
        raise table.wrong("outputs", "a list of outputs with different names")
    return crops


def _head(table: Table, known: tuple[int, ...]) -> Head:
    values = texts(table, "values")
    classes = table.integers("classes", 1, 64, 0, 255) if "classes" in table else ()
    if classes and (len(classes) != len(values) or not {0, *known}.issuperset(classes)):
        raise table.wrong("classes", "one segment number for each of 'values' (0: the object is dropped)")
    head = Head(table.text("name", 100), values, classes)
    table.done()
    return head


def _frames(table: Table) -> Frames:
    frames = Frames(
        together=table.flag("together", False),
        best=table.choice("best", ("score", "area"), "score"),
        iou=table.number("iou", 0.05, 0.95, 0.3),
        gap=table.integer("gap", 0, 100, 3),
        min_frames=table.integer("min_frames", 1, 1000, 1),
    )
    table.done()
    return frames


def _tissue(table: Table) -> Tissue:
    tissue = Tissue(
        min_saturation=table.integer("min_saturation", 0, 255, 15),
        max_brightness=table.integer("max_brightness", 1, 255, 220),
        min_fraction=table.number("min_fraction", 0, 1, 0.01),
    )
    table.done()
    return tissue


def _tolerances(table: Table) -> Tolerances:
    tolerances = Tolerances(
        count_percent=table.number("count_percent", 0, 100, 2.0),
        count_absolute=table.number("count_absolute", 0, 1000, 1.0),
        score_absolute=table.number("score_absolute", 0, 1, 0.05),
        f1=table.number("f1", 0, 1, 0.95),
        dice=table.number("dice", 0, 1, 0.95),
        quantity_percent=table.number("quantity_percent", 0, 100, 3.0),
        quantity_absolute=table.number("quantity_absolute", 0, 1000, 0.5),
        int8=table.flag("int8", False),
    )
    table.done()
    return tolerances
