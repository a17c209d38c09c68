"""What `ancilla batch` may be pointed at: a folder, a .zip file, the URL of a DICOMweb service, or an archive of node.toml."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from domain.destinations import Destination
from domain.errors import ConfigurationError
from node.batch import Archive
from node.config import Settings
from node.config_check import near
from node.local_archive import LocalArchive
from node.pacs_archive import PacsArchive
from node.rules import KEYWORDS
from node.web_archive import WebArchive


class Found(Archive, Protocol):
    """An archive that is looked through first."""

    other: int  # files that are no DICOM files
    damaged: int  # DICOM files that belong to no study
    named: list[str]  # the first of these
    place: Path | None  # the path that workers must see; None: what they need is fetched for them

    def look(self) -> Iterator[int]:
        """Find the studies; yields how far it is. Raises AncillaError."""

    def close(self) -> None:
        """Give everything back."""


def archive_of(source: str, out: Path, query: Sequence[str], settings: Settings) -> Found:
    """The archive that ``source`` means; ``query`` are texts like StudyDate=20250101-. Raises ConfigurationError."""
    asked = [_asked(text) for text in query]
    destination = _destination(source, settings)
    if destination is None or destination.kind == "folder":
        if asked:
            raise ConfigurationError("--query needs an archive that can be asked: a URL, or a destination of node.toml")
        return LocalArchive(Path(destination.path if destination else source), out)
    if destination.kind == "dicom":
        return PacsArchive(destination, asked)
    return WebArchive(destination, asked)


def _destination(source: str, settings: Settings) -> Destination | None:
    """None: it is a path. A folder that has the name of a destination is meant as ./NAME."""
    if "://" in source:
        return Destination("the archive", "dicomweb", url=_url(source))
    named = next((one for one in settings.destinations if one.name == source), None)
    if named is None and not Path(source).exists():
        names = [one.name for one in settings.destinations]
        raise ConfigurationError(f"{source} is neither a folder, nor a file, nor a URL, nor a destination{near(source, names)}")
    return named


def _url(source: str) -> str:
    parts = urlsplit(source)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{parts.scheme}:// is no DICOMweb service; its URL begins with https:// or http://")
    if parts.username or parts.password:
        raise ConfigurationError(
            "a password does not belong into a URL; make a [[destination]] with password_file and give its name"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError("give the URL of the service alone, such as https://pacs.example/dicom-web, and use --query")
    return source.rstrip("/")


def _asked(text: str) -> tuple[str, str]:
    keyword, equals, value = text.partition("=")
    if not equals or not value:
        raise ConfigurationError(f"--query {text}: write it as StudyDate=20250101-20250131")
    if keyword not in KEYWORDS:
        raise ConfigurationError(f"--query {keyword} is not a DICOM keyword{near(keyword, KEYWORDS)}")
    return keyword, value
