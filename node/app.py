"""Wires a node, starts it in the one safe order, and stops it without losing anything."""

import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from types import FrameType
from typing import Final

from pydicom.dataset import Dataset

from db.engine import open_store
from db.spool import Recovered, Spool
from delivery.query import count
from domain.audit import Event
from domain.errors import AncillaError, ConfigurationError
from domain.instances import Place
from inference.source import open_source
from node.accepting import Accepting
from node.atna.forwarding import Forwarding
from node.board import Board
from node.committing import Committing
from node.config import ScpSettings, Settings, load
from node.config_compute import DASK
from node.counting import Counting
from node.delivering import Delivering, deliver
from node.engine import engine_of
from node.express import Express
from node.geometry import plane
from node.inferring import Inferring
from node.intake import Intake
from node.loaded import configured, in_shadow, load_models
from node.lock import DataLock
from node.log import event, warn
from node.notify import notify
from node.operating import Operating
from node.orders import EARLY, PAUSES, SPOOL, STAGED, Orders, installation_id
from node.purging import Purging, purging_for
from node.quiet import Quiet
from node.receiving import peers_of, receiver_for, with_admitted
from node.retaining import Retention
from node.runner import Runner
from node.scanners import Scanners
from node.settler import Settler
from node.tasks import accept, begin, perform, ready
from node.visitors import Visitors
from node.warming import Warming
from node.web import check_files, web_for
from node.witness import Witness

STOP_SECONDS: Final = 20.0  # what runs may end within; systemd waits 90 s by default


class Node:
    """One node in this process. ``start`` and ``stop`` are called once each; ``run`` turns the loop in between."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        """Opens everything and recovers what a power cut left; nothing listens yet. Raises ConfigurationError."""
        check_files(settings)
        self._clock = clock
        self._awake, self._hurry = threading.Event(), threading.Event()
        self._models = load_models(settings)
        data_dir = settings.node.data_dir
        data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock = DataLock(data_dir)
        self.web_port = 0  # of [console], once it listens
        self._visitors = Visitors(data_dir)
        self.store = open_store(settings.node.database, clock)
        self._spool = Spool(data_dir / SPOOL, settings.scp.reserve_bytes, clock, settings.scp.prepared_bytes)
        self._listed = settings.peers  # those of the file
        settings = replace(settings, peers=with_admitted(self._listed, self.store.admissions()))
        self.settings = settings
        self.store.note(Event.NODE_STARTED, "node", configured(settings, self._models))
        purging = purging_for(settings, self.store, self._spool)
        self._sweep(purging)
        self._recover()
        study = settings.study
        self._quiet = Quiet(study, self.store.habits())
        witness = Witness(self.store, self._wake_in_a_hurry)
        self._intake = Intake(
            self._spool,
            self.store,
            study.quiet_seconds,
            study.max_wait_seconds,
            clock,
            self._quiet.seconds,
            witness.arrived,
        )
        scanners = Scanners(self._intake, self._spool, settings.scp.durability == "instance")
        witness.make_durable = scanners.make_durable
        self._receiver = receiver_for(settings, scanners, witness, lambda: self.settings.destinations)
        compute = settings.compute
        self._pool = engine_of(compute, data_dir, [model.settings.package for model in self._models], patient=True)
        for _ in range(compute.workers):
            self._pool.submit(ready)
        accepting = Accepting(self.store, self._pool, accept, lambda: self._models, compute, str(data_dir), clock, self._wake)
        self._board = Board(self.store, lambda: self.settings, lambda: self._models, lambda: self._listed, accepting, clock)
        moves = Operating(self.store, lambda: self.settings, lambda: self._models, clock)
        self._web = web_for(settings, self._intake, lambda: self.settings.peers, self._board, moves)
        self._orders = Orders(self.store, settings, self._models, installation_id(data_dir), accepting.chosen)
        self._counting = Counting(self.store, lambda: self.settings.destinations, count, self._wake)
        plane_of = self._plane if study.watch_gaps else None
        self._settler = Settler(self.store, self._header, self._models, clock, plane_of, self._counting, self._quiet)
        self._delivering = Delivering(self.store, settings, deliver, clock, self._wake)
        self._delivering.shadows = in_shadow(self._models)
        self._committing = Committing(self.store, settings, clock, self._wake)
        self._express = None if compute.executor == DASK else Express()
        inferring = Inferring(
            self.store, self._pool, perform, self._orders, compute, clock, self._wake, express=self._express, gate=accepting
        )
        for left in (EARLY, PAUSES, STAGED):  # another version or another machine may have computed it; those who rested are gone
            shutil.rmtree(data_dir / left, ignore_errors=True)
        warming = Warming(
            self.store,
            self._pool,
            begin,
            self._orders,
            self._settler.jobs,
            lambda: inferring.running + accepting.running,
            clock,
            self._wake,
        )
        self._retention = Retention(self.store, self._spool, purging, settings, clock)
        self._forwarding = Forwarding(self.store, settings, clock, self._wake)
        self._runner = Runner(
            self.store,
            self._settler,
            inferring,
            self._delivering,
            self._awake,
            warming,
            accepting,
            self._committing,
            self._hurry,
            self._retention,
            self._forwarding,
        )

    def start(self) -> int:
        """Listen; returns the port. Raises ConfigurationError when the port of [console] cannot be had."""
        if self._web:
            self.web_port = self._web.start()
            console = self.settings.console
            event("web-listening", port=self.web_port, pages=console.url(self.web_port) if console else "")
        self._spool.prepare()
        port = self._receiver.start()
        event("listening", port=port, ae_title=self.settings.scp.ae_title, bind=self.settings.scp.bind)
        return port

    def run(self, stop: threading.Event) -> None:
        """Turn the loop until ``stop`` is set; ``wake`` lets it notice at once."""
        self._runner.run(stop)

    def wake(self) -> None:
        """Let the loop look around now."""
        self._wake()

    def reap(self) -> None:
        """Close associations whose end is not written down yet, and those of ``ancilla send`` processes that died; what fails is
        tried again on the next call."""
        try:
            self._intake.catch_up()
            self._visitors.reap(lambda found: self.store.closed(found, "lost", self.settings.study.quiet_seconds))
        except (AncillaError, OSError) as error:
            warn("trouble", error=type(error).__name__, at="associations")

    def stop(self) -> None:
        """No new images, running work ends or is queued again, everything is closed."""
        if self._web:
            self._web.stop()
        self._board.close()
        self._receiver.stop()
        self._runner.finish(STOP_SECONDS, time.sleep)
        self._counting.stop()
        self._pool.shutdown(wait=False)
        if self._express:
            self._express.shutdown()
        self._spool.stop()
        self.store.note(Event.NODE_STOPPED, "node", {})
        self._forwarding.finish()
        self.store.close()
        self._lock.release()
        event("stopped")

    def reload(self) -> None:
        """Read the file again: peers, models with their rules, destinations, [delivery], [retention], [audit] and the files of
        [scp.tls] change at once; the rest needs a restart, and the log says so. A file with an error changes nothing."""
        try:
            settings = load(self.settings.file)
            models = load_models(settings)
            scp = _same_ports(settings.scp, self.settings.scp)
            if scp.tls:
                self._receiver.reload_certificates(scp.tls)
        except ConfigurationError as error:
            warn("not-reloaded", reason=str(error))
            return
        fixed = ("node", "study", "compute", "console")
        waiting = [name for name in fixed if getattr(settings, name) != getattr(self.settings, name)]
        waiting += ["scp"] if settings.scp != scp else []
        settings = replace(settings, scp=scp, **{name: getattr(self.settings, name) for name in fixed})
        self._listed = settings.peers
        self._take(replace(settings, peers=with_admitted(self._listed, self.store.admissions())))
        self._delivering.shadows = in_shadow(models)
        self._models = self._orders.models = self._settler.models = models
        event("reloaded", models=len(models), destinations=len(settings.destinations), peers=len(self.settings.peers))
        if waiting:
            warn("restart-needed", sections=",".join(waiting))
        try:
            self.store.note(Event.NODE_RELOADED, "node", configured(settings, models))
        except AncillaError as error:  # it counts all the same; only `ancilla rerun` asks for it
            warn("trouble", error=type(error).__name__, at="reload")

    def admit(self) -> None:
        """Let in, or send away, whom ``ancilla admit`` has named since the last call."""
        try:
            peers = with_admitted(self._listed, self.store.admissions())
        except AncillaError as error:
            warn("trouble", error=type(error).__name__, at="admissions")
            return
        if peers != self.settings.peers:
            self._take(replace(self.settings, peers=peers))
            event("peers-changed", peers=len(peers))

    def _take(self, settings: Settings) -> None:
        self.settings = self._orders.settings = self._delivering.settings = self._committing.settings = settings
        self._retention.settings = self._forwarding.settings = settings
        self._receiver.admit(peers_of(settings.peers))

    def _wake(self) -> None:
        self._awake.set()

    def _wake_in_a_hurry(self) -> None:
        """The last image that was listed has come: the loop should not wait until its row is written."""
        self._hurry.set()
        self._awake.set()

    def _header(self, place: Place) -> Dataset | None:
        """One stored header; None for what pydicom cannot read (it came from the network): no rule wants it."""
        source = open_source(self._spool.view(place))
        if source.fault:
            warn("unreadable", pack=place.pack, offset=place.offset, reason=source.fault)
            return None
        return source.header

    def _plane(self, place: Place) -> Dataset | None:
        return plane(self._spool.view(place))

    def _sweep(self, purging: Purging) -> None:
        """Before packs are looked at: what was purged must not be indexed again. A file that cannot be deleted is known to be
        indexed to its end, so it stays without harm until it can."""
        try:
            purging.sweep()
        except AncillaError as error:
            warn("trouble", error=type(error).__name__, at="leftovers")

    def _recover(self) -> None:
        """Packs know more than the store after a power cut: what lies behind the last indexed byte is indexed now."""
        study = self.settings.study
        with self._visitors.still() as elsewhere:
            self.store.recover(study.quiet_seconds, elsewhere)
            self._recover_packs(elsewhere)

    def _recover_packs(self, elsewhere: frozenset[str]) -> None:
        study = self.settings.study
        for found in self._spool.recover(self.store.indexed(), elsewhere):
            if isinstance(found, Recovered):
                self.store.received(found.instance, study.quiet_seconds, study.max_wait_seconds)
                self.store.note(Event.RECOVERED, "node", {"pack": found.instance.place.pack})
            else:
                self.store.note(
                    Event.TORN, "node", {"pack": found.pack, "offset": found.offset, "length": found.length, "words": found.words}
                )


def _same_ports(new: ScpSettings, old: ScpSettings) -> ScpSettings:
    """The settings that run now, with the new certificate files."""
    if new.tls is None or old.tls is None:
        return old
    return replace(old, tls=replace(new.tls, port=old.tls.port, only=old.tls.only))


def serve(settings: Settings, clock: Callable[[], datetime]) -> None:
    """Run a node until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    node = Node(settings, clock)
    stop, again = threading.Event(), threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        (again if number == signal.SIGHUP else stop).set()
        node.wake()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        node.start()
        notify("READY=1")
        loop = threading.Thread(target=node.run, args=(stop,), name="runner")
        loop.start()
        while loop.is_alive():
            loop.join(0.5)
            node.reap()
            node.admit()
            if again.is_set():
                again.clear()
                node.reload()
        notify("STOPPING=1")
    finally:
        node.stop()
