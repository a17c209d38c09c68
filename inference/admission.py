"""What a series must be like to be analysed: the table ``[input]`` of ``package.toml`` for volumes."""

from dataclasses import dataclass

from inference.keys import Table
from inference.planes import PLANES
from inference.units import OF_MODALITY

CEILING_VOXELS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Contract:
    """What a series must be like to be analysed; distances in mm, angles in degrees."""

    modality: str
    orientation: str
    tolerance_deg: float
    min_slices: int
    slice_spacing: tuple[float, ...]
    gap_factor: float
    max_missing: int
    spacing_variation: float
    pixel_spacing: tuple[float, ...]
    min_rows: int
    min_columns: int
    max_voxels: int
    units: str = "HU"


def read_contract(table: Table) -> Contract:
    """The table ``[input]``, but for its ``channels``; raises PackageError."""
    modality = table.choice("modality", tuple(OF_MODALITY))
    table.choice("kind", ("volume",), "volume")
    return Contract(
        modality=modality,
        units=table.choice("units", OF_MODALITY[modality]),
        orientation=table.choice("orientation", (*PLANES, "any")),
        tolerance_deg=table.number("orientation_tolerance_deg", 0, 45),
        min_slices=table.integer("min_slices", 2, 10_000),
        slice_spacing=read_range(table, "slice_spacing_mm"),
        gap_factor=table.number("gap_factor", 1.1, 10, default=1.5),
        max_missing=table.integer("max_missing_slices", 0, 100, default=0),
        spacing_variation=table.number("spacing_variation", 0.001, 0.5, default=0.1),
        pixel_spacing=read_range(table, "pixel_spacing_mm"),
        min_rows=table.integer("min_rows", 1, 65535),
        min_columns=table.integer("min_columns", 1, 65535),
        max_voxels=table.integer("max_voxels", 1, CEILING_VOXELS, default=800_000_000),
    )


def read_range(table: Table, key: str) -> tuple[float, ...]:
    """The least and the greatest value of something in mm."""
    low, high = table.numbers(key, 2, 2, 0.001, 1000)
    if low >= high:
        raise table.wrong(key, "the least and the greatest value, in this order")
    return (low, high)
