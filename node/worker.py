"""What runs in a worker process: tasks in, answers out, nothing heavy imported before the first task asks for it."""

import ctypes
import os
import pickle
import signal
import sys
import traceback
import warnings
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from domain.errors import PermanentError, TransientError

# Read when NumPy is imported. Memory of a volume now and then waits until the kernel has put huge pages together.
SMALL_PAGES = ("NUMPY_MADVISE_HUGEPAGE", "0")
NICE = 3  # one thread that receives then gets a whole core, however many compute (weights 1024 and 526)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve_tasks(pipe: Connection, parent: int) -> None:
    """Work until the pipe closes. Control-C and a service stop are the parent's business: it decides what is finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with(parent)
    os.nice(NICE)
    os.environ.setdefault(*SMALL_PAGES)
    warnings.simplefilter("ignore")  # those of pydicom quote values of the data set
    while True:
        try:
            payload = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        answer = _answer(payload)
        try:
            pipe.send_bytes(answer)
        except OSError:
            return


def _die_with(parent: int) -> None:
    """A node that was killed must leave no worker behind that still computes for a lost lease."""
    if sys.platform != "linux":
        return  # there the closed pipe ends the worker after its task
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before the kernel was told


def _answer(payload: bytes) -> bytes:
    """The pickled (True, result) or (False, exception) of one task.

    This is an executor: every exception of the task belongs to the future and is judged by the runner's conclusion.
    """
    try:
        fn, args, kwargs = pickle.loads(payload)  # noqa: S301 - from our own parent over a private pipe
        return pickled(True, fn(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - handed on, not swallowed
        error.add_note(_where(error))  # a traceback does not travel
        return pickled(False, error)


def pickled(good: bool, value: Any) -> bytes:
    """What ``node.pool.conclude`` reads. Both ways: what pickles but cannot be rebuilt would break the parent."""
    try:
        data = bytes(ForkingPickler.dumps((good, value)))
        if not good:
            pickle.loads(data)  # noqa: S301 - just written
    except Exception as error:  # noqa: BLE001 - __reduce__ of any class may raise anything
        words = f"{type(value).__name__} of the task cannot be sent ({type(error).__name__})"
        return bytes(ForkingPickler.dumps((False, PermanentError(words) if good else TransientError(words))))
    return data


def _where(error: Exception) -> str:
    """File and line of the innermost frame of our own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    frame = (own or frames)[-1]
    return f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}"
