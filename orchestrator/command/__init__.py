"""Objectives that are commands: words with names in them and a search space in, a trial's value out.

Load :class:`orchestrator.command.objective.CommandObjective`; importing this package loads nothing.
"""
