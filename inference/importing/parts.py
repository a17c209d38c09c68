"""Sensible first forms of the parts of a package: how a volume or an image is taken, segments, quantities, what is said."""

from typing import Any

from domain.errors import PackageError
from inference.importing import vocabulary
from inference.importing.vocabulary import code

PRECISION = {"volume_percent": 2.0, "volume_ml": 1.0, "dice": 0.98, "quantity_percent": 3.0, "quantity_absolute": 0.5}
UNITS = {"CT": "HU", "MR": "arbitrary", "PT": "SUVbw"}
_WINDOWS = {"CT": [40.0, 400.0], "MR": [500.0, 1000.0], "PT": [5.0, 10.0]}
_ABSENT = ("272519000", "SCT", "Absent")
_LIMIT_ML = 0.1


def segments_of(names: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Items of segments.json in order, and the names without a SNOMED CT code; raises PackageError."""
    if not 1 <= len(names) <= 255:
        raise PackageError(f"the model has {len(names)} classes; a package holds 1 to 255")
    labels, items, private = _different(names), [], []
    for number, name in enumerate(labels, 1):
        item, standard = vocabulary.segment(number, name)
        items.append(item)
        if not standard:
            private.append(name)
    return items, private


def _different(names: list[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        short, n = (name.strip() or "class")[:60], 2
        while short.replace("_", " ") in (f.replace("_", " ") for f in found):
            short, n = f"{(name.strip() or 'class')[:56]} {n}", n + 1
        found.append(short)
    return found


def private_words(private: list[str]) -> list[str]:
    """A sentence for the card about classes without a standard code."""
    if not private:
        return []
    named = ", ".join(private[:12]) + (f" and {len(private) - 12} more" if len(private) > 12 else "")
    return [f"No SNOMED CT code is known here for: {named}. They have private codes (99IMPORTED); see segments.json."]


def input_of_volume(modality: str) -> dict[str, Any]:
    """A wide contract: any orientation, spacing and size."""
    if modality not in UNITS:
        raise PackageError(f"a volume must be of modality {', '.join(UNITS)}, not {modality!r}: say which with --modality")
    return {
        "kind": "volume",
        "modality": modality,
        "orientation": "any",
        "orientation_tolerance_deg": 45.0,
        "min_slices": 3,
        "slice_spacing_mm": [0.2, 20.0],
        "max_missing_slices": 0,
        "pixel_spacing_mm": [0.1, 10.0],
        "units": UNITS[modality],
        "min_rows": 16,
        "min_columns": 16,
    }


def report_of_volume(items: list[dict[str, Any]], modality: str) -> dict[str, Any]:
    """The volume and mean of every segment; positive when there is anything at all."""
    numbers = [item["labelID"] for item in items]
    quantities: dict[str, Any] = {"total": {"measure": "Volume", "segments": numbers}}
    findings = []
    for item in items:
        n, kind = item["labelID"], item["SegmentedPropertyTypeCodeSequence"]
        quantities[f"volume_{n}"] = {"measure": "Volume", "segments": [n]}
        quantities[f"mean_{n}"] = {"measure": "Mean", "segments": [n]}
        finding: dict[str, Any] = {
            "name": f"segment-{n}",
            "when": "positive",
            "segment": n,
            "finding": code(kind["CodeValue"], kind["CodingSchemeDesignator"], kind["CodeMeaning"]),
            "outline": n == numbers[0] or len(numbers) <= 8,
            "measurements": [{"quantity": f"volume_{n}"}, {"quantity": f"mean_{n}"}],
        }
        side = item.get("SegmentedPropertyTypeModifierCodeSequence")
        if side:
            finding["laterality"] = code(side["CodeValue"], "SCT", side["CodeMeaning"])
        findings.append(finding)
    about = code("imported", "99IMPORTED", "Structures of the imported model")
    absent = {"name": about, "value": code(*_ABSENT)}
    return {
        "quantities": quantities,
        "positive": [{"quantity": "total", "at_least": _LIMIT_ML}],
        "summary": {"positive": "Segmented: {total:.1f} ml in all.", "negative": "None of the model's structures was found."},
        "findings": findings,
        "statements": [
            {"name": "extent", "when": "positive", "finding": about, "measurements": [{"quantity": "total"}]},
            {"name": "negative", "when": "negative", "finding": about, "evaluations": [absent]},
        ],
        "key_images": {"window": _WINDOWS[modality], "caption": "{label}"},
    }


def report_of_scores(head: str, values: list[str]) -> dict[str, Any]:
    """The probability of every value of one classification; positive when the last value is at least as likely as not."""
    quantities = {
        f"p_{i}": {"measure": "Probability", "output": head, "value": value, "over": "mean"} for i, value in enumerate(values)
    }
    about = code(head, "99IMPORTED", f"Classification: {head}")
    said = [
        {"quantity": f"p_{i}", "name": code(value.replace(" ", "-"), "99IMPORTED", f"Probability of {value}")}
        for i, value in enumerate(values)
    ]
    last = len(values) - 1
    return {
        "quantities": quantities,
        "positive": [{"quantity": f"p_{last}", "at_least": 0.5}],
        "summary": {
            "positive": f"{_braceless(values[last])}: probability {{p_{last}:.2f}}.",
            "negative": f"{_braceless(values[last])} is not likely: probability {{p_{last}:.2f}}.",
        },
        "statements": [{"name": "probabilities", "when": "always", "finding": about, "measurements": said}],
        "key_images": {"whole": 1, "crops": 0, "caption": f"{_braceless(values[last])} {{p_{last}:.2f}}"},
    }


def _braceless(words: str) -> str:
    return words.replace("{", "(").replace("}", ")")


def report_of_objects(items: list[dict[str, Any]]) -> dict[str, Any]:
    """How many objects of each class, each of them as a finding; positive when there is one."""
    numbers = [item["labelID"] for item in items]
    quantities: dict[str, Any] = {"objects": {"measure": "Count", "classes": numbers}}
    findings, said = [], [_count("objects", "Number of objects")]
    for item in items:
        n, kind = item["labelID"], item["SegmentedPropertyTypeCodeSequence"]
        quantities[f"count_{n}"] = {"measure": "Count", "classes": [n]}
        said.append(_count(f"count_{n}", f"Number: {item['SegmentLabel']}"))
        findings.append(
            {
                "name": f"class-{n}",
                "when": "positive",
                "classes": [n],
                "finding": code(kind["CodeValue"], kind["CodingSchemeDesignator"], kind["CodeMeaning"]),
                "max_findings": 10,
            }
        )
    about = code("imported", "99IMPORTED", "Objects of the imported model")
    return {
        "quantities": quantities,
        "positive": [{"quantity": "objects", "at_least": 1}],
        "summary": {"positive": "{objects} objects found.", "negative": "No objects found."},
        "findings": findings,
        "statements": [{"name": "count", "when": "always", "finding": about, "measurements": said}],
        "key_images": {"whole": 3, "crops": 0, "caption": "{objects} objects"},
    }


def _count(quantity: str, meaning: str) -> dict[str, Any]:
    return {"quantity": quantity, "name": code(quantity.replace("_", "-"), "99IMPORTED", meaning)}
