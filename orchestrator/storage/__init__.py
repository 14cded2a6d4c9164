"""Studies, trials, runs and attempts on Optuna's schema: what Optuna asks of a storage, only faster.

::

    study_storage.py   Optuna's storage (study_rows.py, rows.py)
    study_history.py   a study's trials as one process has read them (trial_reader.py, stored_trial.py)
    run_storage.py     the storage of a run's worker: claims.py, own_trial.py, trial_writer.py
    attempts.py        who is at which trial; trials given back
    runs.py            runs and their agents; history.py reads what they did
    overview.py        all studies in two statements; deletion.py deletes one in batches
    step_values.py     what pruners ask for (rung_values.py, newly_finished.py)
"""
