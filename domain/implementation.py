"""Who we say we are wherever DICOM asks for the implementation (PS3.7 D.3.3.2, PS3.10 7.1)."""

from typing import Final

IMPLEMENTATION_CLASS_UID: Final = "2.25.213346353654019055806398325973278074473"
IMPLEMENTATION_VERSION: Final = "ANCILLA"
