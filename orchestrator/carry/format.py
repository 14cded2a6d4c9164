"""The file of an exported study, format version 1: one JSON object a line, strict and in ASCII.

1. the head: ``{"format": "nano-hpo study", "version": 1, "study_name": …, "directions": ["minimize"],
   "user_attrs": {…}, "system_attrs": {…}, "n_trials": N, "taken": TIME, "optuna": VERSION}``;
2. for each trial, in order of the numbers, ``{"trial": NUMBER, "state": …, "start": TIME, "complete": TIME,
   "values": […], "params": {NAME: [INTERNAL, DISTRIBUTION]}, "reported": [[STEP, VALUE], …],
   "user_attrs": {…}, "system_attrs": {…}, "attempts": [{…}, …]}``; what is empty is left out. INTERNAL is
   Optuna's internal form (of a category its place), DISTRIBUTION the index of a line before,
   ``{"distribution": INDEX, "text": JSON}``, which is there once for all trials;
3. for each run of nano-hpo ``{"run": {…}, "agents": [{…}, …]}``, by the columns of its tables;
4. the last line: ``{"end": {"trials": N, "runs": N}}``; without it the file is cut off.

TIME is ISO 8601 in UTC with microseconds, or null. A number that is not finite is the string "inf", "-inf" or
"nan". An attribute that strict JSON cannot say (a NaN inside) is kept as the text that Optuna stored, below
``user_attrs_as_text`` or ``system_attrs_as_text``.
"""

from __future__ import annotations

FORMAT, VERSION = "nano-hpo study", 1
