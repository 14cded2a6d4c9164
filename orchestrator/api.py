"""The way in from Python: ``search(objective, n_trials=…, n_parallels=…)`` gives a ``Summary``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from orchestrator.errors import RunFailed, SpecError
from orchestrator.launching.call_defaults import directions_of_call, storage_of_call, study_name_of_call
from orchestrator.launching.call_sources import call_sources
from orchestrator.launching.launch_run import launch_run
from orchestrator.launching.origin import Origin, origin_of, require_same
from orchestrator.launching.run import Outcome
from orchestrator.live.choice import view_for_people
from orchestrator.machine import checked_choices, most_parallels
from orchestrator.objective import Objective, file_objective, name_of
from orchestrator.progress import Silent, View
from orchestrator.ranks import this_rank
from orchestrator.results import Draw
from orchestrator.server.automatic import resolved
from orchestrator.server.choice import server_for
from orchestrator.sources import Sources
from orchestrator.spec import STORAGE_PATIENCE_S, RunSpec, Walltime
from orchestrator.storage.runs import FAILED
from orchestrator.summary import Summary
from orchestrator.tools import Tools, check_tools, tool_name, tools_of

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from affinity.choices import MemPolicy
    from affinity.partition import ThreadsPer
    from affinity.picking import Policy
    from affinity.threads import OmpBind
    from affinity.topology import KindName
    from orchestrator.tools import Callback


def search(
    objective: Objective | str,
    *,
    n_trials: int | None = None,
    timeout_s: float | None = None,
    walltime_s: Walltime = "auto",
    n_parallels: int | Literal["auto"] = 1,
    storage: str | None = None,
    server: str | Path | None = None,
    study_name: str | None = None,
    direction: str | None = None,
    directions: Sequence[str] | None = None,
    metric_names: Sequence[str] | None = None,
    sampler: str | BaseSampler = "tpe",
    sampler_args: Mapping[str, Any] | None = None,
    pruner: str | BasePruner = "median",
    pruner_args: Mapping[str, Any] | None = None,
    seed: int | None = None,
    callbacks: Sequence[Callback] | None = None,
    resume: bool | Summary = False,
    run_dir: str | Path | None = None,
    policy: Policy = "auto",
    oversubscribe: bool = False,
    cores_per_slot: int | None = None,
    smt: bool = True,
    reserve: int = 0,
    exclude: str | Iterable[int] = (),
    core_kind: KindName = "any",
    mem_policy: MemPolicy = "preferred",
    threads_per: ThreadsPer = "core",
    omp_bind: OmpBind | None = None,
    dataloader_workers: int | None = None,
    explain: bool = False,
    keep_binding: bool = False,
    storage_proxy: bool = False,
    scratch: str | Path | None = None,
    max_retries: int = 3,
    grace_s: float = 30.0,
    storage_patience_s: float = STORAGE_PATIENCE_S,
    trial_timeout_s: float | None = None,
    trial_memory_mib: float | None = None,
    isolate: bool = False,
    trials_per_worker: int | None = None,
    keep_top: int | None = None,
    progress: bool = True,
    draw: Draw = "all",
) -> Summary:
    """Search for the parameters that optimise ``objective``.

    With ``n_parallels=1``, and neither ``storage`` nor ``run_dir`` nor limits of a trial nor wishes for its
    cores and memory (``cores_per_slot`` to ``omp_bind``), the trials run in this process and in memory,
    unless a launcher (``mpirun``, ``srun``) has started several ranks. Else each of ``n_parallels`` processes
    (per rank) runs trials in its own share of this machine's cores, on one study in ``storage`` (default: an
    SQLite file in the run directory). The objective then travels as a pickle; numpy arrays and torch tensors
    of 64 KiB and more that it holds lie in files meanwhile, which the processes of a machine share: a process
    has memory of its own only for what it changes of them.

    In all processes ``trial.study.run_dir`` is the run directory, or None in memory.

    Args:
        objective: a function of one Optuna trial that returns a number (a sequence of numbers for several
            directions), ``"FILE.py:FUNCTION"``, or a ``CommandObjective``.
        n_trials: the number of finished trials over all processes, exactly. At least one of ``n_trials`` and
            ``timeout_s`` is needed.
        timeout_s: seconds after which no further trial begins.
        walltime_s: seconds after which this process is ended from outside; ``"auto"``: what Slurm says of its
            job; ``"none"``: never. No trial begins that will not finish by then, going by the time that 90 %
            of the completed ones of the run took at most; shortly before, running ones are stopped as by
            SIGUSR1, and the same call goes on. (In this process: the running trial may finish.)
        n_parallels: processes; ``"auto"`` is one per usable core.
        storage: a database URL; the environment variable NANO_HPO_STORAGE stands in. ``"auto:mysql"`` is a
            private server, its data in ``./nano-hpo-runs/mysql`` (or in DIR of ``"auto:mysql:DIR"``); it is
            there until this process ends, and longer where somebody else uses it.
        server: for ``"auto:mysql"``: the server program, ``mariadbd`` or ``mysqld``, the folder that it is
            installed in, or a script that becomes it (``exec apptainer exec …``), with ``mariadb-install-db``
            beside it; the environment variable NANO_HPO_SERVER stands in. Default: the first on the PATH.
        study_name: the study's name; default: from the objective's file and name, as on the command line.
        direction: ``"minimize"`` (default) or ``"maximize"``; ``directions`` for several objectives.
        metric_names: what a new study calls its objectives, one name each, in plots and tables.
        sampler: a name (``orchestrator.sampling.named.SAMPLERS``) with ``sampler_args``, or an Optuna
            sampler, which brings its own seed.
        pruner: a name (``orchestrator.sampling.named.PRUNERS``) with ``pruner_args``, or an Optuna pruner.
        seed: of the study; every trial draws its own stream from it and its number.
        callbacks: functions of study and trial, called after each finished trial in the process that ran
            it; ``study.stop()`` in one ends the run. What one raises is in the log, and the search goes on.
            None is called for a trial that is failed because its processes died.
        resume: True adds ``n_trials`` trials to the stored study. The summary of an earlier search by this
            process adds them to its study, with its name and directions: in memory, where both searches are;
            else in its storage; or in a copy of it, when this call names another storage or that search was
            in memory. Otherwise a stored study of that name is renamed, never deleted. A run that was cut off
            is finished by the same call without it.
        run_dir: where everything is written; default ``./nano-hpo-runs/STUDY/run-NNN``.
        policy: how cores are divided: "auto", "balanced" or "local" (see ``affinity.partition``).
        oversubscribe: allow more processes than cores.
        cores_per_slot: every process gets exactly so many cores, the others stay idle; ``n_parallels="auto"``
            is then as many as fit. None: all cores are shared out.
        smt: False uses one hardware thread of each core; its siblings belong to nobody.
        reserve: so many cores are left to the system, a database, this agent: slow ones first, that of CPU 0
            first, then in turns from all NUMA nodes. Of those that the ranks of a machine divide, or of each
            rank's own, where its launcher has bound it.
        exclude: CPUs not to be used, ``"0-3,8"`` or numbers.
        core_kind: where a machine has several kinds of cores: "performance" (the fastest), "efficient" (the
            others) or "any".
        mem_policy: memory from the NUMA nodes of a process's own cores while they have any ("preferred"),
            from them alone ("bind"; or the process is killed), page by page from all of them ("interleave"),
            or nothing of the kind ("none").
        threads_per: a process computes with a thread for each "core" of its own, or for each "pu" (hardware
            thread).
        omp_bind: "close" or "spread" binds OpenMP's threads to single cores, and what a trial starts may
            inherit one core. None: they are free inside the slot.
        dataloader_workers: processes that each trial starts to load its data: so many threads fewer compute,
            and the objective finds the number in the environment variable NANO_HPO_DATALOADER_WORKERS.
            None: that variable, where it is set, else 0. (In this process it changes nothing.)
        explain: say for each process why it has its cores and what that costs.
        keep_binding: behind ``mpirun``, use the cores that it bound this rank to; otherwise the ranks of a
            node divide all that ``mpirun`` itself may use.
        storage_proxy: behind a launcher, only rank 0 reaches the database, and lends it to the other ranks.
            (A search without ``storage`` on several nodes does so with its SQLite file.)
        scratch: a folder on the own disk of each node for what is written often: the run's SQLite file (a
            copy of it goes to the run directory every minute and at the end), large arrays of the objective,
            logs. Variables as ``$TMPDIR`` in it are the node's. Default: the run directory; where that lies
            on a network file system, the temporary folder for file and arrays.
        max_retries: how often a trial is tried again whose process, agent or node was lost. One over which
            three processes died is failed for good; what a trial raises, or a limit that it breaks, fails it
            at once.
        grace_s: seconds that running trials have after the first Ctrl-C, SIGTERM or SIGUSR1 (Slurm's
            warning) to finish or to leave a checkpoint (``trial.study.is_stopping``); then they go back to
            the queue with their parameters. A second signal stops at once. (In this process: the running
            trial may finish; a second one raises KeyboardInterrupt.)
        storage_patience_s: seconds that the database may be away before the run gives up; 0: none.
        trial_timeout_s: seconds after which a trial is ended and failed: first by an exception in its main
            thread (``orchestrator.interrupts.WorkerEnded``), five seconds later by killing its process and
            all that it has started.
        trial_memory_mib: resident memory in MiB of a trial's process with all that it has started (of pages
            that they share each its part); above it the trial is ended likewise.
        isolate: every trial in a process of its own (``trials_per_worker=1``), started anew: a fork would
            not do, since TensorFlow, JAX, CUDA and OpenMP break in the children of a process that has used
            them. It costs the import of the objective's libraries for each trial.
        trials_per_worker: trials after which a process is replaced, for objectives that leak memory.
        keep_top: of the folders of trials (``trial_dir``, and what Lightning's loggers and checkpoints write)
            those of so many best trials stay, or of the Pareto front, and those of failed ones; a folder of
            another trial is removed once this run has finished it: not sooner than a minute later, or at the
            end. None: all stay. (In this process folders are temporary, and none stays.)
        progress: show it on standard error.
        draw: "all" (the report, and the plots as PNG files where Chromium is found), "html" (the report) or
            "none" (tables only).

    Returns:
        The summary of the whole study; after an interrupt that of what was done
        (``summary.runs[-1].state`` is "stopped").

    Raises:
        UserError: a setting, the objective, the storage or the directory is wrong; nothing was written.
        RunFailed: the first trials all failed alike, the workers kept dying, or the walltime was over before
            the objective was loaded.
    """
    sources = call_sources(search, dict(locals()))  # before there are other names than the arguments
    from optuna import pruners, samplers

    _check_arguments(objective, draw, resume)
    origin = origin_of(resume) if isinstance(resume, Summary) else None
    url = storage_of_call(storage, origin)
    choices = checked_choices(
        policy=policy,
        oversubscribe=oversubscribe,
        cores_per_slot=cores_per_slot,
        smt=smt,
        reserve=reserve,
        exclude=exclude,
        core_kind=core_kind,
        mem_policy=mem_policy,
        omp_bind=omp_bind,
        dataloader_workers=dataloader_workers,
        threads_per=threads_per,
    )
    spec = RunSpec(
        objective=str(file_objective(objective)) if isinstance(objective, str) else name_of(objective),
        study_name=study_name or (origin.study_name if origin else study_name_of_call(objective)),
        n_trials=n_trials,
        timeout_s=timeout_s,
        walltime_s=walltime_s,
        n_parallels=most_parallels(choices, os.environ, keep_binding)
        if n_parallels == "auto"
        else n_parallels,
        storage_url=url,
        server=server_for(url, server),
        directions=directions_of_call(direction, directions, origin),
        metric_names=tuple(metric_names or ()),
        sampler=tool_name(sampler, "sampler", samplers.BaseSampler),
        sampler_args=dict(sampler_args or {}),
        pruner=tool_name(pruner, "pruner", pruners.BasePruner),
        pruner_args=dict(pruner_args or {}),
        seed=seed,
        resume=bool(resume),
        choices=choices,
        explain=explain,
        keep_binding=keep_binding,
        storage_proxy=storage_proxy,
        scratch=str(scratch) if scratch is not None else None,
        max_retries=max_retries,
        grace_s=grace_s,
        storage_patience_s=storage_patience_s,
        trial_timeout_s=trial_timeout_s,
        trial_memory_mib=trial_memory_mib,
        trials_per_worker=1 if isolate and trials_per_worker is None else trials_per_worker,
        keep_top=keep_top,
    )
    if origin is not None:
        require_same(origin, study_name, spec.directions)
    tools = tools_of(sampler, pruner, callbacks)
    view: View = view_for_people() if progress else Silent()
    where = Path(run_dir) if run_dir is not None else None
    if _fits_in_memory(spec, where, origin) and not isinstance(objective, str):
        return _search_in_memory(objective, spec, tools, view, origin)
    return _search_by_processes(objective, spec, tools, view, origin, where, draw, sources)


def _check_arguments(objective: Any, draw: Any, resume: Any) -> None:
    if not isinstance(objective, str) and not callable(objective):
        raise SpecError(
            f"The objective is {objective!r}; it must be a function of one trial, or 'FILE.py:FUNCTION'."
        )
    if draw not in get_args(Draw):
        raise SpecError(f"draw is {draw!r}; choose from {', '.join(get_args(Draw))}.")
    if not isinstance(resume, bool | Summary):
        raise SpecError(f"resume is {resume!r}; it must be True, False or the summary of an earlier search.")


def _fits_in_memory(spec: RunSpec, run_dir: Path | None, origin: Origin | None) -> bool:
    """Whether this process can do all that is asked for, and nothing is to be kept."""
    is_kept = run_dir is not None or (origin is not None and not origin.in_memory)
    if is_kept or this_rank().size > 1 or spec.has_limits or spec.choices.need_a_process:
        return False
    return spec.n_parallels == 1 and spec.storage_url is None


def _search_in_memory(
    objective: Objective, spec: RunSpec, tools: Tools, view: View, origin: Origin | None
) -> Summary:
    from orchestrator.launching.local import search_here

    if spec.resume and origin is None:
        raise SpecError(
            "resume=True needs a study to resume: give storage=URL and study_name=NAME, or the summary of an "
            "earlier search (resume=SUMMARY)."
        )
    check_tools(spec, tools)
    return search_here(objective, spec, tools, view, origin)


def _search_by_processes(
    objective: Objective | str,
    spec: RunSpec,
    tools: Tools,
    view: View,
    origin: Origin | None,
    run_dir: Path | None,
    draw: Draw,
    sources: Sources,
) -> Summary:
    if origin is not None and not _is_there(origin, spec):
        origin, spec = replace(origin, copies=True), replace(spec, resume=False)
    if spec.storage_url is None and origin is None and this_rank().index == 0:
        view.note("No storage is named: the study goes into an SQLite file of the run, study.db.")
    outcome = launch_run(
        spec,
        objective,
        tools,
        view,
        run_dir=run_dir,
        existing="rename",
        draw=draw,
        origin=origin,
        sources=sources,
    )
    if outcome.written is not None:
        view.note(outcome.written.where)
    return _summary_of(outcome)


def _is_there(origin: Origin, spec: RunSpec) -> bool:
    """Whether the run works in the storage of the earlier search."""
    url = spec.storage_url
    return not origin.in_memory and (url is None or resolved(url) == origin.database.url)


def _summary_of(outcome: Outcome) -> Summary:
    if outcome.ending.state == FAILED:
        raise RunFailed(f"The search stopped early: {outcome.ending.reason}.")
    if outcome.summary is None:
        if outcome.ending.is_out_of_time:
            raise RunFailed(f"The search had no time to begin: {outcome.ending.reason}.")
        raise KeyboardInterrupt
    return outcome.summary
