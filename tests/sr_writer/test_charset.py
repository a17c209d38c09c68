"""Names survive in the character set of the images, byte for byte where that set holds everything."""

import io
from dataclasses import replace

import pydicom
import pytest
from pydicom.dataset import Dataset

from sr_writer.results import documents
from tests.ct_series import Series, part10
from tests.sr_writer import cases
from tests.sr_writer.reading import named, saved

# PS3.5 annexes H, I and J
NAMES = {
    "GB18030": ("GB18030", "Wang^XiaoDong=王^小东"),
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Latin": ("ISO_IR 100", "Buc^Jérôme"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг"),
    "none": (None, "Plain^Name"),
}


def received(charset: object, name: str, **tags: object) -> cases.Case:
    """A case whose headers were read from files, with text still as bytes."""

    def change(ds: Dataset) -> None:
        if charset is None:
            del ds.SpecificCharacterSet
        else:
            ds.SpecificCharacterSet = charset
        ds.PatientName = name
        for keyword, value in tags.items():
            setattr(ds, keyword, value)

    series = Series(slices=12, size=32, change=change)
    case = cases.positive(series)
    headers = [pydicom.dcmread(io.BytesIO(part10(ds)), stop_before_pixels=True) for ds in series.datasets()]
    return replace(case, headers=headers)


def raw(data: bytes, keyword: str) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(data))
    element = ds.get_item(keyword)
    assert element is not None and isinstance(element.value, bytes)
    return element.value


@pytest.mark.parametrize(("charset", "name"), NAMES.values(), ids=NAMES.keys())
def test_patient_names_are_the_same_bytes_in_every_object(charset: object, name: str) -> None:
    case = received(charset, name)
    source = io.BytesIO()
    case.headers[0].save_as(source, enforce_file_format=True)
    for document in documents(*case.arguments):
        data = saved(document)
        assert raw(data, "PatientName") == raw(source.getvalue(), "PatientName")
        again = pydicom.dcmread(io.BytesIO(data))
        assert str(again.PatientName) == name
        assert again.get("SpecificCharacterSet") == case.headers[0].get("SpecificCharacterSet")


# The bytes as the Standard prints them: PS3.5 J.3, H.3.1 and I.2
BYTES = {
    "GB18030": b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab",
    "Japanese": b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    "Korean": b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
}


@pytest.mark.parametrize("kind", BYTES)
def test_names_are_the_bytes_the_standard_prints(kind: str) -> None:
    for document in documents(*received(*NAMES[kind]).arguments):
        assert raw(saved(document), "PatientName").rstrip(b" ") == BYTES[kind]


@pytest.mark.parametrize(("charset", "name"), NAMES.values(), ids=NAMES.keys())
def test_our_words_in_another_script_bring_utf_8_and_the_name_with_them(charset: object, name: str) -> None:
    request = Dataset()
    request.RequestedProcedureDescription = name.split("=")[-1].replace("^", " ")
    case = received(charset, name, StudyDescription=name.split("=")[-1].replace("^", " "), ReferencedRequestSequence=[request])
    summary = "Opacité, 肺部阴影, непрозрачность"
    analysis = replace(case.analysis, summary=summary)
    for document in documents(analysis, *case.arguments[1:]):
        again = pydicom.dcmread(io.BytesIO(saved(document)))
        assert str(again.PatientName) == name
        assert again.StudyDescription == name.split("=")[-1].replace("^", " ")
        if not document.role.startswith("seg"):
            assert again.SpecificCharacterSet in ("ISO_IR 192", "GB18030")
            assert named(named(again, "C0034375")[0], "121077")[0].TextValue == summary
            assert again.ReferencedRequestSequence[0].RequestedProcedureDescription == again.StudyDescription


def test_a_character_set_nobody_knows_does_not_stop_the_answer() -> None:
    case = received("ISO_IR 192", "Plain^Name")
    for header in case.headers:
        header.SpecificCharacterSet = "ISO_IR 999"
    for document in documents(*case.arguments):
        again = pydicom.dcmread(io.BytesIO(saved(document)))
        assert str(again.PatientName) == "Plain^Name"
