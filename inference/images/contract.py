"""What ``package.toml`` of a package over images or slides says, as frozen values."""

from dataclasses import dataclass

from inference.about import About

KINDS = ("images", "slide", "any")
OUTPUTS = ("labels", "probability", "centres", "sizes", "boxes", "scores")
CEILING_PIXELS = 1_000_000_000
CEILING_SLIDE = 400_000_000_000


@dataclass(frozen=True, slots=True)
class Contract:
    """What images must be like to be analysed. ``um_per_pixel``: limits of the finest resolution of a slide, or empty.

    ``kind`` "any" takes images, and a slide where there are none. ``field_mm2``: what counts as one field on a slide; 0: all.
    """

    kind: str
    modalities: tuple[str, ...]
    scope: str  # "study": every image that fits is one analysis; "series": those of the series with the most
    colour: str  # "any": gray is shown as gray; "rgb": gray images do not fit
    view: str  # "image", or "region": the ultrasound region with the tissue, where the image says it
    min_images: int
    max_images: int
    min_rows: int
    min_columns: int
    max_pixels: int  # of one image
    max_slide_pixels: int  # of the finest level of a slide
    um_per_pixel: tuple[float, ...]
    field_mm2: float


@dataclass(frozen=True, slots=True)
class Quality:
    """An image with less focus, or mean brightness outside the limits, is left out (inference/images/quality.py)."""

    min_focus: float
    min_contrast: float
    brightness: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor. ``classes``: segment numbers of its channels (or of its label values); ``values``: of scores."""

    name: str
    kind: str
    classes: tuple[int, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """How the network is fed. Lengths are pixels of its input; ``scale`` is input pixels per stored pixel (images, tiles)."""

    file: str
    input: str
    size: tuple[int, int]
    way: str  # "whole" or "tiles"; a slide is read in tiles of ``size`` whatever the way of images
    scale: float
    um_per_pixel: float  # slides
    overlap: int
    blend: str
    outputs: tuple[Output, ...]
    fit: str = "letterbox"  # way "whole": or "stretch", which does not keep the aspect

    def output(self, kind: str) -> Output | None:
        """The output of this kind, if there is one (scores: the first)."""
        return next((output for output in self.outputs if output.kind == kind), None)


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """How one output becomes objects. Lengths and areas are pixels of the network's input; 0 asks for nothing."""

    source: str  # name of the output
    kind: str
    classes: tuple[int, ...]
    min_score: float
    min_distance: float
    iou: float
    side: float  # of an object whose size nobody tells
    threshold: float
    min_area: float
    fill_holes: bool
    keep_largest: int
    connectivity: int
    most: int  # per image, best first


@dataclass(frozen=True, slots=True)
class Head:
    """One output of the second network: the probability of each of ``values``. ``classes``: the winner becomes the object's
    class, and its probability the score; 0: the object is dropped."""

    name: str
    values: tuple[str, ...]
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Crops:
    """The second network, which looks at a square around each object. ``side`` 0: ``margin`` times the object's longer side."""

    file: str
    input: str
    size: int
    margin: float
    side: float
    mask: bool
    classes: tuple[int, ...]
    most: int
    heads: tuple[Head, ...]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a cine: objects that overlap from frame to frame are one. ``best``: by score or by area."""

    together: bool
    best: str
    iou: float
    gap: int
    min_frames: int


@dataclass(frozen=True, slots=True)
class Tissue:
    """Tiles of a slide with less than ``min_fraction`` of tissue are not looked at (inference/slides/tissue.py)."""

    min_saturation: int
    max_brightness: int
    min_fraction: float


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far a golden case may differ."""

    count_percent: float
    count_absolute: float
    score_absolute: float
    f1: float
    dice: float
    quantity_percent: float
    quantity_absolute: float
    int8: bool = False  # there is an INT8 form of the network too


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of ``package.toml``."""

    about: About
    contract: Contract
    quality: Quality | None
    network: Network
    objects: tuple[ObjectRule, ...]
    crops: Crops | None
    frames: Frames
    tissue: Tissue
    tolerances: Tolerances
    peak_memory_mb: int = 0  # most resident memory a job of this model needs (MB of 10^6 bytes); 0: not said
