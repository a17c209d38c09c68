"""Rules for the companions of a report: pictures, presentation states, pages, annotations, selections."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MicroscopyBulkSimpleAnnotationsStorage,
    SecondaryCaptureImageStorage,
)

from sr_writer.rule import Rule, on
from sr_writer.telling import DISCLAIMER

Headers = Sequence[Dataset]
Words = str | None
_CORNERS: Final = {"POINT": 1, "RECTANGLE": 4}
_TITLES: Final = frozenset({"113000", "113002", "113007", "121180"})  # of CID 7010: those that say "look here"


def _is(*classes: str) -> Callable[[Dataset], bool]:
    return lambda ds: ds.get("SOPClassUID") in classes


_is_picture = _is(SecondaryCaptureImageStorage)
_is_state = _is(GrayscaleSoftcopyPresentationStateStorage, ColorSoftcopyPresentationStateStorage)
_is_page = _is(EncapsulatedPDFStorage)
_is_bulk = _is(MicroscopyBulkSimpleAnnotationsStorage)
_is_selection = _is(KeyObjectSelectionDocumentStorage)


# pictures and pages


def _plain_colour(ds: Dataset, _: Headers) -> Words:
    right = ds.get("PhotometricInterpretation") == "RGB" and ds.get("BitsAllocated") == 8 and "NumberOfFrames" not in ds
    return None if right else "not one frame of RGB with 8 bits"


def _no_ruler(ds: Dataset, _: Headers) -> Words:
    spaced = [keyword for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing") if ds.get(keyword)]
    return f"{spaced[0]} in a picture with a panel of text" if spaced else None


def _use_stated(ds: Dataset, _: Headers) -> Words:
    words = (ds.get("ImageComments"), ds.get("DerivationDescription"), ds.get("ContentDescription"))
    return None if any(DISCLAIMER in str(text) for text in words) else "the kind of use is not stated in the header"


def _readable_page(ds: Dataset, _: Headers) -> Words:
    data, length = bytes(ds.get("EncapsulatedDocument") or b""), int(ds.get("EncapsulatedDocumentLength") or 0)
    whole = data.startswith(b"%PDF-") and b"%%EOF" in data[:length][-32:] and len(data) - length in (0, 1)
    right = whole and ds.get("MIMETypeOfEncapsulatedDocument") == "application/pdf" and ds.get("Modality") == "DOC"
    return None if right else "not one whole PDF of its stated length with Modality DOC"


def _titled(ds: Dataset, _: Headers) -> Words:
    return None if ds.get("ConceptNameCodeSequence") and ds.get("DocumentTitle") else "no title in code and words"


# presentation states


def _annotated(ds: Dataset) -> Iterator[Dataset]:
    yield from ds.get("GraphicAnnotationSequence") or ()


def _layered(ds: Dataset, _: Headers) -> Words:
    known = {item.GraphicLayer for item in ds.get("GraphicLayerSequence") or ()}
    wrong = [item for item in _annotated(ds) if item.GraphicLayer not in known]
    return f"{len(wrong)} annotations lie on a layer that is not there" if wrong else None


def _listed(ds: Dataset) -> set[str]:
    series = ds.get("ReferencedSeriesSequence") or ()
    return {str(i.ReferencedSOPInstanceUID) for s in series for i in s.get("ReferencedImageSequence") or ()}


def _named(items: Sequence[Dataset]) -> set[str]:
    return {str(i.ReferencedSOPInstanceUID) for item in items for i in item.get("ReferencedImageSequence") or ()}


def _areas(ds: Dataset, _: Headers) -> Words:
    missing = _listed(ds) - _named(ds.get("DisplayedAreaSelectionSequence") or ())
    return f"{len(missing)} images have no displayed area" if missing else (None if _listed(ds) else "no images")


def _related(ds: Dataset, _: Headers) -> Words:
    foreign = _named(list(_annotated(ds))) - _listed(ds)
    return f"{len(foreign)} annotated images are not listed in Referenced Series Sequence" if foreign else None


def _graphics_inside(ds: Dataset, headers: Headers) -> Words:
    sizes = _sizes(headers)
    wrong = 0
    for item in _annotated(ds):
        size = sizes.get(str(item.ReferencedImageSequence[0].ReferencedSOPInstanceUID))
        for graphic in item.get("GraphicObjectSequence") or ():
            points = np.array(graphic.GraphicData, float).reshape(-1, 2)
            wrong += size is not None and bool((points < 0).any() or (points > size).any())
    return f"{wrong} graphics leave their image" if wrong else None


def _one_rescale(ds: Dataset, headers: Headers) -> Words:
    mine = [h for h in headers if str(h.get("SOPInstanceUID")) in _listed(ds)]
    values = {(float(h.get("RescaleSlope") or 1), float(h.get("RescaleIntercept") or 0)) for h in mine}
    ours = (float(ds.get("RescaleSlope") or 1), float(ds.get("RescaleIntercept") or 0))
    gray = ds.SOPClassUID == GrayscaleSoftcopyPresentationStateStorage
    return "the Modality LUT is not that of the images" if gray and mine and values != {ours} else None


def _sizes(headers: Headers) -> dict[str, tuple[float, float]]:
    return {
        str(h.SOPInstanceUID): (
            float(h.get("TotalPixelMatrixColumns") or h.Columns),
            float(h.get("TotalPixelMatrixRows") or h.Rows),
        )
        for h in headers
        if h.get("Rows") and h.get("Columns") and "SOPInstanceUID" in h
    }


# annotations


def _counted(ds: Dataset, _: Headers) -> Words:
    wrong = [g for g in ds.get("AnnotationGroupSequence") or () if not _complete(g)]
    return f"{len(wrong)} annotation groups do not hold the points they announce" if wrong else None


def _complete(group: Dataset) -> bool:
    points = np.frombuffer(group.PointCoordinatesData, "<f4").reshape(-1, 2)
    count = int(group.NumberOfAnnotations)
    if group.GraphicType in _CORNERS:
        return len(points) == count * _CORNERS[group.GraphicType] and count > 0
    starts = np.frombuffer(group.get("LongPrimitivePointIndexList") or b"", "<u4")
    return len(starts) == count > 0 and starts[0] == 1 and bool((np.diff(starts) > 0).all()) and starts[-1] <= points.size


def _marks_inside(ds: Dataset, headers: Headers) -> Words:
    size = next((_sizes(headers).get(str(i.ReferencedSOPInstanceUID)) for i in ds.get("ReferencedImageSequence") or ()), None)
    if size is None:
        return None
    groups = [np.frombuffer(g.PointCoordinatesData, "<f4").reshape(-1, 2) for g in ds.get("AnnotationGroupSequence") or ()]
    wrong = sum(int(((points < 0) | (points > size)).any(axis=1).sum()) for points in groups)
    return f"{wrong} points leave their image" if wrong else None


def _coloured(ds: Dataset, _: Headers) -> Words:
    wrong = [g for g in ds.get("AnnotationGroupSequence") or () if not g.get("RecommendedDisplayCIELabValue")]
    return f"{len(wrong)} annotation groups have no colour" if wrong else None


# selections


def _evident(ds: Dataset, _: Headers) -> Words:
    series = [s for study in ds.get("CurrentRequestedProcedureEvidenceSequence") or () for s in study.ReferencedSeriesSequence]
    listed = {str(i.ReferencedSOPInstanceUID) for s in series for i in s.ReferencedSOPSequence}
    items = [i for i in ds.get("ContentSequence") or () if i.get("ReferencedSOPSequence")]
    used = {str(i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for i in items}
    return None if used and used <= listed else "images are not listed as evidence, or there are none"


def _of_interest(ds: Dataset, _: Headers) -> Words:
    names = ds.get("ConceptNameCodeSequence")
    return None if names and names[0].CodeValue in _TITLES else "the title does not say why to look"


_OLD: Final = "archives and viewers of before 2005: Secondary Capture is one frame"
_STATE: Final = "PS3.3 C.11.11"

COMPANION_RULES: Final = (
    Rule("plain-colour", _is_picture, on(_plain_colour), "the one form of colour that everything shows", _OLD),
    Rule("no-ruler", _is_picture, on(_no_ruler), "somebody would measure on a picture that was scaled", "PS3.3 C.8.6.2"),
    Rule("use-in-picture", _is_picture, on(_use_stated), "the header must warn as the pixels do", "product"),
    Rule("use-in-state", _is_state, on(_use_stated), "the header must warn as the graphics do", "product"),
    Rule("page-readable", _is_page, on(_readable_page), "a reader opens the bytes as they are", "PS3.3 C.24.2"),
    Rule("page-titled", _is_page, on(_titled), "lists of documents show the title", "PS3.3 C.24.2.3"),
    Rule("layer", _is_state, on(_layered), "viewers drop graphics of an unknown layer", "PS3.3 C.10.5"),
    Rule("displayed-area", _is_state, on(_areas), "DCMTK shows no image without one", "PS3.3 C.10.4"),
    Rule("related", _is_state, on(_related), "viewers load the images of this list only", _STATE),
    Rule(
        "graphics-inside",
        _is_state,
        on(_graphics_inside),
        "a graphic beside its image is wrong whatever it says",
        "PS3.3 C.10.5.1.1",
    ),
    Rule(
        "rescale", _is_state, on(_one_rescale), "it replaces that of the image: another one changes what is seen", "PS3.3 C.11.1"
    ),
    Rule("bulk-counted", _is_bulk, on(_counted), "readers cut the arrays by these numbers", "PS3.3 C.37.1.2"),
    Rule("bulk-inside", _is_bulk, on(_marks_inside), "a mark beside its image is wrong whatever it says", "PS3.3 C.37.1.2"),
    Rule("bulk-colour", _is_bulk, on(_coloured), "Slim draws all groups alike without", "Slim 0.46"),
    Rule("selection-evidence", _is_selection, on(_evident), "archives fetch by this list", "PS3.3 C.17.6.2"),
    Rule("selection-title", _is_selection, on(_of_interest), "viewers list selections by it", "PS3.16 CID 7010"),
)
