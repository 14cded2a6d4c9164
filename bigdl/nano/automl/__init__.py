"""Automated machine learning, under the import paths of BigDL-Nano."""

from bigdl.nano import require_rooms

require_rooms()  # before anything below imports a room that another file may hide

from bigdl.nano.automl import hpo_config  # noqa: E402

__all__ = ["hpo_config"]
