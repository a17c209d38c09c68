"""True-colour Secondary Capture (PS3.3 A.8.1): pictures of the result for archives and viewers that show nothing but images.

Single-frame objects: old archives and viewers take Secondary Capture Image Storage, many of them not its multi-frame successors.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from domain.results import Analysis, KeyImage
from sr_writer.codes import SOURCE_IMAGE, concept
from sr_writer.heading import Heading
from sr_writer.picture import Sizes, sheets
from sr_writer.telling import DISCLAIMER

ROLE: Final = "sc"
_LONGEST_COMMENT: Final = 10240  # characters of VR LT (PS3.5 table 6.2-1)


def captures(analysis: Analysis, images: Mapping[str, Dataset], heading: Heading, words: str) -> list[tuple[str, Dataset]]:
    """One object per picture, as role ("sc-1", "sc-2" ...) and data set; all in one series. ``words`` go into its description."""
    found = []
    model = f"{heading.algorithm.name} {heading.algorithm.version}"
    for number, (sheet, keys) in enumerate(sheets(analysis, sizes_of(images), model), 1):
        found.append((f"{ROLE}-{number}", _capture(sheet, keys, number, analysis, images, heading, words)))
    return found


def sizes_of(images: Mapping[str, Dataset]) -> Sizes:
    """(columns, rows) of each image, or of its total pixel matrix, by SOP Instance UID."""
    return {
        uid: (int(ds.get("TotalPixelMatrixColumns") or ds.Columns), int(ds.get("TotalPixelMatrixRows") or ds.Rows))
        for uid, ds in images.items()
    }


def _capture(
    sheet: Image.Image, keys: Sequence[KeyImage], number: int,
    analysis: Analysis, images: Mapping[str, Dataset], heading: Heading, words: str,
) -> Dataset:  # fmt: skip
    dataset = heading.begin(SecondaryCaptureImageStorage, "OT", ROLE, number)
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.PatientOrientation = ""
    dataset.ImageComments = f"{analysis.summary} {DISCLAIMER}."[:_LONGEST_COMMENT]
    dataset.DerivationDescription = DISCLAIMER
    _set_pixels(dataset, sheet)
    shown = [key for key in keys if key.sop_instance_uid in images]
    dataset.BurnedInAnnotation = burned_in(images[key.sop_instance_uid] for key in shown)
    if shown:
        dataset.SourceImageSequence = [_source(images[key.sop_instance_uid], key) for key in _once(shown)]
        _copy_loss(dataset, images[shown[0].sop_instance_uid])
    heading.finish(dataset, heading.describe(words))
    dataset.DateOfSecondaryCapture, dataset.TimeOfSecondaryCapture = dataset.ContentDate, dataset.ContentTime
    return dataset


def _set_pixels(dataset: Dataset, sheet: Image.Image) -> None:
    """Image Pixel module (PS3.3 C.7.6.3)."""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.Rows, dataset.Columns = sheet.height, sheet.width
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    data = sheet.tobytes()
    dataset.PixelData = data + b"\x00" * (len(data) % 2)
    dataset["PixelData"].VR = "OB"


def _once(keys: Sequence[KeyImage]) -> list[KeyImage]:
    """A gallery shows one image many times and names it once."""
    return list({(key.sop_instance_uid, key.frame): key for key in keys}.values())


def _source(image: Dataset, key: KeyImage) -> Dataset:
    item = reference(image, key.frame)
    item.PurposeOfReferenceCodeSequence = [concept(SOURCE_IMAGE)]
    return item


def reference(image: Dataset, frame: int | None = None) -> Dataset:
    """Image SOP Instance Reference (PS3.3 table 10-3)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    if frame is not None and int(image.get("NumberOfFrames") or 1) > 1:
        item.ReferencedFrameNumber = frame
    return item


def burned_in(sources: Iterable[Dataset]) -> str:
    """Nothing of ours is (PS3.3 C.7.6.1); what is burned into the pixels of a source stays visible in what is drawn on it."""
    return "YES" if any(source.get("BurnedInAnnotation") == "YES" for source in sources) else "NO"


def _copy_loss(dataset: Dataset, image: Dataset) -> None:
    """What was compressed with loss stays so, whatever is made of it (PS3.3 C.7.6.1.1.5)."""
    if image.get("LossyImageCompression") == "01":
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if keyword in image:
                dataset[keyword] = image[keyword]
