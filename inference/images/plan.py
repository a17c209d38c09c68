"""What ``report.json`` of a package over images says, as frozen values: quantities, findings, marks, statements, pictures."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.errors import PackageError
from domain.results import Code, Evaluation
from inference import wording
from inference.images.measure import pick, quantity
from inference.images.quantity import AREA, LONG_AXIS, SHORT_AXIS, TALLER, Pick, Quantity, Vocabulary
from inference.keys import Table, suggestion

WHEN = ("always", "positive", "negative")
OBJECT_MEASURES: Mapping[str, Code | None] = {
    "LongAxis": LONG_AXIS, "ShortAxis": SHORT_AXIS, "Area": AREA, "Score": None, "Probability": None, "Points": None
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """A quantity must be at least this much (a quantity without value is not). ``words``: what to say when it is not."""

    quantity: str
    at_least: float
    words: str = ""

    def holds(self, values: Mapping[str, float | None]) -> bool:
        """Whether it holds for these values."""
        value = values[self.quantity]
        return value is not None and value >= self.at_least


@dataclass(frozen=True, slots=True)
class Said:
    """A quantity to be reported as a measurement."""

    quantity: Quantity
    name: Code
    method: Code | None


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
    measurements: tuple[Said, ...]
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
    known = _quantities(table.table("quantities"), words)
    summary, pictures = table.table("summary"), table.table("key_images")
    plan = Plan(
        words=words,
        quantities=known,
        positive=tuple(_condition(item, known) for item in table.tables("positive")),
        require=tuple(_condition(item, known, words=True) for item in table.tables("require", optional=True)),
        summary_positive=_words(summary, "positive", known),
        summary_negative=_words(summary, "negative", known),
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


def _quantities(table: Table, words: Vocabulary) -> dict[str, Quantity]:
    found = words.quantities
    for name in table.names():
        if not re.fullmatch(r"[a-z0-9_]{1,48}", name) or name in ("label", "score", "n"):
            raise PackageError(f"{table.where}: {name!r} must be made of a-z, 0-9 and _ (and not be 'label', 'score' or 'n')")
        found[name] = quantity(name, table.table(name), words)
    return found


def _known(table: Table, known: Mapping[str, Quantity], key: str = "quantity") -> str:
    name = table.text(key)
    if name not in known:
        raise PackageError(f"{table.where}: there is no quantity {name!r}{suggestion(name, known)}")
    return name


def _condition(table: Table, known: Mapping[str, Quantity], words: bool = False) -> Condition:
    condition = Condition(_known(table, known), table.number("at_least"), table.text("words", 300) if words else "")
    table.done()
    return condition


def _words(table: Table, key: str, known: Iterable[str], default: str = "") -> str:
    words = table.text(key, 300, default) if default else table.text(key, 300)
    wording.check(words, known, f"{table.where}: {key}")
    return words


def _name(table: Table) -> str:
    name = table.text("name", 48)
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise table.wrong("name", "made of a-z, 0-9 and -")
    return name


def _said(table: Table, known: Mapping[str, Quantity]) -> Said:
    said = known[_known(table, known)]
    name, method = table.code("name", optional=True) or said.concept, table.code("method", optional=True)
    table.done()
    if name is None:
        raise PackageError(f"{table.where}: {said.name!r} has no standard name: give 'name', a code")
    return Said(said, name, method)


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
        name=_name(table),
        when=table.choice("when", WHEN),
        pick=pick(table, words),
        finding=table.required_code("finding"),
        site=table.code("site", optional=True),
        laterality=table.code("laterality", optional=True),
        most=table.integer("max_findings", 1, 100, 10),
        order=table.choice("order", ("score", "area", "points"), "score"),
        label=_words(table, "label", ("n", "label"), "{label} {n}"),
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
        _name(table), table.choice("when", WHEN, "positive"), pick(table, words), table.choice("shape", ("point", "box"), "point")
    )
    table.done()
    return plan


def _statement(table: Table, known: Mapping[str, Quantity], per_image: bool = False) -> StatementPlan:
    plan = StatementPlan(
        name=_name(table),
        when=table.choice("when", WHEN),
        finding=table.required_code("finding"),
        measurements=tuple(_said(item, known) for item in table.tables("measurements", optional=True)),
        evaluations=tuple(_judged(item, known, None) for item in table.tables("evaluations", optional=True)),
        most=table.integer("most", 1, 100, 10) if per_image else 0,
        order=_known(table, known, "order") if per_image else "",
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
        caption=_words(table, "caption", (*known, "label")),
        crop_caption=_words(table, "crop_caption", (*known, "label", "score"), "{label}, {score:.2f}"),
    )


def evaluation(judged: Judged, value: Code | None) -> Evaluation | None:
    """The coded statement, where there is a value."""
    return None if value is None else Evaluation(judged.name, value)
