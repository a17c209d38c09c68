"""Parts of a request body into the node one by one, nothing kept but their outcomes."""

from console.desk import Outcome, Part, Transfer
from console.multipart import Began, Data, Splitter

_CANNOT_UNDERSTAND = 0xC000


class Unpacking:
    """One request body. Nothing here waits for the network; any thread may call, one at a time."""

    def __init__(self, splitter: Splitter, transfer: Transfer) -> None:
        self.outcomes: list[Outcome] = []
        self._splitter, self._transfer = splitter, transfer
        self._part: Part | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body. Raises MultipartError."""
        for event in self._splitter.feed(chunk):
            if isinstance(event, Data):
                if self._part:
                    self._part.write(event.content)
            elif isinstance(event, Began):
                self._begin(event.fields.get("content-type", "application/dicom"))
            elif self._part:
                part, self._part = self._part, None
                self.outcomes.append(part.finish())

    def end(self, how: str) -> None:
        """The body has ended, or will not: what is unfinished is given up."""
        part, self._part = self._part, None
        if part:
            part.discard()
        self._transfer.close(how)

    def _begin(self, content_type: str) -> None:
        if content_type.partition(";")[0].strip().lower() == "application/dicom":
            self._part = self._transfer.begin()
        else:
            self.outcomes.append(self._transfer.refuse(_CANNOT_UNDERSTAND, "part is not of type application/dicom"))
