"""``nano-hpo status``: a study in; how it stands out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared import add_study

if TYPE_CHECKING:
    from orchestrator.snapshot import Snapshot
    from orchestrator.standing import RunStanding, Standing

_STATUS_EPILOG = """\
--json prints one object: "study", "storage", "directions", "counts" (of trials by state), "best" (null, or
"number", "value", "params"), and "run" (null, or "run_id", "owner", "state", "reason", "n_trials",
"finished", "states", "causes", "rate_per_s", "eta_s", "time_left_s", "hosts", "agents" and "slots", a list
of those at a trial with "host", "rank", "slot", "cpus", "trial", "step", "value", "age_s"). "state" is
running, stopping (asked to), finished, stopped, failed or cut off (nobody is at work on it).

examples:
  nano-hpo status                              # of the last run of this folder
  nano-hpo status --storage mysql://user@host/db --study-name s
  nano-hpo status --study last --json | jq .run.finished"""


def add_status(subparsers: Any) -> None:
    """The verb and its options."""
    parser = subparsers.add_parser(
        "status",
        help="say how a study stands",
        description="Say how a study stands: trials by state, the best, the run, and what its slots are at.",
        epilog=_STATUS_EPILOG,
    )
    add_study(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=status)


def status(options: argparse.Namespace) -> int:
    """One look; 0 whatever it shows."""
    from orchestrator.results import dumps
    from orchestrator.standing import read_standing
    from orchestrator.storage_url import masked
    from orchestrator.stored import open_stored

    database, url, name = open_stored(options.storage, options.study_name)
    try:
        standing = read_standing(database, name)
    finally:
        database.close()
    if options.json:
        print(dumps({"storage": masked(url), **as_json(standing)}))
    else:
        print(as_text(standing, masked(url)))
    return 0


def as_json(standing: Standing) -> dict[str, Any]:
    """Plain data, documented in the help text."""
    study = standing.study
    return {
        "study": study.name,
        "directions": [direction.name.lower() for direction in study.directions],
        "counts": {state.name: n for state, n in study.counts.items() if n},
        "best": _best_json(standing),
        "run": None if standing.run is None else _run_json(standing.run),
    }


def _best_json(standing: Standing) -> dict[str, Any] | None:
    return next(({"number": t.number, "value": t.value, "params": t.params} for t in standing.best), None)


def _run_json(run: RunStanding) -> dict[str, Any]:
    snapshot = snapshot_of("", run)
    return {
        "run_id": run.record.run_id,
        "owner": run.record.owner,
        "state": run.state,
        "reason": run.record.reason,
        "n_trials": run.record.n_trials,
        "finished": run.finished,
        "states": dict(run.states),
        "causes": dict(run.causes),
        "rate_per_s": run.rate_per_s,
        "eta_s": snapshot.eta_s,
        "time_left_s": run.time_left_s,
        "hosts": run.hosts,
        "agents": len(run.agents),
        "slots": [
            {
                "host": one.host,
                "rank": one.rank,
                "slot": one.slot,
                "cpus": one.cpus,
                "trial": one.number,
                "step": one.step,
                "value": one.value,
                "age_s": round(one.age_s, 3),
            }
            for one in run.busy
        ],
    }


def snapshot_of(study: str, run: RunStanding, standing: Standing | None = None) -> Snapshot:
    """A run as the views show it."""
    from orchestrator.snapshot import Best, Snapshot, in_words

    trial = standing.best[0] if standing is not None and standing.best else None
    return Snapshot(
        study=study,
        total=run.record.n_trials,
        finished=run.finished,
        states=run.states,
        running=run.busy,
        starting=0,
        n_slots=len(run.busy),
        best=None if trial is None else Best(trial.number, trial.values[0], in_words(trial.params)),
        rate_per_s=run.rate_per_s if run.agents else None,
        causes=run.causes,
        time_left_s=run.time_left_s,
        curve=standing.curve if standing is not None else (),
    )


def as_text(standing: Standing, storage: str) -> str:
    """For people."""
    from orchestrator.names import on_one_line, shown_names
    from orchestrator.snapshot import in_words

    study = standing.study
    goal = ", ".join(direction.name.lower() for direction in study.directions)
    lines = [
        f"Study:    {on_one_line(study.name)} ({goal}) in {storage}",
        f"Trials:   {_counted({state.name: n for state, n in study.counts.items()}) or 'none'}",
    ]
    for trial in standing.best:
        names = shown_names(trial.params)
        lines.append(f"Best:     {trial.value:.6g} (trial {trial.number})")
        lines += [f"            {names[name]} = {value}" for name, value in in_words(trial.params).items()]
    if standing.run is None:
        return "\n".join([*lines, "Run:      none of nano-hpo"])
    return "\n".join([*lines, *_run_lines(standing.run)])


def _counted(counts: Mapping[str, int]) -> str:
    words = {"FAIL": "failed"}
    return ", ".join(f"{n:,} {words.get(state, state.lower())}" for state, n in counts.items() if n)


def _run_lines(run: RunStanding) -> list[str]:
    from orchestrator.progress import duration, pace

    record, total = run.record, "" if run.record.n_trials is None else f"/{run.record.n_trials:,}"
    words = [f"{run.state}", f"{run.finished:,}{total} finished", *pace(snapshot_of("", run))]
    if run.time_left_s is not None:
        words.append(f"time left {duration(run.time_left_s)}")
    lines = [f"Run:      {', '.join(words)}", f"            {record.run_id} of {record.owner}"]
    if record.reason:
        lines.append(f"            {record.reason}")
    if run.causes:
        by_number = sorted(run.causes.items(), key=lambda item: -item[1])
        lines.append("Trouble:  " + ", ".join(f"{n:,} {cause}" for cause, n in by_number))
    if run.agents:
        agents = "1 agent" if len(run.agents) == 1 else f"{len(run.agents)} agents"
        lines.append(f"At work:  {agents} on {', '.join(run.hosts)}")
    return [*lines, *_slot_lines(run)]


def _slot_lines(run: RunStanding) -> list[str]:
    from orchestrator.cli.columns import columns
    from orchestrator.progress import duration

    rows = [("host", "rank", "slot", "CPUs", "trial", "step", "value", "for")]
    for one in run.busy:
        step = "-" if one.step is None else str(one.step)
        value = "-" if one.value is None else f"{one.value:.6g}"
        head = (one.host, str(one.rank), str(one.slot), one.cpus, str(one.number))
        rows.append((*head, step, value, duration(one.age_s)))
    return [f"  {line}" for line in columns(rows).split("\n")] if run.busy else []
