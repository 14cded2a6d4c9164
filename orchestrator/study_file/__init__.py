"""A search in one file, for ``nano-hpo run study.toml``: TOML in, the settings of a run out; and back.

::

    objective = "train.py:objective"      # beside this file; or a command, with its space:
    # command = ["./train.sh", "--lr", "{lr}"]

    n_trials = 100
    n_parallels = 4
    sampler = "tpe"
    sampler_arg = { n_startup_trials = 20 }

    # [space]                             # of a command: orchestrator.command.space_file
    # lr = { low = 1e-4, high = 0.1, log = true }

    [slurm]                               # for nano-hpo submit: orchestrator.jobs.settings
    nodes = 2
    time = "02:00:00"

A key is the long name of a flag of ``nano-hpo run``, with ``_`` for ``-``. A flag on the command line wins.
What the file names to be opened (objective, space, server) is looked for from the file's folder. A command is
taken as if it were typed, and what is written goes where it would without a file: from the current folder.

``nano-hpo submit`` hands ``n_parallels`` on to its job; a job script that is edited by hand types a
``--n-parallels`` of its own, which wins over the file's.
"""
