"""Features of a nodule as ACR TI-RADS has them, their points, and the risk of a sum of points; sizes of the pictures."""

SIZE = 256  # pixels of the picture that the outlining network sees
SIDE, MARGIN = 128, 1.5  # pixels of the crop; its side, in long sides of the nodule's box
HEADS = {"composition": 4, "echogenicity": 4, "margin": 4, "foci": 4, "halo": 1, "shape": 1}
CHOICES = ("composition", "echogenicity", "margin")  # one of several; the other heads are yes or no
OUTPUTS = (*CHOICES, "comet-tail", "macrocalcification", "rim-calcification", "punctate-foci", "halo", "risk")
# Points of ACR TI-RADS (Tessler 2017, J Am Coll Radiol 14:587), in the order of nodule.COMPOSITION, ECHO, MARGIN, FOCI
POINTS = {
    "composition": (0.0, 0.0, 1.0, 2.0),
    "echogenicity": (0.0, 1.0, 2.0, 3.0),
    "margin": (0.0, 0.0, 2.0, 3.0),
    "foci": (0.0, 1.0, 2.0, 3.0),
    "shape": (3.0,),
}
# Share of malignant nodules of the levels TR1 to TR5 (Middleton 2017, AJR 208:1331), put at the points that stand for a level
RISK = ((0.0, 0.003), (2.0, 0.015), (3.0, 0.048), (5.0, 0.091), (8.0, 0.35), (13.0, 0.7))
