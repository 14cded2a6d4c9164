"""What to try next, and what to give up: samplers and pruners whose cost does not grow with the study.

::

    named.py           a name and its arguments → a sampler or a pruner
    streams.py         one random stream per trial
    flat_tpe.py        TPE on a thinned study (thinned_study.py; its good trials: best_trials.py)
    flat_pruners.py    median, percentile, halving and hyperband by SQL
"""
