"""Searches as Slurm jobs: settings and a command in; a checked script, a record, progress and an end out.

`launchers` knows how a job script looks and how Slurm is asked; here it meets studies and storages.
"""
