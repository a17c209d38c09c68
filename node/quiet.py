"""How long a quiet study is waited for: configured, or learned from how long its device pauses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.completeness import Habit
from node.config import StudySettings

ENOUGH: Final = 20  # studies of a device before what was learned counts
FACTOR: Final = 1.5  # room for a pause longer than those seen ...
MARGIN: Final = 1.0  # ... and this many seconds for the network


@dataclass(frozen=True, slots=True)
class QuietTime:
    """A span in seconds and the words that say where it comes from."""

    seconds: float
    words: str


def quiet_time(settings: StudySettings, habit: Habit | None) -> QuietTime:
    """The quiet time for one device; never longer than ``study.quiet_seconds``."""
    longest = settings.quiet_seconds
    if not settings.learn_quiet:
        return QuietTime(longest, "study.quiet_seconds")
    if habit is None or habit.studies < ENOUGH:
        seen = habit.studies if habit else 0
        return QuietTime(longest, f"study.quiet_seconds; {seen} of {ENOUGH} studies seen before learning counts")
    learned = FACTOR * habit.longest_pause() + MARGIN
    seconds = min(longest, max(settings.quiet_floor_seconds, learned))
    return QuietTime(seconds, f"learned from {habit.studies} studies of {habit.calling_ae}")


class Quiet:
    """What is waited for each device now. Receiver threads ask while the loop learns: the mapping is replaced as a whole."""

    def __init__(self, settings: StudySettings, habits: Mapping[str, Habit]) -> None:
        self._settings, self._habits = settings, habits

    def learned(self, habits: Mapping[str, Habit]) -> None:
        """From now on this is known."""
        self._habits = habits

    def seconds(self, calling_ae: str) -> float:
        """The quiet time for a calling AE title."""
        return quiet_time(self._settings, self._habits.get(calling_ae)).seconds
