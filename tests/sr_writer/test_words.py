"""A report speaks the language that was asked for, says what it could not analyse, and stays readable for everybody."""

from dataclasses import replace

import pytest

from domain.errors import Reason
from domain.jobs import Outcome
from sr_writer.results import documents
from sr_writer.words import LANGUAGES, conclusion
from tests.ct_series import Series
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role, named, walk


def sentences(case: cases.Case) -> list[str]:
    report = by_role(documents(*case.arguments))["sr"]
    return [str(item.TextValue) for item in walk(report) if item.get("TextValue")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_a_sentence_for_every_answer_and_every_reason(language: str) -> None:
    words = LANGUAGES[language]
    assert set(words.outcomes) == set(Outcome) and set(words.reasons) == set(Reason)
    texts = [words.disclaimer, words.partial, *words.outcomes.values(), *words.reasons.values()]
    assert len(set(texts)) == len(texts) and all(text.strip() for text in texts)


@pytest.mark.parametrize("language", ["de", "es", "zh"])
def test_the_report_names_its_language_and_concludes_in_it(language: str) -> None:
    case = cases.not_analysed(language=language)
    report = by_role(documents(*case.arguments))["sr"]
    (item,) = named(report, "121049")
    assert item.ConceptCodeSequence[0].CodeValue == LANGUAGES[language].code.value
    said = sentences(case)
    expected = LANGUAGES[language]
    assert any(expected.outcomes[Outcome.NOT_ANALYSED] in text and expected.reasons[Reason.SPACING] in text for text in said)
    assert case.analysis.summary in said  # the exact words, with their numbers
    assert said[-1] == expected.disclaimer and case.algorithm.disclaimer in said


def test_a_translation_of_the_package_is_preferred_to_the_fixed_sentence() -> None:
    analysis = replace(cases.positive().analysis, translations={"de": "Verdichtungen in beiden Lungen, 12,4 %."})
    assert conclusion(analysis, "de") == "Verdichtungen in beiden Lungen, 12,4 %."
    assert conclusion(analysis, "es") == "Con hallazgos."
    assert conclusion(analysis, "en") == analysis.summary


def test_chinese_sentences_survive_beside_a_patient_name_in_a_western_character_set() -> None:
    case = cases.negative(Series(), language="zh")
    for header in case.headers:
        header.SpecificCharacterSet = "ISO_IR 100"
        header.PatientName = "Müller^Jürgen"
    report = by_role(documents(*case.arguments))["sr"]
    assert report.SpecificCharacterSet == "ISO_IR 192" and str(report.PatientName) == "Müller^Jürgen"
    assert LANGUAGES["zh"].outcomes[Outcome.NEGATIVE] in sentences(case)


@pytest.mark.parametrize(("make", "code"), [(cases.positive, "111244"), (cases.negative, "111243")])
def test_an_answer_from_an_incomplete_study_says_partly_in_code_in_words_and_in_the_list(make: object, code: str) -> None:
    case = make()  # type: ignore[operator]
    case = replace(case, analysis=replace(case.analysis, partial=True, notes=("3 of 24 images are missing.",)))
    report = by_role(documents(*case.arguments))["sr"]
    found = {i.ConceptCodeSequence[0].CodeValue for i in walk(report) if i.ConceptNameCodeSequence[0].CodeValue == "111017"}
    assert found == {code}
    assert "partly analysed" in report.SeriesDescription
    assert {"Partly analysed: some images were missing.", "3 of 24 images are missing."} <= set(sentences(case))
