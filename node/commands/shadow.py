"""``ancilla shadow``: what models in shadow answered, beside what was sent, and how far the two agree."""

import argparse
import csv
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from node.commands.options import Commands, command, days, now, settings_of, store_of
from node.commands.output import show_json, show_pairs, show_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from domain.jobs import Job
    from node.beside import Agreement, Pair, Said, Side
    from node.config import Settings


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Answers of models in shadow beside the live ones: study by study, and how often they agree."
    shadow = command(commands, "shadow", words, _shadow, listing=True)
    shadow.add_argument("--model", default="", metavar="ID", help="this model in shadow only; default: every one")
    shadow.add_argument("--beside", default="", metavar="ID", help="the live model it is compared with; default: the same ID")
    shadow.add_argument("--days", type=days, metavar="N", help="only studies of which an answer in shadow is no older")
    shadow.add_argument("--limit", type=int, default=100, metavar="N", help="rows of the table; counts are of all studies")
    shadow.add_argument("--csv", action="store_true", help="one row per study, for a spreadsheet")


def _shadow(args: argparse.Namespace) -> int:
    from node.beside import agreement, pairs

    settings, store = settings_of(args), store_of(args)
    since = now() - timedelta(days=args.days) if args.days is not None else None
    found = pairs(store.answers_with_shadow(since), _numbers(settings), args.model, args.beside)
    whole = agreement(found)
    if args.json:
        show_json({"agreement": whole, "studies": found})
    elif args.csv:
        _write(found)
    else:
        _print(found[: args.limit], whole)
    return 0


def _numbers(settings: "Settings") -> "Callable[[Job], str]":
    from domain.jobs import Outcome
    from node.orders import RESULTS, out_name
    from node.shelf import measurements

    results = settings.node.data_dir / RESULTS
    return lambda job: "" if job.outcome is Outcome.FAILED else measurements(results / out_name(job, False))


def _print(found: "Sequence[Pair]", whole: "Agreement") -> None:
    columns = ("study", "shadow model", "live", "shadow", "agreement", "live says", "shadow says")
    rows = [
        (pair.study_uid, pair.shadow.model_id, _outcome(pair.live), _outcome(pair.shadow), _agreement(pair), _words(pair.live),
         _words(pair.shadow))
        for pair in found
    ]  # fmt: skip
    show_table(columns, rows, "no answers in shadow; `shadow = true` in a [[model]] makes them")
    if not found:
        return
    print(f"\n{len(found)} of {whole.shadow.answers}\n")
    show_table(("agreement", "studies"), list(whole.counts.items()))
    rate = (
        "no study was analysed by both" if whole.rate is None else f"{whole.rate:.1%} of {whole.both_analysed} analysed by both"
    )
    print()
    show_pairs({"the same": rate, "live": _side(whole.live), "shadow": _side(whole.shadow)})


def _agreement(pair: "Pair") -> str:
    return pair.agreement + ("" if pair.same_images or pair.live is None else " (other images)")


def _outcome(said: "Said | None") -> str:
    return said.outcome if said else ""


def _words(said: "Said | None") -> str:
    return (said.reason or said.summary) if said else ""


def _side(side: "Side") -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in side.outcomes.items())
    time = f"; {side.seconds:g} s each (median)" if side.seconds is not None else ""
    return f"{counts or 'no answers'}{time}"


def _write(found: "Sequence[Pair]") -> None:
    from dataclasses import asdict, fields

    from node.beside import Said
    from node.spreadsheet import harmless

    names = [field.name for field in fields(Said)]
    columns = ["study_uid", "agreement", "same_images", *(f"{side}_{name}" for side in ("live", "shadow") for name in names)]
    table = csv.DictWriter(sys.stdout, columns, restval="")
    table.writeheader()
    for pair in found:
        row: dict[str, Any] = {"study_uid": pair.study_uid, "agreement": pair.agreement}
        row["same_images"] = "" if pair.live is None else "yes" if pair.same_images else "no"
        for side, said in (("live", pair.live), ("shadow", pair.shadow)):
            row |= {f"{side}_{name}": harmless(value) for name, value in asdict(said).items()} if said else {}
        table.writerow(row)
