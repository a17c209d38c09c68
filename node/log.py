"""One line per event on standard error, ``key=value``; a study is named by a mark that says nothing to a stranger."""

import hashlib
import logging
import sys
import warnings
from collections.abc import Mapping
from typing import TextIO

LOG = logging.getLogger("ancilla")


def start_log(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Log to ``stream`` (standard error). Libraries are heard from warnings on, and pynetdicom and pydicom not at all:
    they quote data sets."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s level=%(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    LOG.setLevel(level)
    warnings.simplefilter("ignore")  # those of pydicom quote values too
    for name in ("pynetdicom", "pydicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def event(name: str, /, **values: object) -> None:
    """One line. Values with spaces are quoted."""
    LOG.info("%s", _line(name, values))


def warn(name: str, /, **values: object) -> None:
    """The same for what somebody should look at."""
    LOG.warning("%s", _line(name, values))


def _line(name: str, values: Mapping[str, object]) -> str:
    return " ".join([name, *(f"{key}={_quoted(value)}" for key, value in values.items())])


def _quoted(value: object) -> str:
    text = str(value)
    plain = text and not any(character in text for character in ' "=\n\r\t')
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', "'").replace("\n", " ").replace("\r", " ") + '"'


def study_mark(study_uid: str) -> str:
    """The first 12 hex digits of the SHA-256 of the Study Instance UID: enough to follow a study through the log."""
    return hashlib.sha256(study_uid.encode()).hexdigest()[:12]
