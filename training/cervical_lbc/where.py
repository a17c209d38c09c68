"""Where things lie, and the names and sizes of the cells."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "models" / "cervical-lbc"
OUT = Path(__file__).resolve().parents[1] / "out" / "cervical_lbc"
DETECTOR, CLASSIFIER = OUT / "detector.pt", OUT / "classifier.pt"
CLASSES = (
    "normal_superficiel",
    "normal_intermediate",
    "normal_columnar",
    "light_dysplastic",
    "moderate_dysplastic",
    "severe_dysplastic",
    "carcinoma_in_situ",
)
NORMAL = 3  # the first three are normal
BETHESDA = (0, 0, 0, 1, 2, 2, 2)  # NILM, LSIL, HSIL
LONG_UM = (56.0, 46.0, 22.0, 36.0, 27.0, 23.0, 20.0)  # usual long side of such a cell, micrometres
MICROMETRES = 0.5  # a pixel of the detector's input
MARGIN = 1.15  # a crop is this much longer than the longer side of the cell
CROP = 64  # pixels of the classifier's input
SURE = 0.9  # a cell is surely abnormal from this probability of all abnormal classes together
LEAST_INDEX = 0.089  # a study is positive from this index of abnormality, as report.json has it
