"""Automated machine learning, under the import paths of BigDL-Nano."""

from bigdl.nano import require_rooms

require_rooms()  # before anything below imports a room that another file may hide
