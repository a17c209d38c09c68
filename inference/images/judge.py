"""Measures what was counted and decides: positive, negative, or not to be analysed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import Reason, UnsuitableError
from domain.jobs import Outcome
from inference.images.package import ImagePackage
from inference.images.plan import Plan
from inference.images.quantity import Level, Quantity, fields, level
from inference.images.tally import Tally

Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was counted, what it amounts to, and which image of the album each counted image is."""

    tally: Tally
    values: dict[str, float | None]
    outcome: Outcome
    indices: tuple[int, ...]
    notes: tuple[str, ...]
    partial: bool = False  # images were left out


def judge(package: ImagePackage, tally: Tally, indices: Sequence[int], left: str) -> Reading:
    """Measures and decides; raises UnsuitableError when a requirement of the package does not hold."""
    values = measured(package.plan, tally)
    for condition in package.plan.require:
        if not condition.holds(values):
            raise UnsuitableError(Reason.OTHER, condition.words)
    positive = all(condition.holds(values) for condition in package.plan.positive)
    outcome = Outcome.POSITIVE if positive else Outcome.NEGATIVE
    notes = (left, *_on_few_fields(package.plan, tally, values))
    return Reading(tally, values, outcome, tuple(indices), tuple(note for note in notes if note), bool(left))


def measured(plan: Plan, tally: Tally) -> dict[str, float | None]:
    """Every quantity of the plan, in its order: grades are of those before them."""
    values: dict[str, float | None] = {}
    for name, quantity in plan.quantities.items():
        values[name] = quantity.value(tally, values)
    return values


def _on_few_fields(plan: Plan, tally: Tally, values: Values) -> list[str]:
    notes = []
    for quantity in plan.quantities.values():
        grade = level_of(quantity, values)
        if grade is not None and fields(tally) < grade.min_fields:
            words = f"The grade ({grade.value.meaning}) rests on {fields(tally):.0f} fields; {grade.min_fields} are asked for."
            notes.append(words)
    return notes


def words(plan: Plan, values: Values) -> dict[str, float | str | None]:
    """Values for wording: a grade or level shows as its meaning."""
    found: dict[str, float | str | None] = dict(values)
    for name, quantity in plan.quantities.items():
        if quantity.levels:
            grade = level_of(quantity, values)
            found[name] = grade.value.meaning if grade else None
    return found


def level_of(quantity: Quantity, values: Values) -> Level | None:
    """The grade or level that a quantity reached, for those that have any."""
    if not quantity.levels:
        return None
    if quantity.points is not None:
        return level(quantity.levels, values[quantity.name])
    position = values[quantity.name]
    return None if position is None else quantity.levels[int(position)]
