"""The live view of a run: snapshots in; a table in a terminal, or a page in a notebook, out.

rich and IPython are loaded when something is to be shown, not at start-up.
"""
