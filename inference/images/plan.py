"""What ``report.json`` of a package over images says, as frozen values: quantities, findings, marks, statements, pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import PackageError
from domain.results import Code, Evaluation
from inference.images.measure import pick, quantity
from inference.images.quantity import AREA, LONG_AXIS, SHORT_AXIS, TALLER, Pick, Quantity, Vocabulary
from inference.keys import Table, suggestion
from inference.saying import WHEN, Condition, Said, read_condition, read_name, read_quantities, read_said, read_words
from inference.saying import known as known_quantity

RESERVED = ("label", "score", "n")
OBJECT_MEASURES: Mapping[str, Code | None] = {
    "LongAxis": LONG_AXIS, "ShortAxis": SHORT_AXIS, "Area": AREA, "Score": None, "Probability": None, "Points": None
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ObjectSaid:
    """A measure of one object to be reported. ``source``: the feature, or the quantity with the table of points."""

    measure: str
    name: Code
    source: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A coded statement: ``fixed``, or by the value of a ``feature``, or by the level of a ``quantity``."""

    name: Code
    fixed: Code | None = None
    feature: str = ""
    values: Mapping[str, Code] | None = None
    quantity: str = ""


@dataclass(frozen=True, slots=True)
class FindingPlan:
    """One kind of finding: which objects, how many of them at most, and what is said about each."""

    name: str
    when: str
    pick: Pick
    finding: Code
    site: Code | None
    laterality: Code | None
    most: int
    order: str
    label: str
    lines: bool
    measurements: tuple[ObjectSaid, ...]
    evaluations: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class MarksPlan:
    """All objects of some classes as marks."""

    name: str
    when: str
    pick: Pick
    shape: str


@dataclass(frozen=True, slots=True)
class StatementPlan:
    """One statement about the study, or (``most`` above 0) about the images with the most of ``order``."""

    name: str
    when: str
    finding: Code
    measurements: tuple[Said[Quantity], ...]
    evaluations: tuple[Judged, ...]
    most: int = 0
    order: str = ""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Key images: whole images with findings, then crops around the best objects of ``classes`` (the gallery)."""

    whole: int
    crops: int
    crop_side: int
    classes: tuple[int, ...]
    caption: str
    crop_caption: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of ``report.json``."""

    words: Vocabulary
    quantities: Mapping[str, Quantity]
    positive: tuple[Condition, ...]
    require: tuple[Condition, ...]
    summary_positive: str
    summary_negative: str
    findings: tuple[FindingPlan, ...]
    marks: tuple[MarksPlan, ...]
    statements: tuple[StatementPlan, ...]
    per_image: tuple[StatementPlan, ...]
    pictures: Pictures


def read_plan(data: object, words: Vocabulary) -> Plan:
    """``report.json`` parsed; raises PackageError."""
    table = Table(data, "report.json")
    known = read_quantities(table.table("quantities"), lambda name, one: quantity(name, one, words), RESERVED, words.quantities)
    summary, pictures = table.table("summary"), table.table("key_images")
    plan = Plan(
        words=words,
        quantities=known,
        positive=tuple(read_condition(item, known) for item in table.tables("positive")),
        require=tuple(read_condition(item, known, explained=True) for item in table.tables("require", optional=True)),
        summary_positive=read_words(summary, "positive", known),
        summary_negative=read_words(summary, "negative", known),
        findings=tuple(_finding(item, known, words) for item in table.tables("findings", optional=True)),
        marks=tuple(_marks(item, words) for item in table.tables("marks", optional=True)),
        statements=tuple(_statement(item, known) for item in table.tables("statements")),
        per_image=tuple(_statement(item, known, True) for item in table.tables("per_image", optional=True)),
        pictures=_pictures(pictures, known, words),
    )
    for part in (summary, pictures, table):
        part.done()
    return _complete(plan)


def _complete(plan: Plan) -> Plan:
    names = [item.name for item in plan.findings] + [item.name for item in plan.marks]
    names += [item.name for item in (*plan.statements, *plan.per_image)]
    if len(set(names)) != len(names):
        raise PackageError("report.json: the names of findings, marks and statements must all be different")
    if not plan.positive:
        raise PackageError("report.json: 'positive' must have at least one condition")
    if any(item.when == "negative" for item in plan.findings):
        raise PackageError("report.json: a finding is an outlined object and cannot be of a negative study; use a statement")
    if not any(item.when != "positive" for item in plan.statements):
        raise PackageError("report.json: at least one statement must be said of a negative study")
    if any(not (item.evaluations or item.measurements) for item in (*plan.statements, *plan.per_image)):
        raise PackageError("report.json: a statement must have evaluations or measurements")
    return plan


def _object_said(table: Table, known: Mapping[str, Quantity], words: Vocabulary) -> ObjectSaid:
    measure = table.choice("object", OBJECT_MEASURES)
    name = table.code("name", optional=True) or OBJECT_MEASURES[measure]
    source, value = "", ""
    if measure == "Probability":
        source = table.choice("feature", [feature for feature in words.features if feature != TALLER])
        value = table.choice("value", words.features[source])
    if measure == "Points":
        source = table.choice("quantity", [key for key, one in known.items() if one.points is not None])
    table.done()
    if name is None:
        raise PackageError(f"{table.where}: {measure!r} has no standard name: give 'name', a code")
    return ObjectSaid(measure, name, source, value)


def _judged(table: Table, known: Mapping[str, Quantity], words: Vocabulary | None) -> Judged:
    """``words`` None: of a study or an image, which has no features."""
    name = table.required_code("name")
    if "quantity" in table:
        graded = [key for key, one in known.items() if one.levels and (words is None or one.points is not None)]
        judged = Judged(name, quantity=table.choice("quantity", graded))
    elif words is not None and "feature" in table:
        judged = _by_feature(table, name, words)
    else:
        judged = Judged(name, fixed=table.required_code("value"))
    table.done()
    return judged


def _by_feature(table: Table, name: Code, words: Vocabulary) -> Judged:
    feature = table.choice("feature", words.features)
    values = table.table("values")
    for key in values.names():
        if key not in words.features[feature]:
            raise PackageError(f"{values.where}: {feature!r} has no value {key!r}{suggestion(key, words.features[feature])}")
    return Judged(name, feature=feature, values={key: values.required_code(key) for key in values.names()})


def _finding(table: Table, known: Mapping[str, Quantity], words: Vocabulary) -> FindingPlan:
    plan = FindingPlan(
        name=read_name(table),
        when=table.choice("when", WHEN),
        pick=pick(table, words),
        finding=table.required_code("finding"),
        site=table.code("site", optional=True),
        laterality=table.code("laterality", optional=True),
        most=table.integer("max_findings", 1, 100, 10),
        order=table.choice("order", ("score", "area", "points"), "score"),
        label=read_words(table, "label", ("n", "label"), "{label} {n}"),
        lines=table.flag("lines", False),
        measurements=tuple(_object_said(item, known, words) for item in table.tables("measurements", optional=True)),
        evaluations=tuple(_judged(item, known, words) for item in table.tables("evaluations", optional=True)),
    )
    table.done()
    if plan.order == "points" and not any(one.points is not None for one in known.values()):
        raise table.wrong("order", "'score' or 'area': there is no PointsTable")
    return plan


def _marks(table: Table, words: Vocabulary) -> MarksPlan:
    plan = MarksPlan(
        read_name(table),
        table.choice("when", WHEN, "positive"),
        pick(table, words),
        table.choice("shape", ("point", "box"), "point"),
    )
    table.done()
    return plan


def _statement(table: Table, known: Mapping[str, Quantity], per_image: bool = False) -> StatementPlan:
    plan = StatementPlan(
        name=read_name(table),
        when=table.choice("when", WHEN),
        finding=table.required_code("finding"),
        measurements=tuple(read_said(item, known) for item in table.tables("measurements", optional=True)),
        evaluations=tuple(_judged(item, known, None) for item in table.tables("evaluations", optional=True)),
        most=table.integer("most", 1, 100, 10) if per_image else 0,
        order=known_quantity(table, known, "order") if per_image else "",
    )
    table.done()
    return plan


def _pictures(table: Table, known: Mapping[str, Quantity], words: Vocabulary) -> Pictures:
    classes = table.integers("classes", 1, 255, 1, 255) if "classes" in table else words.segments
    return Pictures(
        whole=table.integer("whole", 1, 50, 4),
        crops=table.integer("crops", 0, 100, 0),
        crop_side=table.integer("crop_side", 8, 4096, 128),
        classes=tuple(classes),
        caption=read_words(table, "caption", (*known, "label")),
        crop_caption=read_words(table, "crop_caption", (*known, "label", "score"), "{label}, {score:.2f}"),
    )


def evaluation(judged: Judged, value: Code | None) -> Evaluation | None:
    """The coded statement, where there is a value."""
    return None if value is None else Evaluation(judged.name, value)
