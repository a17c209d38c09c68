"""The companions of the report: the same answer for viewers and archives that show no report of measurements."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pydicom.dataset import Dataset

from domain.results import Analysis
from sr_writer import annotations, capture, encapsulated, presentation, selection
from sr_writer.heading import Heading
from sr_writer.source import by_uid, is_image

Maker = Callable[[Analysis, Mapping[str, Dataset], Heading, str], list[tuple[str, Dataset]]]
MAKERS: Final[dict[str, Maker]] = {
    capture.ROLE: capture.captures,
    presentation.ROLE: presentation.states,
    encapsulated.ROLE: encapsulated.document,
    annotations.ROLE: annotations.annotations,
    selection.ROLE: selection.selection,
}


def companions(analysis: Analysis, headers: Sequence[Dataset], heading: Heading, words: str) -> list[tuple[str, Dataset]]:
    """What ``heading.context.outputs`` asks for, as role and data set. ``words`` say the answer in a series description."""
    images = {uid: header for uid, header in by_uid(headers).items() if is_image(header)}
    wanted = [make for role, make in MAKERS.items() if role in heading.context.outputs]
    return [each for make in wanted for each in make(analysis, images, heading, words)]
