"""Headings and fixed lines of the page in the languages it can be written in; coded meanings stay English, as in the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from domain.jobs import Outcome
from sr_writer.telling import HEADINGS


@dataclass(frozen=True, slots=True)
class PageWords:
    """One language. ``more`` and ``marked`` hold a place {n} for a number that is written with its separators."""

    headings: Mapping[Outcome, str]
    columns: tuple[str, str, str, str]  # finding, site, numbers, what else is said
    study: str
    more: str
    marked: str
    limit: str
    model: str
    digest: str
    unverified: str


_EN: Final = PageWords(
    headings=HEADINGS,
    columns=("Finding", "Site", "Numbers", "Says"),
    study="About the study",
    more="and {n} more: see the DICOM report",
    marked="{n} marked",
    limit="Limit",
    model="Model",
    digest="SHA-256 of the model package",
    unverified="Numbers and outlines were made by a machine; nobody has verified them.",
)

_DE: Final = PageWords(
    headings={
        Outcome.POSITIVE: "Befunde",
        Outcome.NEGATIVE: "Kein Befund",
        Outcome.NOT_ANALYSED: "Nicht analysiert",
        Outcome.FAILED: "Fehlgeschlagen",
    },
    columns=("Befund", "Ort", "Zahlen", "Beschreibung"),
    study="Zur Untersuchung",
    more="und {n} weitere: siehe DICOM-Bericht",
    marked="{n} markiert",
    limit="Einschränkung",
    model="Modell",
    digest="SHA-256 des Modellpakets",
    unverified="Zahlen und Umrisse stammen von einer Maschine; niemand hat sie geprüft.",
)

_ES: Final = PageWords(
    headings={
        Outcome.POSITIVE: "Hallazgos",
        Outcome.NEGATIVE: "Sin hallazgos",
        Outcome.NOT_ANALYSED: "No analizado",
        Outcome.FAILED: "Fallido",
    },
    columns=("Hallazgo", "Lugar", "Cifras", "Descripción"),
    study="Sobre el estudio",
    more="y {n} más: véase el informe DICOM",
    marked="{n} marcados",
    limit="Limitación",
    model="Modelo",
    digest="SHA-256 del paquete del modelo",
    unverified="Las cifras y los contornos son obra de una máquina; nadie los ha verificado.",
)

_ZH: Final = PageWords(
    headings={
        Outcome.POSITIVE: "有发现",
        Outcome.NEGATIVE: "无发现",
        Outcome.NOT_ANALYSED: "未分析",
        Outcome.FAILED: "失败",
    },
    columns=("发现", "部位", "数值", "描述"),
    study="关于本次检查",
    more="另有 {n} 项：见 DICOM 报告",
    marked="已标记 {n} 处",
    limit="限制",
    model="模型",
    digest="模型包的 SHA-256",
    unverified="数值和轮廓由机器生成，未经任何人核实。",
)

PAGES: Final[Mapping[str, PageWords]] = MappingProxyType({"en": _EN, "de": _DE, "es": _ES, "zh": _ZH})
