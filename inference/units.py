"""What the stored values of an image stand for, modality by modality: Hounsfield units, activity, SUV, or arbitrary units.

Units are "HU" (CT), "arbitrary" (MR, whose values have no unit), "BQML" (PET activity concentration) and "SUVbw" (the same over
the injected activity per body weight, as QIBA's FDG-PET/CT profile computes it).
"""

from datetime import datetime, timedelta

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from domain.errors import Reason, UnsuitableError
from inference.source import numbers, text, words

OF_MODALITY = {"CT": ("HU",), "MR": ("arbitrary",), "PT": ("BQML", "SUVbw")}


def scale(header: Dataset, units: str) -> tuple[float, float]:
    """(slope, intercept) from stored values to ``units``, of this very image; raises UnsuitableError."""
    if units == "arbitrary":
        return _of_mr(header)
    slope = _of_pet(header)
    return (slope if units == "BQML" and _is_activity(header) else slope * _suv_per_unit(header, units)), 0.0


def _of_mr(header: Dataset) -> tuple[float, float]:
    """MR images need not rescale (PS3.3 C.8.3.1); those that do, do it image by image."""
    slope, intercept = numbers(header, "RescaleSlope", 1), numbers(header, "RescaleIntercept", 1)
    if slope is not None and slope[0] == 0:
        raise UnsuitableError(Reason.RESCALE, "An image does not say how its values are to be scaled.")
    return (1.0 if slope is None else slope[0]), (0.0 if intercept is None else intercept[0])


def _of_pet(header: Dataset) -> float:
    """Slope of one PET image; its intercept is always 0 (PS3.3 C.8.9.4.1.6)."""
    slope, intercept = numbers(header, "RescaleSlope", 1), numbers(header, "RescaleIntercept", 1)
    if slope is None or slope[0] <= 0 or (intercept is not None and intercept[0] != 0):
        raise UnsuitableError(Reason.RESCALE, "A PET image does not say how its values become activity (Rescale Slope).")
    return slope[0]


def _is_activity(header: Dataset) -> bool:
    return text(header, "Units") == "BQML"


def _suv_per_unit(header: Dataset, units: str) -> float:
    """What turns a value in the image's own Units into SUVbw, g/ml."""
    own = text(header, "Units")
    if units == "SUVbw" and own == "GML" and text(header, "SUVType") in ("", "BW"):
        return 1.0
    if units != "SUVbw" or own != "BQML":
        words_ = f"The values of the PET images are in {_plain(own)}; this model needs {units}."
        raise UnsuitableError(Reason.RESCALE, words_)
    if not {"ATTN", "DECY"} <= set(words(header, "CorrectedImage")):
        raise UnsuitableError(Reason.RESCALE, "The PET images are not corrected for attenuation and decay: no SUV.")
    weight = numbers(header, "PatientWeight", 1)
    if weight is None or weight[0] <= 0:
        raise UnsuitableError(Reason.RESCALE, "The PET images do not say the patient's weight: no SUV.")
    return weight[0] * 1000 / _activity(header)


def _plain(own: str) -> str:
    return own if own.isalnum() and len(own) <= 16 else "an unknown unit"


def _activity(header: Dataset) -> float:
    """The injected activity in Bq, decayed to the time the images are corrected to (PS3.3 C.8.9.1.1.3)."""
    drug = _drug(header)
    dose, half_life = numbers(drug, "RadionuclideTotalDose", 1), numbers(drug, "RadionuclideHalfLife", 1)
    correction = text(header, "DecayCorrection")
    if dose is None or dose[0] <= 0:
        raise UnsuitableError(Reason.RESCALE, "The PET images do not say how much activity was injected: no SUV.")
    if correction == "ADMIN":
        return dose[0]
    if correction != "START" or half_life is None or half_life[0] <= 0:
        raise UnsuitableError(Reason.RESCALE, "The PET images do not say to which time they are corrected for decay: no SUV.")
    waited = (_start(header) - _injected(drug, header)).total_seconds()
    if not 0 <= waited <= 24 * 3600:
        raise UnsuitableError(Reason.RESCALE, "The times of injection and scan of the PET images contradict each other: no SUV.")
    return float(dose[0] * 2 ** (-waited / half_life[0]))


def _drug(header: Dataset) -> Dataset:
    found = header.get("RadiopharmaceuticalInformationSequence")
    if not isinstance(found, Sequence) or len(found) == 0:
        raise UnsuitableError(Reason.RESCALE, "The PET images do not say what was injected: no SUV.")
    first: Dataset = found[0]
    return first


def _start(header: Dataset) -> datetime:
    """Start of the series: Series Time, unless a vendor changed it afterwards, which shows by its being after the acquisition."""
    series = _time(text(header, "SeriesDate") + text(header, "SeriesTime"))
    acquired = _time(text(header, "AcquisitionDate") + text(header, "AcquisitionTime"))
    if series is None or acquired is None or series > acquired:
        raise UnsuitableError(Reason.RESCALE, "The PET images do not say when the scan began: no SUV.")
    return series


def _injected(drug: Dataset, header: Dataset) -> datetime:
    exact = _time(text(drug, "RadiopharmaceuticalStartDateTime"))
    if exact is not None:
        return exact
    same_day = _time(text(header, "SeriesDate") + text(drug, "RadiopharmaceuticalStartTime"))
    if same_day is None:
        raise UnsuitableError(Reason.RESCALE, "The PET images do not say when the activity was injected: no SUV.")
    # Injected before midnight, scanned after it.
    return same_day if same_day <= _start(header) else same_day - timedelta(days=1)


def _time(value: str) -> datetime | None:
    """YYYYMMDDHHMMSS with or without a fraction."""
    digits = value.split(".")[0].split("+")[0]
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError:
        return None
