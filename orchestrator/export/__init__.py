"""A stored study for other programs and for papers: a database and a study in; one file out.

::

    formats.py     the formats by name and by file name; here a new one is entered
    csv_table.py   one row a trial, streamed
    methods.py     a paragraph for a paper

The format that brings a study back, JSON lines, is that of ``orchestrator.carry``.
"""
