"""The plots of a study: a ``Summary`` in, plotly figures and PNG files out.

Loads Optuna's visualization and plotly; import it where plots are wanted, not at start-up.
"""

from orchestrator.plots.gallery import figures
from orchestrator.plots.png import write_pngs
from orchestrator.plots.style import Plot, Skipped

__all__ = ["Plot", "Skipped", "figures", "write_pngs"]
