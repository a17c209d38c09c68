"""Synthetic images of other kinds than CT for tests: ultrasound, microscopy and photographs, radiographs; valid objects."""

import numpy as np
import simplejpeg
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    VLMicroscopicImageStorage,
    VLWholeSlideMicroscopyImageStorage,
    generate_uid,
)

SEED = "pictures"


def uid(*words: str, seed: str = SEED) -> str:
    return str(generate_uid(entropy_srcs=[seed, *words]))


def head(modality: str, sop_class: str, number: int = 1, seed: str = SEED, series: int = 1) -> Dataset:
    """Patient, study, series and equipment of an image without its pixels."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid("image", str(series), str(number), seed=seed)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study", seed=seed), uid("series", str(series), seed=seed)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Synthetic^Test", "TEST-2", "", "O"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = "20260101"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = "101500"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "A2", ""
    ds.Modality, ds.Manufacturer, ds.SeriesNumber, ds.InstanceNumber = modality, "Synthetic", series, number
    ds.ImageType, ds.PatientOrientation, ds.Laterality = ["ORIGINAL", "PRIMARY"], "", ""
    return ds


def set_pixels(ds: Dataset, pixels: np.ndarray, photometric: str = "") -> Dataset:
    """Uncompressed; (rows, columns), (frames, rows, columns) or with a last axis of 3."""
    colour = pixels.shape[-1] == 3
    frames = pixels.ndim - (3 if colour else 2)
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = photometric or ("RGB" if colour else "MONOCHROME2")
    if colour:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = pixels.shape[frames : frames + 2]
    if frames:
        ds.NumberOfFrames = len(pixels)
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.dtype.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, 0
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    ds.LossyImageCompression = "00"
    return ds


def jpeg(ds: Dataset, pixels: np.ndarray, quality: int = 95, fragments: int = 1, offsets: bool = True) -> Dataset:
    """The pixels as colour JPEG, 4:2:2, one or more fragments a frame."""
    frames = pixels if pixels.ndim == 4 else pixels[np.newaxis]
    streams = [simplejpeg.encode_jpeg(np.ascontiguousarray(f), quality, "RGB", "422") for f in frames]
    set_pixels(ds, pixels, "YBR_FULL_422")
    ds.PixelData = encapsulate(streams, fragments_per_frame=fragments, has_bot=offsets)
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.LossyImageCompression, ds.LossyImageCompressionMethod, ds.LossyImageCompressionRatio = "01", "ISO_10918_1", "10"
    return ds


def region(box: tuple[int, int, int, int], cm: tuple[float, float], units: int = 3, kind: int = 1) -> Dataset:
    """One item of Sequence of Ultrasound Regions; ``box`` is the first and last column and row."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = kind, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = cm
    return item


def ultrasound(pixels: np.ndarray, regions: list[Dataset] | None = None, number: int = 1, seed: str = SEED) -> Dataset:
    """One image (rows, columns, 3) or a cine (frames, rows, columns, 3)."""
    multi = pixels.ndim == 4
    ds = head("US", UltrasoundMultiFrameImageStorage if multi else UltrasoundImageStorage, number, seed)
    if multi:
        ds.FrameTime, ds.FrameIncrementPointer = "40", 0x00181063
    if regions is not None:
        ds.SequenceOfUltrasoundRegions = regions
    return set_pixels(ds, pixels)


def field(pixels: np.ndarray, number: int = 1, compressed: bool = True, seed: str = SEED, series: int = 1) -> Dataset:
    """A microscopic field."""
    ds = head("GM", VLMicroscopicImageStorage, number, seed, series)
    ds.AcquisitionContextSequence = []
    return jpeg(ds, pixels) if compressed else set_pixels(ds, pixels)


def capture(pixels: np.ndarray, number: int = 1, seed: str = SEED) -> Dataset:
    """A secondary capture."""
    ds = head("OT", SecondaryCaptureImageStorage, number, seed)
    ds.ConversionType = "DI"
    return set_pixels(ds, pixels)


def radiograph(pixels: np.ndarray, photometric: str = "MONOCHROME2", number: int = 1, seed: str = SEED) -> Dataset:
    """A computed radiograph of 12 bits in 16."""
    ds = set_pixels(head("CR", ComputedRadiographyImageStorage, number, seed), pixels.astype(np.uint16), photometric)
    ds.BitsStored, ds.HighBit = 12, 11
    ds.ImagerPixelSpacing, ds.ViewPosition, ds.BodyPartExamined = ["0.2", "0.2"], "PA", "CHEST"
    return ds


def level(pixels: np.ndarray, tile: int, um: float, number: int = 1, syntax: str = "", order: list[int] | None = None) -> Dataset:
    """One level of a slide (rows, columns, 3) in tiles; ``order`` makes it TILED_SPARSE with these tiles in this order.

    ``syntax`` is a transfer syntax to compress to; JPEG (the default of slides) is lossy.
    """
    rows, columns = pixels.shape[:2]
    down, across = -(-rows // tile), -(-columns // tile)
    padded = np.full((down * tile, across * tile, 3), 255, np.uint8)
    padded[:rows, :columns] = pixels
    places = [(row, column) for row in range(down) for column in range(across)]
    chosen = [places[i] for i in order] if order is not None else places
    tiles = np.stack([padded[r * tile : (r + 1) * tile, c * tile : (c + 1) * tile] for r, c in chosen])
    ds = head("SM", VLWholeSlideMicroscopyImageStorage, number)
    if syntax == JPEGBaseline8Bit:
        jpeg(ds, tiles)
    else:
        set_pixels(ds, tiles)
    ds.NumberOfFrames = len(tiles)
    ds.ImageType = ["ORIGINAL" if number == 1 else "DERIVED", "PRIMARY", "VOLUME", "NONE" if number == 1 else "RESAMPLED"]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("slide"), "SLIDE_CORNER"
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns, ds.TotalPixelMatrixFocalPlanes = rows, columns, 1
    ds.ImagedVolumeWidth, ds.ImagedVolumeHeight, ds.ImagedVolumeDepth = columns * um / 1000, rows * um / 1000, 0.001
    ds.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20.0, 40.0
    ds.TotalPixelMatrixOriginSequence = [origin]
    ds.FocusMethod, ds.ExtendedDepthOfField, ds.SpecimenLabelInImage, ds.BurnedInAnnotation = "AUTO", "NO", "NO", "NO"
    ds.AcquisitionContextSequence, ds.ContainerIdentifier, ds.IssuerOfTheContainerIdentifierSequence = [], "S1", []
    ds.ContainerTypeCodeSequence, ds.VolumetricProperties = [], "VOLUME"
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = "S1", uid("specimen")
    specimen.IssuerOfTheSpecimenIdentifierSequence, specimen.SpecimenPreparationSequence = [], []
    ds.SpecimenDescriptionSequence = [specimen]
    ds.OpticalPathSequence = [_optical_path()]
    ds.SharedFunctionalGroupsSequence = [_shared(um)]
    ds.DimensionOrganizationType = "TILED_FULL" if order is None else "TILED_SPARSE"
    if order is not None:
        ds.PerFrameFunctionalGroupsSequence = [_placed(row * tile, column * tile, um) for row, column in chosen]
    if syntax in (JPEGLSLossless, JPEG2000Lossless):
        ds.compress(syntax, generate_instance_uid=False)
    return ds


def _optical_path() -> Dataset:
    path, colour = Dataset(), Dataset()
    colour.CodeValue, colour.CodingSchemeDesignator, colour.CodeMeaning = "414298005", "SCT", "Full Spectrum"
    kind = Dataset()
    kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = "111744", "DCM", "Brightfield illumination"
    path.OpticalPathIdentifier = "1"
    path.IlluminationColorCodeSequence, path.IlluminationTypeCodeSequence = [colour], [kind]
    return path


def _shared(um: float) -> Dataset:
    shared, measures, kind = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [f"{um / 1000:.8g}"] * 2, "0.001"
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared.PixelMeasuresSequence, shared.WholeSlideMicroscopyImageFrameTypeSequence = [measures], [kind]
    return shared


def _placed(top: int, left: int, um: float) -> Dataset:
    item, place, path = Dataset(), Dataset(), Dataset()
    place.RowPositionInTotalImagePixelMatrix, place.ColumnPositionInTotalImagePixelMatrix = top + 1, left + 1
    place.XOffsetInSlideCoordinateSystem = 20.0 - top * um / 1000
    place.YOffsetInSlideCoordinateSystem = 40.0 - left * um / 1000
    place.ZOffsetInSlideCoordinateSystem = 0.0
    path.OpticalPathIdentifier = "1"
    item.PlanePositionSlideSequence, item.OpticalPathIdentificationSequence = [place], [path]
    return item
