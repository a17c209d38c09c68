"""What viewers and archives need beyond the Standard, and what no validator looks at: all rules, and how an object is checked."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pydicom.dataset import Dataset

from sr_writer.companion_rules import COMPANION_RULES
from sr_writer.object_rules import OBJECT_RULES
from sr_writer.report_rules import REPORT_RULES
from sr_writer.rule import Broken, Facts, Headers, Level, Rule, Words, is_result
from sr_writer.segmentation_rules import SEGMENTATION_RULES

T = TypeVar("T")
RULES: Final = (*REPORT_RULES, *SEGMENTATION_RULES, *COMPANION_RULES, *OBJECT_RULES)


def check(dataset: Dataset, headers: Headers = ()) -> list[Broken]:
    """Run every rule that applies. ``headers`` are those of the images the object speaks about; empty skips comparisons."""
    facts = Facts(dataset, headers)
    return [_broken(rule, words) for rule in RULES if rule.applies(dataset) and (words := rule.broken(facts))]


def check_foreign(dataset: Dataset, headers: Headers = (), pixels: tuple[str, int] | None = None) -> list[Broken]:
    """The same for an object from anywhere: what cannot be read is said, not raised.

    ``pixels``: keyword and length of the pixel data, where it was not read with the rest.
    """
    facts = Facts(dataset, headers, pixels)
    found = []
    for rule in RULES:
        words = _look(rule, facts)
        if words:
            found.append(_broken(rule, words))
    return found


def errors(broken: Sequence[Broken]) -> list[Broken]:
    """Those that keep an object from being sent."""
    return [each for each in broken if each.level is Level.ERROR]


def judged(dataset: Dataset) -> bool:
    """Whether an object from anywhere has rules at all."""
    try:
        return looking(lambda: is_result(dataset))
    except ValueError:
        return False


def looking(look: Callable[[], T]) -> T:
    """What ``look`` finds in an object from anywhere; ValueError, with the kind of error alone, whatever is raised within."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - one of the places named in docs/architecture.md
        raise ValueError(type(error).__name__) from None


def _look(rule: Rule, facts: Facts) -> Words:
    try:
        return looking(lambda: rule.broken(facts) if rule.applies(facts.dataset) else None)
    except ValueError as error:
        return f"cannot be looked at: the object is malformed ({error})"


def _broken(rule: Rule, words: str) -> Broken:
    return Broken(rule.name, words, rule.source, rule.level)
