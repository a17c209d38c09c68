"""The result on one or two pages of PDF: answer, kind of use, pictures, table, model, limits; the same bytes for the same result.

Letters outside Latin are set in the Asian fonts that every PDF reader brings along (Adobe's CID fonts): no font file is needed.
"""

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from PIL import Image as Pictures
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Image, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from domain.results import Algorithm, Analysis
from sr_writer.drawing import colour, drawn
from sr_writer.page_words import PAGES, PageWords
from sr_writer.picture import Sizes
from sr_writer.telling import DISCLAIMER, name, number_of, value_of

MOST_ROWS: Final = 30
LONGEST: Final = 1500  # characters of one text: a cell must fit on a page
MOST_PICTURES: Final = 4
_SIDE: Final = 640  # pixels of the longer side of a picture
_WIDTH: Final = A4[0] - 36 * mm
_SMALL: Final = 8
_BODY: Final = 10
_TITLE: Final = 17
# For letters that Latin fonts lack: Korean, Japanese (kana), and what the Chinese font has (Han, Greek, Cyrillic).
_FONTS: Final = (
    (re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"), "HYSMyeongJo-Medium"),
    (re.compile("[\u3040-\u30ff]"), "HeiseiMin-W3"),
    (re.compile(""), "STSong-Light"),
)


def page(analysis: Analysis, algorithm: Algorithm, sizes: Sizes, language: str = "en") -> bytes:
    """The pages as PDF. There is no patient data in them."""
    stream, words = io.BytesIO(), PAGES[language]
    title = f"{algorithm.name}: {words.headings[analysis.outcome]}"
    document = SimpleDocTemplate(
        stream, pagesize=A4, invariant=1, title=title, author=algorithm.manufacturer,
        subject=DISCLAIMER, lang=language, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=16 * mm, bottomMargin=18 * mm,
    )  # fmt: skip
    document.build(list(_story(analysis, algorithm, sizes, words)), onFirstPage=_foot, onLaterPages=_foot)
    return stream.getvalue()


def _story(analysis: Analysis, algorithm: Algorithm, sizes: Sizes, words: PageWords) -> Iterator[Flowable]:
    yield _text(f"{algorithm.name}: {words.headings[analysis.outcome]}", _TITLE)
    yield Spacer(1, 2 * mm)
    yield _text(analysis.summary, 12)
    yield Spacer(1, 2 * mm)
    yield _warning(algorithm.disclaimer)
    yield Spacer(1, 4 * mm)
    yield from _shown(analysis, sizes)
    yield from _findings(analysis, words)
    yield from _statements(analysis, words)
    yield from _marks(analysis, words)
    yield Spacer(1, 4 * mm)
    for note in analysis.notes:
        yield _text(f"{words.limit}: {note}", _SMALL)
    for line in _model(algorithm, words):
        yield _text(line, _SMALL)


def _model(algorithm: Algorithm, words: PageWords) -> list[str]:
    precision = f", {algorithm.precision}" if algorithm.precision else ""
    return [
        f"{words.model}: {algorithm.name} {algorithm.version} ({algorithm.package_id}{precision}), {algorithm.manufacturer}",
        f"{words.digest}: {algorithm.digest}",
        words.unverified,
    ]


def _foot(canvas: Any, _: Any) -> None:
    canvas.setFont("Helvetica-Bold", _SMALL)
    canvas.drawString(18 * mm, 10 * mm, DISCLAIMER)
    canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, str(canvas.getPageNumber()))


def _text(words: str, size: float, ink: colors.Color = colors.black) -> Paragraph:
    words = words if len(words) <= LONGEST else words[: LONGEST - 4] + " ..."
    style = ParagraphStyle("", fontName=font_for(words), fontSize=size, leading=size * 1.35, textColor=ink, wordWrap=_wrap(words))
    return Paragraph(escape(words), style)


def font_for(words: str) -> str:
    """A font of the reader's own that has these letters; registered when it is first needed."""
    try:
        words.encode("cp1252")
    except UnicodeEncodeError:
        wanted = next(font for pattern, font in _FONTS if pattern.search(words))
        if wanted not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(UnicodeCIDFont(wanted))
        return wanted
    return "Helvetica"


def _wrap(words: str) -> str | None:
    """Lines of Chinese and Japanese break anywhere."""
    return "CJK" if any(unicodedata.east_asian_width(letter) == "W" for letter in words) else None


def _warning(words: str) -> Table:
    told = words if DISCLAIMER in words else f"{DISCLAIMER}. {words}"
    box = TableStyle(
        [("BACKGROUND", (0, 0), (-1, -1), colors.Color(1, 0.93, 0.75)), ("BOX", (0, 0), (-1, -1), 0.5, colors.orange)]
    )
    return Table([[_text(told, _BODY)]], colWidths=[_WIDTH], style=box)


def _shown(analysis: Analysis, sizes: Sizes) -> Iterator[Flowable]:
    """The best key images, at most two beside each other."""
    keys = analysis.key_images[:MOST_PICTURES]
    if not keys:
        return
    across = min(2, len(keys))
    width = _WIDTH / 2 - 3 * mm
    tallest = 85 * mm if len(keys) > 2 else 100 * mm
    cells = []
    for key in keys:
        picture = drawn(analysis, key, _SIDE, sizes)
        shrink = min(width / picture.width, tallest / picture.height)
        cells.append([_jpeg(picture, picture.width * shrink, picture.height * shrink), _text(key.caption or " ", _SMALL)])
    rows = [cells[i : i + across] for i in range(0, len(cells), across)]
    rows[-1] += [[] for _ in range(across - len(rows[-1]))]
    yield Table(rows, colWidths=[_WIDTH / 2] * across, style=TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP")]), hAlign="LEFT")


def _jpeg(picture: Pictures.Image, width: float, height: float) -> Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=88)
    stream.seek(0)
    return Image(stream, width, height)


def _findings(analysis: Analysis, words: PageWords) -> Iterator[Flowable]:
    if not analysis.findings:
        return
    rows: list[list[Any]] = [[_text(head, _SMALL, colors.white) for head in ("", *words.columns)]]
    inks = []
    for number, finding in enumerate(analysis.findings[:MOST_ROWS], 1):
        inks.append(colour(analysis, finding))
        sites = [code.meaning for code in (finding.site, finding.laterality) if code is not None]
        numbers = [number_of(m) for m in (*finding.measurements, *finding.outline_measurements)]
        said = [f"{e.name.meaning}: {e.value.meaning}" for e in finding.evaluations]
        cells = (str(number), name(analysis, finding), ", ".join(sites), "; ".join(numbers), "; ".join(said))
        rows.append([_text(cell, _SMALL) for cell in cells])
    yield Table(rows, colWidths=[_WIDTH * part for part in (0.05, 0.25, 0.15, 0.35, 0.2)], style=_grid(inks), repeatRows=1)
    if len(analysis.findings) > MOST_ROWS:
        yield _text(words.more.format(n=f"{len(analysis.findings) - MOST_ROWS:,}"), _SMALL)
    yield Spacer(1, 3 * mm)


def _grid(inks: Sequence[tuple[int, int, int]] = ()) -> TableStyle:
    bars = [("LINEBEFORE", (0, row), (0, row), 4, colors.Color(*(v / 255 for v in ink))) for row, ink in enumerate(inks, 1)]
    return TableStyle(
        [
            ("BACKGROUND", (0, 0), (-1, 0), colors.Color(0.25, 0.3, 0.35)),
            ("INNERGRID", (0, 0), (-1, -1), 0.25, colors.lightgrey),
            ("BOX", (0, 0), (-1, -1), 0.25, colors.grey),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            *bars,
        ]
    )


def _statements(analysis: Analysis, words: PageWords) -> Iterator[Flowable]:
    if not analysis.statements:
        return
    rows = [[_text(head, _SMALL, colors.white) for head in (words.study, "")]]
    for statement in analysis.statements[:MOST_ROWS]:
        said = [f"{m.name.meaning}: {value_of(m)}" for m in statement.measurements]
        said += [f"{e.name.meaning}: {e.value.meaning}" for e in statement.evaluations]
        rows.append([_text(statement.finding.meaning, _SMALL), _text("; ".join(said), _SMALL)])
    yield Table(rows, colWidths=[_WIDTH * 0.4, _WIDTH * 0.6], style=_grid())


def _marks(analysis: Analysis, words: PageWords) -> Iterator[Flowable]:
    for marks in analysis.marks:
        yield _text(f"{marks.label}: {words.marked.format(n=f'{len(marks.points):,}')}", _BODY)
