"""What highdicom leaves to do in the multi-frame objects it makes."""

from pydicom.dataset import Dataset

from sr_writer.grid import Grid


def number_frames(dataset: Dataset, grid: Grid) -> None:
    """highdicom saw the chosen frames alone and counted them from 1; these are their numbers in the image."""
    groups = dataset.PerFrameFunctionalGroupsSequence
    items = [group.DerivationImageSequence[0].SourceImageSequence[0] for group in groups]
    for source in {id(item): item for item in items}.values():  # frames of several segments share the item of their plane
        source.ReferencedFrameNumber = grid.planes[int(source.ReferencedFrameNumber) - 1].frame


def derive_dimension(dataset: Dataset, uid: str) -> None:
    """highdicom draws the Dimension Organization UID at random (PS3.3 C.7.6.17)."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.get("DimensionIndexSequence", ())):
        item.DimensionOrganizationUID = uid
