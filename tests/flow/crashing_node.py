"""``ancilla serve`` that ends with SIGKILL at one chosen moment, or whose workers die on one model: faults from outside the code.

CRASH_AT="module:function:before|after:n" ends the node at the n-th call, also when the call happens in a worker.
POISON="folder:signal|sleep" makes a worker that gets an order for the package in that folder end by a signal, or never end.
Workers import this file too (as their main module), so both reach them.
"""

import functools
import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


def die() -> None:
    """Nothing is flushed, closed or told: as a power cut. In a worker the node goes first."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def crash_at(place: str) -> None:
    """Put the fault into the function it names."""
    module, name, when, number = place.split(":")
    calls = itertools.count(1)

    def wrapped(function: Function) -> Function:
        @functools.wraps(function)
        def faulty(*args: Any, **kwargs: Any) -> Any:
            this_one = next(calls) == int(number)
            if this_one and when == "before":
                die()
            result = function(*args, **kwargs)
            if this_one:
                die()
            return result

        return faulty

    replace(module, name, wrapped)


def poison(what: str) -> None:
    """Make one package deadly for its workers."""
    folder, how = what.split(":")

    def wrapped(function: Function) -> Function:
        @functools.wraps(function)
        def faulty(order: Any, *args: Any) -> Any:
            if f"/{folder}" in order.package and how == "signal":
                os.kill(os.getpid(), signal.SIGSEGV)
            elif f"/{folder}" in order.package:
                threading.Event().wait()  # for ever
            return function(order, *args)

        return faulty

    replace("node.work", "_analyse", wrapped)


def replace(module: str, name: str, wrapped: Callable[[Function], Function]) -> None:
    """Wrap a function or a method where its callers look it up."""
    *owners, last = name.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(owner, last, wrapped(getattr(owner, last)))


if place := os.environ.get("CRASH_AT", ""):
    crash_at(place)
if what := os.environ.get("POISON", ""):
    poison(what)

if __name__ == "__main__":
    from node.__main__ import main

    sys.exit(main())
