"""What viewers and archives need beyond the Standard, and what no validator looks at: all rules, and how an object is checked."""

from collections.abc import Sequence
from typing import Final

from pydicom.dataset import Dataset

from sr_writer.companion_rules import COMPANION_RULES
from sr_writer.object_rules import OBJECT_RULES
from sr_writer.report_rules import REPORT_RULES
from sr_writer.rule import Broken, Facts, Headers, Level, Rule, Words
from sr_writer.segmentation_rules import SEGMENTATION_RULES

RULES: Final = (*REPORT_RULES, *SEGMENTATION_RULES, *COMPANION_RULES, *OBJECT_RULES)

# What pydicom and the rules may say to an object that is not built as the Standard wants it.
_MALFORMED: Final = (
    AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, NotImplementedError, RecursionError, EOFError,
    OSError, UnicodeError, ArithmeticError,
)  # fmt: skip


def check(dataset: Dataset, headers: Headers = ()) -> list[Broken]:
    """Run every rule that applies. ``headers`` are those of the images the object speaks about; empty skips comparisons."""
    facts = Facts(dataset, headers)
    return [_broken(rule, words) for rule in RULES if rule.applies(dataset) and (words := rule.broken(facts))]


def check_foreign(dataset: Dataset, headers: Headers = ()) -> list[Broken]:
    """The same for an object from anywhere: what cannot be read is said, not raised."""
    facts = Facts(dataset, headers)
    found = []
    for rule in RULES:
        words = _look(rule, facts)
        if words:
            found.append(_broken(rule, words))
    return found


def errors(broken: Sequence[Broken]) -> list[Broken]:
    """Those that keep an object from being sent."""
    return [each for each in broken if each.level is Level.ERROR]


def _look(rule: Rule, facts: Facts) -> Words:
    try:
        return rule.broken(facts) if rule.applies(facts.dataset) else None
    except _MALFORMED as error:
        return f"cannot be looked at: the object is malformed ({type(error).__name__})"


def _broken(rule: Rule, words: str) -> Broken:
    return Broken(rule.name, words, rule.source, rule.level)
