"""A paragraph for the methods section of a paper: a stored study in; plain text, how it was searched, out.

All of it is read from the storage. What the storage does not know (the sampler of plain Optuna's studies, the
versions of a run that was begun before they were recorded) is said to be unknown, never guessed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from orchestrator.carry.files import written
from orchestrator.carry.reading import StudySource
from orchestrator.export.formats import Exported
from orchestrator.names import shown_name, shown_names
from orchestrator.progress import duration
from orchestrator.records import AttemptRecord, RunRecord
from orchestrator.report import describe
from orchestrator.report.words import number
from orchestrator.sql.database import Database
from orchestrator.summarise import summarise
from orchestrator.summary import Summary
from orchestrator.words import how_many

_WIDTH = 88
_MANY = 6  # names in a row; of more the first and the last are named
_SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator (TPE)",
    "random": "random sampling",
    "gp": "Bayesian optimisation with a Gaussian process",
    "cmaes": "CMA-ES",
    "nsgaii": "NSGA-II",
    "nsgaiii": "NSGA-III",
    "qmc": "a quasi-Monte Carlo sequence",
    "grid": "grid search",
    "bruteforce": "exhaustive search",
}
_GOALS = {"MINIMIZE": "minimised", "MAXIMIZE": "maximised", "NOT_SET": "given no direction"}
_ENDED = {"COMPLETE": "completed", "PRUNED": "were pruned", "FAIL": "failed"}
_STILL = {"RUNNING": "running", "WAITING": "waiting"}


def write(database: Database, source: StudySource, file: str, told: Callable[[int], None]) -> Exported:
    """Write the paragraph; what is in the file now."""
    summary = summarise(database, source.head.name, database.url)
    text = methods(summary)
    with written(file, "utf-8") as out:
        out.write(f"{text}\n")
        out.flush()
    return Exported("a methods paragraph", len(summary.trials), len(summary.runs))


def methods(summary: Summary) -> str:
    """The paragraph, in lines of at most 88 characters where words are not longer."""
    text = " ".join(" ".join(_sentences(summary)).split())
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _sentences(summary: Summary) -> Iterator[str]:
    yield _what(summary)
    yield _objectives(summary)
    yield _space(summary)
    yield from _how(summary)
    yield from _budget(summary)
    yield _trials(summary)
    yield from _where(summary)
    yield from _how_long(summary)
    yield from _found(summary)


def _what(summary: Summary) -> str:
    objectives = dict.fromkeys(PurePath(str(run.spec["objective"])).name for run in summary.runs)
    of = f" of {_listed(objectives)}" if objectives else ""
    return f"Hyperparameters{of} were optimised {_tools(summary.runs)} (study '{summary.study.study_name}')."


def _tools(runs: Sequence[RunRecord]) -> str:
    """«with nano-hpo 0.1.0 and Optuna 5.0.0», of each set of versions that a run was begun with."""
    if not runs:
        return "with Optuna (version not recorded)"
    kinds = dict.fromkeys(_versions(run.spec.get("versions")) for run in runs)
    return "with " + ", later with ".join(kinds)


def _versions(known: Mapping[str, str] | None) -> str:
    if known is None:
        return "nano-hpo and Optuna (versions not recorded)"
    return f"nano-hpo {known['nano-hpo']} and Optuna {known['optuna']}"


def _objectives(summary: Summary) -> str:
    goals = [_GOALS[direction.name] for direction in summary.study.directions]
    names = summary.study.metric_names
    if len(goals) == 1:
        return f"The objective{f' ({names[0]})' if names else ''} was {goals[0]}."
    shown = names or [f"objective {index}" for index in range(len(goals))]
    both = [f"{name} ({goal})" for name, goal in zip(shown, goals, strict=True)]
    return f"{len(goals)} objectives were optimised together: {_listed(both)}."


def _space(summary: Summary) -> str:
    found = {name: one for trial in summary.trials for name, one in trial.distributions.items()}
    if not found:
        return "No parameter was searched."
    shown = shown_names(found)
    words = "; ".join(f"{shown[name]} ({describe(one)})" for name, one in sorted(found.items()))
    return f"The search space had {how_many(len(found), 'parameter')}: {words}."


def _how(summary: Summary) -> Iterator[str]:
    """Sampler, pruner and seed, of each kind of run once."""
    if not summary.runs:
        yield "Sampler, pruner and seed are not recorded: no run of nano-hpo has worked on the study."
        return
    kinds = dict.fromkeys(_drawn(run, len(summary.study.directions)) for run in summary.runs)
    for place, kind in enumerate(kinds):
        yield kind if place == 0 else f"In a later run: {kind[0].lower()}{kind[1:]}"


def _drawn(run: RunRecord, n_objectives: int) -> str:
    from orchestrator.sampling.named import plain_name

    spec = run.spec
    sampler = plain_name(str(spec["sampler"]))
    drawn = _SAMPLERS.get(sampler, f"the sampler {spec['sampler']}")
    text = f"Parameters were drawn by {drawn}{_arguments(spec['sampler_args'])} with seed {spec['seed']}"
    pruner = plain_name(str(spec["pruner"]))
    if pruner == "none" or n_objectives > 1:
        return f"{text}; no trial was ended early."
    by = f"the {pruner} pruner{_arguments(spec['pruner_args'])}"
    return f"{text}; unpromising trials were ended early by {by}."


def _arguments(given: Mapping[str, Any]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in sorted(given.items()))})" if given else ""


def _budget(summary: Summary) -> Iterator[str]:
    budgets = [_asked(run.spec) for run in summary.runs]
    if len(budgets) == 1:
        yield f"The budget was {budgets[0]}."
    elif budgets:
        yield f"The budgets of {how_many(len(budgets), 'run')} were {_listed(budgets)}."


def _asked(spec: Mapping[str, Any]) -> str:
    trials = f"{spec['n_trials']:,} finished trials" if spec["n_trials"] is not None else ""
    time = f"{duration(spec['timeout_s'])} of time" if spec.get("timeout_s") is not None else ""
    return " within ".join(filter(None, (trials, time)))


def _trials(summary: Summary) -> str:
    counts = summary.counts
    words = _ENDED | ({"PRUNED": "was pruned"} if counts.get("PRUNED") == 1 else {})
    ended = [f"{counts[state]:,} {word}" for state, word in words.items() if counts.get(state)]
    still = [f"{counts[state]:,} still {word}" for state, word in _STILL.items() if counts.get(state)]
    n = how_many(len(summary.trials), "trial")
    return f"Of {n}, {_listed([*ended, *still])}." if summary.trials else "No trial was begun."


def _where(summary: Summary) -> Iterator[str]:
    """Hosts, CPUs and widths of slots, by the attempts."""
    attempts = summary.attempts
    if not attempts:
        return
    hosts = sorted({attempt.host for attempt in attempts})
    models = sorted({attempt.cpu_model for attempt in attempts} - {""})
    widths = sorted({attempt.slot_width for attempt in attempts} - {0})
    cpus = " or ".join(map(str, widths))
    of_models = f", {_listed(models)}" if models else ""
    threads = "CPU (hardware thread)" if cpus == "1" else "CPUs (hardware threads)"
    each = f" with {cpus} {threads} each" if widths else ""
    at_once = f"at most {how_many(_most_at_once(attempts), 'trial')} at a time"
    yield f"They ran on {how_many(len(hosts), 'host')} ({_some(hosts)}){of_models}, {at_once}{each}."


def _most_at_once(attempts: Sequence[AttemptRecord]) -> int:
    """How many attempts were on at the same moment, at most; one that ends makes room for one that begins."""
    steps = sorted(
        [(attempt.start, 1) for attempt in attempts]
        + [(attempt.end, -1) for attempt in attempts if attempt.end is not None]
    )
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def _how_long(summary: Summary) -> Iterator[str]:
    if summary.wall_s > 0:
        yield (
            f"Trials were at work for {duration(summary.wall_s)} of wall time, and took "
            f"{duration(summary.trial_s)} together."
        )
    elif summary.trial_s > 0:
        yield f"Trials took {duration(summary.trial_s)} together."


def _found(summary: Summary) -> Iterator[str]:
    best = summary.best_trials
    if not best:
        yield "No trial has given a value."
    elif len(summary.study.directions) > 1:
        yield f"{how_many(len(best), 'trial')} {'is' if len(best) == 1 else 'are'} Pareto-optimal."
    else:
        params = ", ".join(f"{shown_name(name)} = {_value(value)}" for name, value in best[0].params.items())
        with_ = f" with {params}" if params else ""
        yield f"The best value, {number(best[0].values[0])}, is that of trial {best[0].number}{with_}."


def _value(value: Any) -> str:
    """Of a parameter, of which None may be one."""
    return "None" if value is None else number(value)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _MANY else f"{names[0]} to {names[-1]}"


def _listed(words: Iterable[str]) -> str:
    """«a», «a and b», «a, b and c»."""
    *heads, last = list(words)
    return f"{', '.join(heads)} and {last}" if heads else last
