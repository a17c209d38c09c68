"""What a model found, in the terms of the report: the seam between inference and sr_writer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from domain.errors import Reason
from domain.jobs import Outcome


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 section 8): ``scheme`` is DCM, SCT, UCUM or a private 99... designator."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its UCUM unit (PS3.16 TID 300)."""

    name: Code
    value: float
    unit: Code
    derivation: Code | None = None  # (121401, DCM, "Derivation"): mean, maximum ...
    method: Code | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A coded statement (PS3.16 TID 1501, Qualitative Evaluation)."""

    name: Code
    value: Code


@dataclass(frozen=True, slots=True)
class Outline:
    """A closed 2D polygon on one source image (PS3.3 C.18.6).

    ``points`` is float64 (N, 2) of (column, row) in pixels of that image: the outer corner of the first pixel is (0, 0),
    its centre (0.5, 0.5). The last point repeats the first.
    """

    sop_instance_uid: str
    points: npt.NDArray[np.float64]
    frame: int | None = None  # 1-based, for multi-frame sources


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line on one source image, with what it measures (a long axis); ``points`` is float64 (2, 2), as in Outline."""

    name: Code
    sop_instance_uid: str
    points: npt.NDArray[np.float64]
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """How one segment is described in the SEG; ``number`` is its value in the label layers and starts at 1."""

    number: int
    label: str
    category: Code
    type: Code
    colour: tuple[int, int, int]  # sRGB 0-255; written as CIELab
    tracking_id: str
    site: Code | None = None
    laterality: Code | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, with everything that is said about it (one measurement group).

    ``tracking_id`` is stable over revisions and re-runs ("<package id>/<segment or finding name>/<n>").
    A finding with an ``outline`` is drawn in the main SR; one with ``segment`` also gets its volumetric group.
    ``label`` is what people call it ("Nodule 1"); empty: what the segment is called.
    """

    tracking_id: str
    finding: Code
    site: Code | None = None
    laterality: Code | None = None
    segment: int | None = None
    outline: Outline | None = None
    measurements: tuple[Measurement, ...] = ()  # of the whole finding (volume, mean HU ...)
    outline_measurements: tuple[Measurement, ...] = ()  # true of the outline alone (its area on the key image)
    evaluations: tuple[Evaluation, ...] = ()
    lines: tuple[Line, ...] = ()  # long and short axis, as drawn
    label: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said about the study as a whole (TID 1501 group): percent of lung affected, severity score, the negative.

    With ``sop_instance_uid`` it is said of that image alone (and of one frame of it).
    """

    tracking_id: str
    finding: Code
    measurements: tuple[Measurement, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    sop_instance_uid: str = ""
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """Label maps on the grid of the source images.

    ``layers`` is uint8 or uint16, (layers, slices, rows, columns); the value of a voxel is a Segment.number or 0. Segments
    of one layer exclude each other; segments of different layers may overlap (a lesion lies in a lung).
    ``sop_instance_uids`` names the source image of each slice, in the order of the slices; ``frames`` the frame of each
    (1-based) where the images are multi-frame, else it is empty. On a slide there is one slice: the total pixel matrix of the
    named instance, which is one level of the pyramid, or that matrix ``reduced`` by a whole number: then each pixel covers
    so many rows and columns of the level (the last ones may reach beyond it), and the first pixel begins where the level begins.
    """

    layers: npt.NDArray[np.unsignedinteger]
    sop_instance_uids: tuple[str, ...]
    frames: tuple[int, ...] = ()
    reduced: int = 1

    def mask(self, number: int) -> npt.NDArray[np.bool_]:
        """Voxels of one segment, (slices, rows, columns)."""
        mask: npt.NDArray[np.bool_] = (self.layers == number).any(axis=0)
        return mask


@dataclass(frozen=True, slots=True)
class Field:
    """A numeric value at each pixel of the source grid: the probability of one segment, or another map (heat map).

    ``values`` is float32 (slices, rows, columns); ``sop_instance_uids``, ``frames`` and ``reduced`` as in Labels. ``segment`` is
    the Segment.number whose probability (0 to 1) this is, or 0.
    """

    name: Code
    unit: Code
    values: npt.NDArray[np.float32]
    sop_instance_uids: tuple[str, ...]
    frames: tuple[int, ...] = ()
    segment: int = 0
    reduced: int = 1


@dataclass(frozen=True, slots=True)
class Marks:
    """Many small things of one kind on one image: bacilli, cells (a group of Microscopy Bulk Simple Annotations, PS3.3 A.87).

    ``points`` is float32 (count, corners, 2) of (column, row) as in Outline, in the total pixel matrix on slides; one corner is
    a point, two are the ends of a line, four the corners of a rectangle. ``scores`` is float32 (count,) of 0 to 1, or None.
    """

    tracking_id: str
    label: str
    category: Code
    type: Code
    sop_instance_uid: str
    points: npt.NDArray[np.float32]
    colour: tuple[int, int, int]  # sRGB 0-255
    scores: npt.NDArray[np.float32] | None = None
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class KeyImage:
    """A source image, or a part of one, as a person would look at it.

    ``pixels`` is uint8 (rows, columns), window already applied, or uint8 (rows, columns, 3) of RGB. ``region`` is what it shows
    of the source: first column, first row, columns, rows in pixels of that image; None: all of it. It may be shown reduced.
    ``window`` is the centre and width that were applied, in modality values (HU), where it was one.
    """

    sop_instance_uid: str
    pixels: npt.NDArray[np.uint8]
    caption: str = ""
    frame: int | None = None  # 1-based, for multi-frame sources
    region: tuple[int, int, int, int] | None = None
    window: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class SeriesRead:
    """A series that a network saw together with others: which channel it was, under the name the package gives it."""

    channel: str
    series_uid: str
    series_number: int | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """The whole answer of one model to one study. ``summary`` is one sentence for the radiologist, without patient data."""

    outcome: Outcome
    summary: str
    series_uid: str  # the series analysed, or the one that should have been
    segments: tuple[Segment, ...] = ()
    labels: Labels | None = None
    findings: tuple[Finding, ...] = ()
    statements: tuple[Statement, ...] = ()
    key_images: tuple[KeyImage, ...] = ()  # the telling images, best first; every outline lies on one of them
    reason: Reason | None = None  # of NOT_ANALYSED
    notes: tuple[str, ...] = field(default=())  # limits that applied ("2 of 154 slices missing")
    marks: tuple[Marks, ...] = ()
    fields: tuple[Field, ...] = ()
    partial: bool = False  # something that should have been analysed was missing: the notes say what
    translations: Mapping[str, str] = field(default_factory=dict, hash=False)  # the summary in other languages ("de")
    channels: tuple[SeriesRead, ...] = ()  # of a network that sees several series at once; the first is ``series_uid``


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Who says so: name, version and digest of the model package, and what the reader must know about it."""

    package_id: str
    name: str
    version: str
    digest: str
    manufacturer: str
    disclaimer: str  # "AI result, research use, not for primary diagnosis"
    procedure: Code  # Procedure Reported (PS3.16 TID 1500 row 8, CID 100): the imaging procedure, not the algorithm
    precision: str = ""
    slot: int = 0  # position of the package in the configuration: SeriesNumber 9000 + 10 x slot
