"""The fixed sentences of a report in the languages it can be written in. Coded meanings stay English: viewers compare them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from domain.errors import Reason
from domain.jobs import Outcome
from domain.results import Analysis, Code


@dataclass(frozen=True, slots=True)
class Words:
    """One language. ``code`` is what TID 1204 says (PS3.16 CID 5000, RFC 5646)."""

    code: Code
    disclaimer: str
    partial: str
    outcomes: Mapping[Outcome, str]
    reasons: Mapping[Reason, str]


_EN: Final = Words(
    code=Code("en-US", "RFC5646", "English (United States)"),
    disclaimer="AI result, research use, not for primary diagnosis",
    partial="Partly analysed: some images were missing.",
    outcomes={
        Outcome.POSITIVE: "Findings.",
        Outcome.NEGATIVE: "No findings.",
        Outcome.NOT_ANALYSED: "Not analysed.",
        Outcome.FAILED: "The analysis failed.",
    },
    reasons={
        Reason.NO_IMAGES: "There are no images to analyse.",
        Reason.TOO_FEW_SLICES: "There are too few slices.",
        Reason.SPACING: "The slice spacing is not supported.",
        Reason.GAP: "Slices are missing.",
        Reason.DUPLICATE_POSITION: "Several images lie at one position.",
        Reason.MIXED_ORIENTATION: "The images have several orientations.",
        Reason.ORIENTATION: "The orientation is not supported.",
        Reason.LOCALIZER: "There are localizer images only.",
        Reason.GEOMETRY: "The geometry is missing or contradictory.",
        Reason.MODALITY: "The modality is not supported.",
        Reason.RESCALE: "The pixel values cannot be converted.",
        Reason.DECODE: "The pixel data cannot be decoded.",
        Reason.TOO_LARGE: "The series is too large.",
        Reason.MISSING_SERIES: "A series that the model needs is missing.",
        Reason.FRAME_OF_REFERENCE: "The series have no common frame of reference.",
        Reason.OTHER: "The images do not meet the requirements of the model.",
    },
)

_DE: Final = Words(
    code=Code("de", "RFC5646", "German"),
    disclaimer="KI-Ergebnis, nur für Forschungszwecke, nicht für die Primärdiagnose",
    partial="Teilweise analysiert: Einige Bilder fehlten.",
    outcomes={
        Outcome.POSITIVE: "Befunde vorhanden.",
        Outcome.NEGATIVE: "Keine Befunde.",
        Outcome.NOT_ANALYSED: "Nicht analysiert.",
        Outcome.FAILED: "Die Analyse ist fehlgeschlagen.",
    },
    reasons={
        Reason.NO_IMAGES: "Es gibt keine Bilder zum Analysieren.",
        Reason.TOO_FEW_SLICES: "Es sind zu wenige Schichten.",
        Reason.SPACING: "Der Schichtabstand wird nicht unterstützt.",
        Reason.GAP: "Es fehlen Schichten.",
        Reason.DUPLICATE_POSITION: "Mehrere Bilder liegen an derselben Position.",
        Reason.MIXED_ORIENTATION: "Die Bilder haben verschiedene Orientierungen.",
        Reason.ORIENTATION: "Die Orientierung wird nicht unterstützt.",
        Reason.LOCALIZER: "Es gibt nur Übersichtsaufnahmen.",
        Reason.GEOMETRY: "Angaben zur Geometrie fehlen oder widersprechen sich.",
        Reason.MODALITY: "Die Modalität wird nicht unterstützt.",
        Reason.RESCALE: "Die Pixelwerte lassen sich nicht umrechnen.",
        Reason.DECODE: "Die Pixeldaten lassen sich nicht dekodieren.",
        Reason.TOO_LARGE: "Die Serie ist zu groß.",
        Reason.MISSING_SERIES: "Eine Serie, die das Modell braucht, fehlt.",
        Reason.FRAME_OF_REFERENCE: "Die Serien haben kein gemeinsames Bezugssystem.",
        Reason.OTHER: "Die Bilder erfüllen die Anforderungen des Modells nicht.",
    },
)

_ES: Final = Words(
    code=Code("es", "RFC5646", "Spanish"),
    disclaimer="Resultado de IA, solo para investigación, no para diagnóstico primario",
    partial="Analizado en parte: faltaban algunas imágenes.",
    outcomes={
        Outcome.POSITIVE: "Con hallazgos.",
        Outcome.NEGATIVE: "Sin hallazgos.",
        Outcome.NOT_ANALYSED: "No analizado.",
        Outcome.FAILED: "El análisis falló.",
    },
    reasons={
        Reason.NO_IMAGES: "No hay imágenes que analizar.",
        Reason.TOO_FEW_SLICES: "Hay muy pocos cortes.",
        Reason.SPACING: "La distancia entre cortes no es compatible.",
        Reason.GAP: "Faltan cortes.",
        Reason.DUPLICATE_POSITION: "Hay varias imágenes en la misma posición.",
        Reason.MIXED_ORIENTATION: "Las imágenes tienen orientaciones distintas.",
        Reason.ORIENTATION: "La orientación no es compatible.",
        Reason.LOCALIZER: "Solo hay imágenes de localización.",
        Reason.GEOMETRY: "La geometría falta o es contradictoria.",
        Reason.MODALITY: "La modalidad no es compatible.",
        Reason.RESCALE: "Los valores de los píxeles no se pueden convertir.",
        Reason.DECODE: "Los datos de imagen no se pueden decodificar.",
        Reason.TOO_LARGE: "La serie es demasiado grande.",
        Reason.MISSING_SERIES: "Falta una serie que el modelo necesita.",
        Reason.FRAME_OF_REFERENCE: "Las series no tienen un sistema de referencia común.",
        Reason.OTHER: "Las imágenes no cumplen los requisitos del modelo.",
    },
)

_ZH: Final = Words(
    code=Code("zh-CN", "RFC5646", "Chinese (China)"),
    disclaimer="人工智能结果，仅供研究使用，不得用于初步诊断",
    partial="部分分析：缺少一些图像。",
    outcomes={
        Outcome.POSITIVE: "有发现。",
        Outcome.NEGATIVE: "无发现。",
        Outcome.NOT_ANALYSED: "未分析。",
        Outcome.FAILED: "分析失败。",
    },
    reasons={
        Reason.NO_IMAGES: "没有可分析的图像。",
        Reason.TOO_FEW_SLICES: "层数太少。",
        Reason.SPACING: "不支持该层间距。",
        Reason.GAP: "缺少层面。",
        Reason.DUPLICATE_POSITION: "同一位置有多幅图像。",
        Reason.MIXED_ORIENTATION: "图像方向不一致。",
        Reason.ORIENTATION: "不支持该方向。",
        Reason.LOCALIZER: "只有定位像。",
        Reason.GEOMETRY: "几何信息缺失或矛盾。",
        Reason.MODALITY: "不支持该成像方式。",
        Reason.RESCALE: "像素值无法转换。",
        Reason.DECODE: "像素数据无法解码。",
        Reason.TOO_LARGE: "序列过大。",
        Reason.MISSING_SERIES: "缺少模型所需的序列。",
        Reason.FRAME_OF_REFERENCE: "各序列没有共同的参考坐标系。",
        Reason.OTHER: "图像不符合模型的要求。",
    },
)

LANGUAGES: Final[Mapping[str, Words]] = MappingProxyType({"en": _EN, "de": _DE, "es": _ES, "zh": _ZH})


def conclusion(analysis: Analysis, language: str) -> str:
    """The answer in one or two sentences. In English it is the summary; in another language the package's own translation
    of it, or the fixed sentence for this answer."""
    if language == "en":
        return analysis.summary
    if language in analysis.translations:
        return analysis.translations[language]
    words = LANGUAGES[language]
    said = words.outcomes[analysis.outcome]
    if analysis.outcome is Outcome.NOT_ANALYSED and analysis.reason is not None:
        joint = "" if language == "zh" else " "
        said += joint + words.reasons[analysis.reason]
    return said


def comments(analysis: Analysis, disclaimer: str, language: str) -> tuple[str, ...]:
    """What follows the conclusion: that something was missing, the English original where the conclusion is not it, the notes
    as they were made, and the kind of use, last in the reader's language."""
    words = LANGUAGES[language]
    partial = (words.partial,) if analysis.partial else ()
    notes = (*analysis.notes, *_read_together(analysis))
    if language == "en":
        return (*partial, *notes, disclaimer)
    return (*partial, analysis.summary, *notes, disclaimer, words.disclaimer)


def _read_together(analysis: Analysis) -> tuple[str, ...]:
    """Which series was which channel; names are the package's, numbers the scanner's."""
    if not analysis.channels:
        return ()
    unknown = "without number"
    said = (f"{r.channel}: series {unknown if r.series_number is None else r.series_number}" for r in analysis.channels)
    return (f"Read together: {', '.join(said)}.",)
