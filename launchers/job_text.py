"""The parts of a job script, piece by piece, as bash reads them. `job_rendering` puts them together.

Every part is whole lines of bash without an empty line at its ends.
"""

from collections.abc import Mapping

__all__ = [
    "AGENTS",
    "ARGUMENTS",
    "COUNT",
    "DATABASE",
    "FOUND",
    "HANDED_ON",
    "HEADS",
    "HERE",
    "MPIRUN",
    "NOTED",
    "NOT_A_JOB",
    "ONE_AGENT",
    "REQUEUE",
    "SETUP",
    "SRUN",
    "STRICT",
]

HEADS: Mapping[str, str] = {
    "search": """\
# A hyperparameter search on one node:
#
#     sbatch {script} train.py:objective --n-trials 400
#     CORES_PER_TRIAL=1 sbatch --cpus-per-task=2 {script} …      # on a small node""",
    "search_multinode": """\
# A hyperparameter search on several nodes, with one agent on each:
#
#     sbatch {script} train.py:objective --n-trials 400 --storage mysql://USER@HOST/DATABASE
#     sbatch --nodes=8 {script} …
#
# All nodes must see the folder that you submit from, and reach the database. A node that is lost takes its
# trials along; the other nodes do them again, with the same numbers and parameters.""",
    "search_mpirun": """\
# A hyperparameter search on several nodes, its agents started by mpirun:
#
#     sbatch {script} train.py:objective --n-trials 400 --storage mysql://USER@HOST/DATABASE
#
# For sites where srun does not start the agents well, and for objectives that are at home with this MPI.
# All nodes must see the folder that you submit from, and reach the database. mpirun ends as a whole when a
# node is lost, whatever it is told; Slurm then puts the job back into the queue. search_multinode.sbatch
# survives that.""",
    "search_array": """\
# A hyperparameter search by a job array: independent jobs on one node each, which join one study:
#
#     sbatch {script} train.py:objective --n-trials 400 --storage mysql://USER@HOST/DATABASE
#     sbatch --array=0-31%8 {script} …                            # 32 jobs, 8 of them at a time
#
# Small jobs start sooner than a large one. They need no flag to find each other: all tasks of an array work
# on the same run, and the trials that you ask for are those of all tasks together. A task that comes when
# the run is done ends at once. It takes a database server, as the tasks run on different nodes; without one
# see database.sbatch.""",
    "database": """\
# A hyperparameter search on several nodes where no database server is at hand: the job starts one of its
# own, a private MariaDB (or MySQL) on its first node, and stops it at the end:
#
#     sbatch {script} train.py:objective --n-trials 400
#     DATABASE_DIR=/scratch/$USER/hpo sbatch {script} …
#
# All nodes must see the folder that you submit from and that of the database. The data stay there: the next
# job with the same line goes on with the search.""",
}

SETUP = """\
# EDIT: whatever makes the command `nano-hpo` known, for example:
# module load python/3.11
# source "$HOME/venvs/search/bin/activate\""""

STRICT = """\
set -euo pipefail # only now: modules and activate scripts read variables that are not set"""

ARGUMENTS = """\
if [ $# -eq 0 ]; then
    echo "usage: sbatch {script} FILE.py:FUNCTION [options of nano-hpo run]" >&2
    exit 2
fi"""

FOUND = """\
if ! command -v nano-hpo >/dev/null; then
    echo "nano-hpo is not on PATH on $(hostname): activate its environment in the lines marked EDIT." >&2
    exit 2
fi"""

COUNT = """\
cores=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-$(nproc)}}
n_parallels=$((cores / cores_per_trial))
n_parallels=$((n_parallels > 0 ? n_parallels : 1))"""

HERE = """\
if [ -z "${SLURM_JOB_ID:-}" ]; then
    echo "note: not a Slurm job, so this runs here and now; submit it with sbatch." >&2
    exec nano-hpo run --n-parallels "$n_parallels" "$@"
fi"""

NOT_A_JOB = """\
if [ -z "${SLURM_JOB_ID:-}" ]; then
    echo "This is not a Slurm job: submit the script with sbatch." >&2
    exit 2
fi"""

DATABASE = """\
# The server's data, in a folder that all nodes see. The next job with the same command goes on with them.
database=${DATABASE_DIR:-{folder}}
if nano-hpo db status "$database" >/dev/null 2>&1; then
    echo "The server in $database is another job's; wait for it, or set DATABASE_DIR to another folder." >&2
    exit 2
fi
nano-hpo db start "$database" --tcp 0{server} # on this node's address, at a free port
# The URL holds no password and no address: it names a file in that folder, of mode 0600, where the agents
# find both.
NANO_HPO_STORAGE=$(nano-hpo db url "$database")
export NANO_HPO_STORAGE"""

AGENTS = """\
# The shell of each agent notes how the agent ended, in a folder that all nodes see, and itself returns 0.
notes=$(mktemp -d "$PWD/.nano-hpo-$SLURM_JOB_ID.XXXXXX")
# shellcheck disable=SC2016 # the agents' shells expand it
agent='trap : USR1 TERM; code=0; "${@:2}" || code=$?; echo "$code" >"$(mktemp "$1/XXXXXX")"'"""

SRUN = """\
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
    export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # from Slurm 22.05 on srun does not take it from sbatch
fi
# --no-kill, --kill-on-bad-exit=0, --wait=0: a lost node, or an agent that has ended, does not end the
# others. --mpi=none: the agents talk through the database alone and need no MPI library. What you pass
# yourself comes later and wins. A database's password belongs in an option file or the environment, never
# in this file or on this line.
launched=0
trap : TERM # scancel sends it to the agents as well, which end in order
srun --mpi=none --no-kill --kill-on-bad-exit=0 --wait=0 bash -c "$agent" agent "$notes" \\
    nano-hpo run --n-parallels "$n_parallels" "$@" || launched=$?"""

MPIRUN = """\
# --bind-to none: left alone, mpirun binds each rank to one core, but an agent divides all cores of its node
# among its trials. MPICH spells it -bind-to none; with Intel MPI write (mpirun) and, above, export
# I_MPI_PIN=off. All of them pass USR1 on to their ranks.
mpirun=(mpirun --bind-to none) # EDIT
# What you pass yourself comes later and wins. A database's password belongs in an option file or the
# environment, never in this file or on this line.
"${mpirun[@]}" -n "${SLURM_NTASKS:-1}" bash -c "$agent" agent "$notes" \\
    nano-hpo run --n-parallels "$n_parallels" "$@" &"""

ONE_AGENT = """\
# What you pass yourself comes later and wins. All files go below nano-hpo-runs/ in the folder you submit
# from; a search that was cut off is finished by submitting the same line again. A database's password
# belongs in an option file or the environment, never in this file or on this line.
nano-hpo run --n-parallels "$n_parallels" "$@" &"""

HANDED_ON = """\
# Slurm's warning (USR1) comes to this shell alone and is handed on. What scancel sends comes to all
# processes of the job, so for that it is enough to wait until the others have ended in order.
child=$!
trap 'kill -USR1 "$child" || true' USR1
trap : TERM
wait "$child" || true # a signal ends the waiting, not the child
while kill -0 "$child" 2>/dev/null; do wait "$child" || true; done
{code}=0
wait "$child" || {code}=$?"""

NOTED = """\
# Out of the notes comes one code. Interrupted (130) counts more than out of time (75), and that more than
# done (0); an agent that was killed, or lost with its node, does not count where others have gone on
# without it.
code=$(sort -n "$notes"/* 2>/dev/null | tail -n 1) || true
for known in 0 75 130; do
    if grep -qsx "$known" "$notes"/*; then code=$known; fi
done
code=${code:-$((launched > 0 ? launched : 1))}"""

REQUEUE = """\
# 75 says that the time ends before the budget is spent: the same command goes on with it, so this job goes
# back into the queue under its number. Any other code ends it.
if [ "$code" -eq 75 ]; then
    restarts=${SLURM_RESTART_COUNT:-0}
    job=$SLURM_JOB_ID
    if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
        job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID # the number alone may stand for the whole array
    fi
    if [ "$restarts" -ge "$max_requeues" ]; then
        echo "Not finished after $restarts requeues (at most $max_requeues): submit it again to go on." >&2
    elif scontrol requeue "$job"; then
        echo "Not finished: job $job goes on later (requeue $((restarts + 1)) of at most $max_requeues)." >&2
        sleep 60 || true # until Slurm ends this script, which it does at once
    else
        echo "Not finished, and Slurm does not requeue job $job: submit it again to go on." >&2
    fi
fi
exit "$code\""""
