"""Who may work for a node: who sees the same folder, has the same versions, and the same kind of machine as all others."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from node.lane import Greeting, Question, reply, versions

NOTES = "cluster"  # below the shared folder
_USED = f"{NOTES}/used"


class Welcome:
    """Leaves a note in the ``folder`` that is shared and judges who has read it. ``sees``: paths that workers must see, too."""

    def __init__(self, folder: Path, sees: Sequence[Path]) -> None:
        """Raises OSError when the note cannot be written."""
        self._folder = folder
        self._machine = ""
        note, token = f"{NOTES}/{uuid4().hex}", uuid4().hex
        (folder / NOTES).mkdir(mode=0o750, parents=True, exist_ok=True)
        (folder / note).write_text(token, encoding="ascii")
        self.question = Question(str(folder), note, token, tuple(str(path) for path in sees), versions())

    def has_worked(self, address: str) -> bool:
        """Whether a worker of the scheduler at ``address`` was used for this folder before."""
        try:
            return (self._folder / _USED).read_text(encoding="utf-8") == address
        except (OSError, ValueError):
            return False

    def works(self, address: str) -> None:
        """Remember that."""
        with suppress(OSError):  # a full disk: then the next start is strict
            (self._folder / _USED).write_text(address, encoding="utf-8")

    def judge(self, instance: str, greeting: Greeting) -> str:
        """Why this worker cannot be used; "" when it can. The first that can says which kind of machine it is: models are tried
        on one kind, and only there is known that they answer right."""
        if greeting.wrong:
            return greeting.wrong
        file = self._folder / reply(self.question.note, instance)
        try:
            same = file.read_text(encoding="ascii") == self.question.token
            file.unlink()
        except (OSError, ValueError):
            same = False
        if not same:
            return f"what it wrote in {self._folder} cannot be seen here: it is another folder there"
        self._machine = self._machine or greeting.machine
        if greeting.machine != self._machine:
            return f"it is another kind of machine ({greeting.machine}) than the first worker ({self._machine})"
        return ""

    def close(self) -> None:
        """Take the note away."""
        with suppress(OSError):
            (self._folder / self.question.note).unlink(missing_ok=True)
