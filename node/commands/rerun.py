"""``ancilla rerun``: judge a study again by the rules and packages of now; what that changes supersedes the former result."""

import argparse

from domain.errors import PermanentError
from node.commands.options import Commands, actor, command, now, settings_of, store_of
from node.commands.output import show_json, show_table


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Judge a study again by today's rules and packages; equal images and packages send the stored results again."
    rerun = command(commands, "rerun", words, _rerun, listing=True)
    rerun.add_argument("study", metavar="STUDY_UID")
    rerun.add_argument("--model", default="", metavar="ID", help="this one only; default: every model of the configuration")
    rerun.add_argument("--shadow", action="store_true", help="only what runs in shadow: nothing is sent again")


def _rerun(args: argparse.Namespace) -> int:
    from node.loaded import load_models
    from node.lock import is_locked
    from node.rerunning import rerunning_for, unread

    settings, store = settings_of(args), store_of(args)
    models = load_models(settings)
    running = is_locked(settings.node.data_dir)
    if running and unread(settings, models, store):
        raise PermanentError(
            "the running node has not read this configuration or packages yet; send it SIGHUP (systemctl reload), then again"
        )
    found = rerunning_for(settings, models, store, now).rerun(args.study, args.model, actor(), args.shadow)
    rows = [
        {
            "model": each.model_id,
            "shadow": each.shadow,
            "action": each.action,
            "why": each.why,
            "job": each.job_id,
            "before": each.before.job_id if each.before else None,
        }
        for each in found
    ]
    if args.json:
        show_json({"study_uid": args.study, "node_running": running, "models": rows})
        return 0
    columns = ("model", "action", "why", "job", "before")
    told = [{**row, "model": each.name} for row, each in zip(rows, found, strict=True)]
    show_table(columns, [[row[name] for name in columns] for row in told])
    if not running:
        print("\nThe node is stopped; it goes on when `ancilla serve` runs.")
    return 0
