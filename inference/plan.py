"""What ``report.json`` says, as frozen values: quantities, when a study is positive, findings, statements, wording."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import PackageError
from domain.results import Code, Evaluation
from inference.keys import Table, known_segments
from inference.measure import Quantity, quantity
from inference.saying import (
    WHEN,
    Condition,
    Said,
    read_condition,
    read_name,
    read_quantities,
    read_said,
    read_words,
)

RESERVED = ("label",)


@dataclass(frozen=True, slots=True)
class FindingPlan:
    """One finding: when it is said, of which segment, and what is said about it."""

    name: str
    when: str
    segment: int
    finding: Code
    site: Code | None
    laterality: Code | None
    outline: bool
    measurements: tuple[Said[Quantity], ...]
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class StatementPlan:
    """One statement about the study."""

    name: str
    when: str
    finding: Code
    measurements: tuple[Said[Quantity], ...]
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of ``report.json``."""

    quantities: dict[str, Quantity]
    positive: tuple[Condition, ...]
    require: tuple[Condition, ...]
    summary_positive: str
    summary_negative: str
    translations: dict[str, tuple[str, str]]  # language -> positive and negative summary
    findings: tuple[FindingPlan, ...]
    statements: tuple[StatementPlan, ...]
    window: tuple[float, float]
    caption: str
    worst: "Worst | None" = None


@dataclass(frozen=True, slots=True)
class Worst:
    """More key images: the slices with most of ``segments`` together, at least ``apart_mm`` from each other."""

    segments: tuple[int, ...]
    count: int
    apart_mm: float


def read_plan(data: object, layer_of: dict[int, int], units: str = "HU") -> Plan:
    """``report.json`` parsed; ``units`` are those of the images' values; raises PackageError."""
    table = Table(data, "report.json")
    asked = table.table("quantities")
    quantities = read_quantities(asked, lambda name, one: quantity(name, one, layer_of, units), RESERVED, dict[str, Quantity]())
    summary, pictures = table.table("summary"), table.table("key_images")
    plan = Plan(
        quantities=quantities,
        positive=tuple(read_condition(item, quantities) for item in table.tables("positive")),
        require=tuple(read_condition(item, quantities, explained=True) for item in table.tables("require", optional=True)),
        summary_positive=read_words(summary, "positive", quantities),
        summary_negative=read_words(summary, "negative", quantities),
        translations=_translations(summary, quantities),
        findings=tuple(_finding(item, quantities, layer_of) for item in table.tables("findings", most=255)),
        statements=tuple(_statement(item, quantities) for item in table.tables("statements")),
        window=_window(pictures),
        caption=read_words(pictures, "caption", (*quantities, "label")),
        worst=_worst(pictures.table("worst"), layer_of) if "worst" in pictures else None,
    )
    for part in (summary, pictures, table):
        part.done()
    return _complete(plan)


def _complete(plan: Plan) -> Plan:
    names = [item.name for item in plan.findings] + [item.name for item in plan.statements]
    if len(set(names)) != len(names):
        raise PackageError("report.json: the names of findings and statements must all be different")
    if not plan.positive:
        raise PackageError("report.json: 'positive' must have at least one condition")
    if not any(item.outline and item.when == "positive" for item in plan.findings):
        raise PackageError("report.json: at least one finding with when = 'positive' must have 'outline': true")
    if any(item.outline and item.when == "negative" for item in plan.findings):
        raise PackageError("report.json: a finding with when = 'negative' cannot have an outline")
    if not any(item.when != "positive" for item in plan.statements):
        raise PackageError("report.json: at least one statement must be said of a negative study")
    if any(not (item.evaluations or item.measurements) for item in plan.statements):
        raise PackageError("report.json: a statement must have evaluations or measurements")
    return plan


def _translations(summary: Table, quantities: Mapping[str, Quantity]) -> dict[str, tuple[str, str]]:
    """Summaries in other languages (RFC 5646 primary subtags)."""
    if "translations" not in summary:
        return {}
    found, table = {}, summary.table("translations")
    for language in table.names():
        if not re.fullmatch(r"[a-z]{2,3}", language):
            raise PackageError(f"{table.where}: {language!r} is not a language such as 'de'")
        both = table.table(language)
        found[language] = (read_words(both, "positive", quantities), read_words(both, "negative", quantities))
        both.done()
    return found


def _window(table: Table) -> tuple[float, float]:
    centre, width = table.numbers("window", 2, 2, -1e6, 1e7)
    if width < 1:
        raise table.wrong("window", "centre and width, the width at least 1")
    return centre, width


def _worst(table: Table, layer_of: dict[int, int]) -> Worst:
    worst = Worst(
        known_segments(table, "segments", layer_of), table.integer("count", 1, 20), table.number("apart_mm", 0, 1000, 0.0)
    )
    table.done()
    return worst


def _evaluation(table: Table) -> Evaluation:
    evaluation = Evaluation(table.required_code("name"), table.required_code("value"))
    table.done()
    return evaluation


def _finding(table: Table, quantities: Mapping[str, Quantity], layer_of: dict[int, int]) -> FindingPlan:
    segment = table.integer("segment", 1, 255)
    if segment not in layer_of:
        raise table.wrong("segment", "the labelID of a segment of segments.json")
    plan = FindingPlan(
        name=read_name(table),
        when=table.choice("when", WHEN),
        segment=segment,
        finding=table.required_code("finding"),
        site=table.code("site", optional=True),
        laterality=table.code("laterality", optional=True),
        outline=table.flag("outline", False),
        measurements=tuple(read_said(item, quantities) for item in table.tables("measurements", optional=True)),
        evaluations=tuple(_evaluation(item) for item in table.tables("evaluations", optional=True)),
    )
    table.done()
    return plan


def _statement(table: Table, quantities: Mapping[str, Quantity]) -> StatementPlan:
    plan = StatementPlan(
        name=read_name(table),
        when=table.choice("when", WHEN),
        finding=table.required_code("finding"),
        measurements=tuple(read_said(item, quantities) for item in table.tables("measurements", optional=True)),
        evaluations=tuple(_evaluation(item) for item in table.tables("evaluations", optional=True)),
    )
    table.done()
    return plan
