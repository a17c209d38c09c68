"""Parametric Maps (PS3.3 A.75): a value at each pixel of the images, in 32-bit floating point, one object for each map."""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from domain.errors import PermanentError
from domain.results import Analysis, Code, Field
from sr_writer.codes import concept
from sr_writer.document import Document
from sr_writer.grid import Grid, Kind, grid_of
from sr_writer.heading import Heading, short
from sr_writer.multiframe import derive_dimension, number_frames


def maps(analysis: Analysis, headers: Sequence[Dataset], heading: Heading) -> list[Document]:
    """A map for each field; none for images without frame of reference, which the IOD demands.

    Raises PermanentError when values and images disagree, or a value is no finite number.
    """
    made: list[Document] = []
    for field in analysis.fields:
        grid = grid_of(field.sop_instance_uids, field.frames, headers, heading.context.study_uid, field.reduced)
        if grid.kind is not Kind.PLAIN:
            role = "pm" if not made else f"pm-{len(made) + 1}"
            made.append(Document(role, _map(role, field, _label(field, analysis), grid, heading)))
    return made


def _map(role: str, field: Field, label: str, grid: Grid, heading: Heading) -> Dataset:
    if field.values.shape != (len(grid.planes), *grid.shape):
        raise PermanentError("The values of a map are not of the size of the images.")
    if not np.isfinite(field.values).all():
        raise PermanentError("A map has values that are no finite numbers.")
    low, high = float(field.values.min()), float(field.values.max())
    slide = grid.kind is Kind.SLIDE
    # LINEAR takes no window below 1 (PS3.3 C.11.2.1.2), which all probabilities are.
    window = hd.VOILUTTransformation((low + high) / 2, max(high - low, 1e-6), voi_lut_function="LINEAR_EXACT")
    dataset = hd.pm.ParametricMap(
        source_images=grid.sources(grid.planes),
        pixel_array=np.ascontiguousarray(field.values, np.float32),
        manufacturer_model_name=short(heading.algorithm.name),
        software_versions=short(heading.algorithm.version),
        device_serial_number=heading.algorithm.digest[:16] or "0",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(field, label, low, high)],
        voi_lut_transformations=[window],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="AI_MAP",
        content_description=short(heading.algorithm.disclaimer),
        tile_pixel_array=slide,
        dimension_organization_type="TILED_SPARSE" if slide else None,
        pixel_measures=grid.measures,
        **heading.arguments(role),
    )
    dataset.ContentCreatorName = ""  # type 2 (PS3.3 table 10-12); highdicom 0.28 leaves it out, dcmqi refuses without
    if not slide or heading.first.get("BodyPartExamined"):  # specimens have no side
        heading.place(dataset)
    if slide:
        dataset.PatientOrientation = ""
    if grid.kind is Kind.FRAMES:
        number_frames(dataset, grid)
    derive_dimension(dataset, heading.uid(role + "/dimensions"))
    heading.finish(dataset, heading.describe(short(f"map of {label}")[:30].rstrip()))
    return dataset


def _mapping(field: Field, label: str, low: float, high: float) -> hd.pm.RealWorldValueMapping:
    """Stored values are the values themselves (PS3.3 C.7.6.16.2.11)."""
    return hd.pm.RealWorldValueMapping(
        lut_label="AI_MAP",
        lut_explanation=short(label),
        unit=concept(field.unit),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=concept(field.name),
    )


def _label(field: Field, analysis: Analysis) -> str:
    """What the map is of: the segment whose probability it is, or its own name."""
    named = {segment.number: segment.label for segment in analysis.segments}
    name: Code = field.name
    return f"{name.meaning}, {named[field.segment]}" if field.segment in named else name.meaning
