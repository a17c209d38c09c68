"""Names that model makers give to the channels of a network, as the rules of a package by which a node finds the series.

Descriptions come first, for they are what people chose; what the scanner measured with comes second. All of it is an assumption
that whoever brings the model must look at.
"""

import re
from collections.abc import Sequence
from typing import Any

from domain.errors import PackageError
from inference.importing import parts

Table = dict[str, Any]

_AGENT = ["*gd*", "*gad*", "*+c*", "*c+*", "*post*", "*contrast*", "*t1c*", "*t1ce*", "*+km*", "*m. km*"]
_NO_T2 = ["*flair*", "*dark*fluid*", "*tirm*", "*stir*", "*t1*", "*t2star*", "*swi*"]
_NO_T1 = ["*t2*", "*dwi*", "*dti*", "*adc*", "*swi*", "*loc*", "*scout*", "*survey*", "*perf*", "*angio*", "*tof*"]
_RULES: dict[str, list[Table]] = {
    "T1": [
        {"description": ["*t1*"], "description_excludes": _AGENT, "contrast": False},
        {"description": ["*t1*"], "description_excludes": _AGENT},
        {"contrast": False, "echo_time_ms": [0.0, 40.0], "repetition_time_ms": [0.0, 3000.0], "description_excludes": _NO_T1},
    ],
    "T1 with contrast": [
        {"description": ["*t1*"], "contrast": True},
        {"description": ["*t1*" + words[1:] for words in _AGENT] + ["*gd*t1*", "*post*t1*", "*contrast*t1*", "*t1c*", "*t1ce*"]},
        {"contrast": True, "echo_time_ms": [0.0, 40.0], "repetition_time_ms": [0.0, 3000.0], "description_excludes": _NO_T1},
    ],
    "T2": [
        {"description": ["*t2*"], "description_excludes": _NO_T2},
        {
            "echo_time_ms": [60.0, 300.0],
            "repetition_time_ms": [2000.0, 20000.0],
            "inversion_time_ms": [0.0, 0.0],
            "diffusion_b_value": [0.0, 0.0],
            "description_excludes": _NO_T2,
        },
    ],
    "FLAIR": [
        {"description": ["*flair*", "*dark*fluid*", "*tirm*"], "description_excludes": ["*t1*"]},
        {"inversion_time_ms": [1500.0, 3500.0], "echo_time_ms": [60.0, 600.0]},
    ],
    "PD": [
        {"description": ["*pd*", "*proton*dens*"]},
        {"echo_time_ms": [0.0, 40.0], "repetition_time_ms": [1800.0, 20000.0], "inversion_time_ms": [0.0, 0.0]},
    ],
    "ADC": [{"image_type": ["ADC"]}, {"description": ["*adc*", "*apparent*"]}],
    "DWI": [
        {"diffusion_b_value": [500.0, 3000.0], "image_type_excludes": ["ADC"]},
        {"description": ["*dwi*", "*diff*", "*trace*", "*b1000*", "*b800*", "*b1400*"], "description_excludes": ["*adc*"]},
    ],
    "CT": [],
    "PET": [],
}
_NAMES = (
    ("FLAIR", r".*flair.*|t2f"),
    (
        "T1 with contrast",
        r"t1(w)?(c|ce|gd|gad|post|km|contrast|withcontrast|cpost|weightedcontrast).*|.*(gd|gadolinium|post)t1.*",
    ),
    ("T1", r"t1(w|n|weighted|pre|mprage)*(mri)?"),
    ("T2", r"t2(w|weighted)*(mri)?"),
    ("ADC", r".*adc.*"),
    ("DWI", r".*(dwi|hbv|highb).*|b\d{3,4}"),
    ("PD", r"pd(w)?|protondensity"),
    ("CT", r"ct|ctac"),
    ("PET", r"pet|pt|suv|suvbw|fdg|petsuv"),
)
_MODALITY = {"CT": "CT", "PET": "PT"}


def channel(name: str, modality: str) -> Table:
    """An item of ``[[input.channels]]``; ``modality`` is that of names that are no known sequence. Raises PackageError."""
    words = re.sub(r"[^a-z0-9]+", "", name.lower())
    known = next((kind for kind, pattern in _NAMES if re.fullmatch(pattern, words)), "")
    if not known and (not modality or not words):
        raise PackageError(
            f"the channel {name!r} is no sequence that is known here: name the channels with --channels, or --modality"
        )
    found: Table = {"name": _line(name), "modality": _MODALITY.get(known, "MR") if known else modality}
    found["units"] = parts.UNITS.get(found["modality"], "arbitrary")
    rules = _RULES[known] if known else [{"description": [f"*{name.lower()[:60]}*"]}]
    return found | ({"any_of": rules} if rules else {})


def _line(name: str) -> str:
    return "".join(c for c in name if c.isprintable())[:32].strip() or "channel"


def channels(names: Sequence[str], count: int, modality: str, where: str) -> list[Table]:
    """``[[input.channels]]`` of a network of ``count`` channels called ``names``; raises PackageError."""
    if len(names) != count:
        named = f"{len(names)} are named" if names else "none is named"
        raise PackageError(
            f"{where}: the network wants {count} channels (sequences) at once and {named}: say which with --channels"
        )
    found = [channel(name, modality) for name in names]
    if len({one["name"].lower() for one in found}) != count:
        raise PackageError(f"{where}: two channels have one name: say which sequences they are with --channels")
    return found


def assumed(found: Sequence[Table]) -> list[str]:
    """Sentences for the card."""
    if not found:
        return []
    names = ", ".join(one["name"] for one in found)
    return [
        f"Channels: {names}, in this order. The rules in [[input.channels]] by which a node finds these series were assumed from "
        "the names alone: compare them with the protocols of this site.",
        f"All channels are laid over {found[0]['name']}, which the result is drawn on. Training images were probably registered "
        "and stripped of the skull; here images are taken as they lie in one frame of reference.",
    ]
