"""Names that model makers give to what they segment, as SNOMED CT codes where the name is plain; else a private code."""

import colorsys
import re
from typing import Any

ANATOMY = ("91723000", "Anatomical Structure")
ABNORMAL = ("49755003", "Morphologically Abnormal Structure")
SIDES = {"left": ("7771000", "Left"), "right": ("24028007", "Right")}

# name: (SNOMED CT code, meaning), as in PS3.16 (CID 4031, 7140 and others).
_ORGANS = {
    "spleen": ("78961009", "Spleen"),
    "liver": ("10200004", "Liver"),
    "kidney": ("64033007", "Kidney"),
    "gallbladder": ("28231008", "Gallbladder"),
    "stomach": ("69695003", "Stomach"),
    "pancreas": ("15776009", "Pancreas"),
    "adrenal gland": ("23451007", "Adrenal gland"),
    "esophagus": ("32849002", "Esophagus"),
    "oesophagus": ("32849002", "Esophagus"),
    "trachea": ("44567001", "Trachea"),
    "lung": ("39607008", "Lung"),
    "heart": ("80891009", "Heart"),
    "aorta": ("15825003", "Aorta"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "ivc": ("64131007", "Inferior vena cava"),
    "postcava": ("64131007", "Inferior vena cava"),
    "duodenum": ("38848004", "Duodenum"),
    "small bowel": ("30315005", "Small Intestine"),
    "colon": ("71854001", "Colon"),
    "urinary bladder": ("89837001", "Urinary bladder"),
    "bladder": ("89837001", "Urinary bladder"),
    "prostate": ("41216001", "Prostate"),
    "transition zone": ("399384005", "Transition zone of the prostate"),
    "peripheral zone": ("279706003", "Peripheral zone of the prostate"),
    "left ventricle": ("87878005", "Left ventricle"),
    "right ventricle": ("53085002", "Right ventricle"),
    "myocardium": ("74281007", "Myocardium"),
    "brain": ("12738006", "Brain"),
    "brainstem": ("15926001", "Brainstem"),
    "thyroid gland": ("69748006", "Thyroid"),
    "femur": ("71341001", "Femur"),
    "sacrum": ("54735007", "Sacrum"),
    "sternum": ("56873002", "Sternum"),
    "clavicle": ("51299004", "Clavicle"),
    "scapula": ("79601000", "Scapula"),
    "humerus": ("85050009", "Humerus"),
    "hip": ("29836001", "Hip"),
    "spinal cord": ("2748008", "Spinal cord"),
    "skull": ("89546000", "Skull"),
}
_LESIONS = {
    "tumor": ("108369006", "Neoplasm"),
    "tumour": ("108369006", "Neoplasm"),
    "lesion": ("52988006", "Lesion"),
    "nodule": ("27925004", "Nodule"),
    "cyst": ("367643001", "Cyst"),
    "consolidation": ("95436008", "Lung consolidation"),
    "edema": ("79654002", "Edema"),
}


def plain(name: str) -> str:
    """Lower case words, without underscores and numbers of variants."""
    return re.sub(r"\s+", " ", re.sub(r"[_\-/()]+", " ", name.lower())).strip()


def concept(name: str) -> tuple[tuple[str, str], tuple[str, str] | None, bool]:
    """(code and meaning), side, and whether the code is SNOMED CT's (else it is private)."""
    words = plain(name)
    for table in (_ORGANS, _LESIONS):
        if words in table:
            return table[words], None, True
        for side, code in SIDES.items():
            rest = re.sub(rf"\b{side}\b", "", words).strip()
            if rest != words and rest in table:
                return table[rest], code, True
    return (re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:16] or "class", name[:64]), None, False


def segment(number: int, name: str) -> tuple[dict[str, Any], bool]:
    """An item of segments.json for a name, and whether it has a SNOMED CT code."""
    (code, meaning), side, standard = concept(name)
    abnormal = any(plain(name) == word or plain(name).endswith(" " + word) for word in _LESIONS)
    category = ABNORMAL if abnormal else ANATOMY
    red, green, blue = colorsys.hsv_to_rgb(number * 0.381966 % 1, 0.6, 0.95)
    item: dict[str, Any] = {
        "labelID": number,
        "SegmentLabel": name.replace("_", " ")[:64],
        "SegmentedPropertyCategoryCodeSequence": _dcmqi(category[0], "SCT", category[1]),
        "SegmentedPropertyTypeCodeSequence": _dcmqi(code, "SCT" if standard else "99IMPORTED", meaning),
        "recommendedDisplayRGBValue": [round(255 * v) for v in (red, green, blue)],
    }
    if side:
        item["SegmentedPropertyTypeModifierCodeSequence"] = _dcmqi(side[0], "SCT", side[1])
    return item, standard


def _dcmqi(code: str, scheme: str, meaning: str) -> dict[str, str]:
    return {"CodeValue": code[:16], "CodingSchemeDesignator": scheme, "CodeMeaning": meaning[:64]}


def code(value: str, scheme: str, meaning: str) -> dict[str, str]:
    """A code of report.json."""
    return {"value": value[:16], "scheme": scheme, "meaning": meaning[:64]}
