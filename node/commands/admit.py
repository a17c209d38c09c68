"""``ancilla admit``: let a caller in while the node runs, send it away again, see who was turned away and what it wanted."""

import argparse
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError, PermanentError
from node.commands.options import Commands, actor, command, operating, settings_of, store_of
from node.commands.output import show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.strangers import Admission, Stranger


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Let a caller send to this node from now on; a running node knows within a second."
    admit = command(commands, "admit", words, _admit, listing=True)
    admit.add_argument("ae_title", nargs="?", metavar="AE", help="its AE title")
    admit.add_argument("address", nargs="?", metavar="ADDRESS", help="IP address or network it must come from; default: any")
    admit.add_argument("--port", type=int, default=0, help="where it takes results and commitment reports")
    how = admit.add_mutually_exclusive_group()
    how.add_argument("--list", action="store_true", help="who was turned away, how often, and what it wanted to send")
    how.add_argument("--remove", action="store_true", help="take back what `ancilla admit` gave")


def _admit(args: argparse.Namespace) -> int:
    if args.list:
        return _list(args)
    if args.ae_title is None:
        raise ConfigurationError("name an AE title, or see who was turned away: ancilla admit --list")
    return _remove(args) if args.remove else _let_in(args)


def _let_in(args: argparse.Namespace) -> int:
    print(operating(args).admit(args.ae_title, args.address or "", args.port, actor()))
    return 0


def _remove(args: argparse.Namespace) -> int:
    title = args.ae_title.strip()
    gone = store_of(args).dismiss(title, args.address, actor())
    in_file = any(peer.ae_title.strip() == title for peer in settings_of(args).peers)
    hint = "; a [[peer]] of node.toml lets it in: remove that and send SIGHUP to the node" if in_file else ""
    if not gone:
        raise PermanentError(f"`ancilla admit` has not let in {title}{f' from {args.address}' if args.address else ''}{hint}")
    for one in gone:
        print(f"{one.ae_title} may not send {f'from {one.address}' if one.address else 'from any address'} any more{hint}")
    return 0


def _list(args: argparse.Namespace) -> int:
    store = store_of(args)
    strangers, admitted = store.strangers(), store.admissions()
    if args.json:
        show_json({"rejected": [_as_json(one) for one in strangers], "admitted": admitted})
        return 0
    _show_strangers(strangers)
    if admitted:
        print("\nlet in by `ancilla admit`, beside the [[peer]] blocks of node.toml")
        _show_admitted(admitted)
    return 0


def _as_json(one: "Stranger") -> dict[str, object]:
    caller = one.caller
    proposed = [{"uid": uid, "name": _name(uid)} for uid in one.proposed]
    seen = {"count": one.count, "first_at": one.first_at, "last_at": one.last_at, "words": one.words, "proposed": proposed}
    return {"calling_ae": caller.calling_ae, "called_ae": caller.called_ae, "address": caller.address} | seen


def _show_strangers(strangers: "Sequence[Stranger]") -> None:
    rows = [
        (one.caller.calling_ae, one.caller.address, one.caller.called_ae, one.count, one.last_at, one.words, _wanted(one))
        for one in strangers
    ]
    show_table(("AE title", "address", "called", "times", "last", "why", "wanted to send"), rows, "nobody was turned away")


def _show_admitted(admitted: "Sequence[Admission]") -> None:
    rows = [(one.ae_title, one.address or "any", one.port or "", one.at, one.actor) for one in admitted]
    show_table(("AE title", "address", "port", "since", "by"), rows)


def _wanted(one: "Stranger", most: int = 6) -> str:
    names = [_name(uid) for uid in one.proposed]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _name(uid: str) -> str:
    """The name of a SOP class, or its UID when the Standard does not know it."""
    from pydicom.uid import UID

    return UID(uid).name
