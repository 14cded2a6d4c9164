"""What the time of slots and machines went into: slot records and attempts in, stacked bars out."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from orchestrator.plots.hover import hover_text
from orchestrator.plots.labels import literal
from orchestrator.plots.style import BLUE, LEGEND, ORANGE, SKY, VERMILLION, UndrawableError, styled
from orchestrator.plots.timeline import lane_label
from orchestrator.records import AttemptRecord, SlotRecord
from orchestrator.utilisation import USES, Utilisation, of_hosts, of_slots

_COLORS = {"busy": BLUE, "lost": VERMILLION, "starting": SKY, "waiting": ORANGE, "idle": "#CBD5E1"}
_SAID = {"waiting": "waiting for the database"}
_MAX_SLOTS = 64  # beyond them, machines alone
_MAX_HOSTS = 200

Row = tuple[str, Utilisation]


def utilisation_figure(slots: Sequence[SlotRecord], attempts: Sequence[AttemptRecord]) -> go.Figure:
    """A bar of parts of the time for each machine and for each of its slots; of many slots the machines."""
    if not any(slot.alive_s > 0 for slot in slots):
        raise UndrawableError("Nothing is known of the time of slots.")
    rows, notes = _rows(slots, attempts)
    figure = go.Figure([_bars(use, rows) for use in USES if any(used.seconds(use) for _, used in rows)])
    row_px = max(14, min(30, 1400 // len(rows)))
    notes = [*_meaning([used for _, used in rows]), *notes]
    figure = styled(figure, "Use of the slots' time", notes, height=100 + row_px * len(rows))
    figure.update_xaxes(title_text="part of the time", tickformat=".0%", range=(0, 1))
    labels = [label for label, _ in rows]
    order = {"categoryorder": "array", "categoryarray": labels[::-1]}
    figure.update_yaxes(title_text="", type="category", ticklabelstandoff=6, **order)
    legend = {**LEGEND, "traceorder": "normal"}
    return figure.update_layout(barmode="stack", bargap=0.25, showlegend=True, legend=legend)


def _rows(slots: Sequence[SlotRecord], attempts: Sequence[AttemptRecord]) -> tuple[list[Row], list[str]]:
    """Machines, each above its slots, and what to say of those that are not shown."""
    hosts = of_hosts(slots, attempts)
    shown = list(hosts)[:_MAX_HOSTS]
    notes = [f"The first {len(shown):,} of {len(hosts):,} machines."] if len(shown) < len(hosts) else []
    if len(slots) > _MAX_SLOTS:
        rows = [(literal(host), hosts[host]) for host in shown]
        return rows, [f"Machines alone, as there are {len(slots):,} slots.", *notes]
    by_seat = of_slots(slots, attempts)
    rows = []
    for host in shown:
        here = [(lane_label(*seat), used) for seat, used in by_seat.items() if seat[0] == host]
        rows += [(f"<b>{literal(host)}</b>", hosts[host])] if len(here) > 1 else []
        rows += here
    return rows, notes


def _meaning(used: Sequence[Utilisation]) -> list[str]:
    """What idle means, which is a rest."""
    if all(one.is_measured for one in used):
        return ["Idle: between trials (sampling, storing), without a worker, or without a trial to be had."]
    return ["Of some slots only the time of trials is known; all else counts as idle there."]


def _bars(use: str, rows: Sequence[Row]) -> go.Bar:
    name = _SAID.get(use, use)
    return go.Bar(
        name=name,
        x=[used.share(use) for _, used in rows],
        y=[label for label, _ in rows],
        orientation="h",
        marker={"color": _COLORS[use], "line": {"color": "white", "width": 0.5}},
        text=[_hover(label, name, used.seconds(use), used) for label, used in rows],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(label: str, name: str, seconds: float, used: Utilisation) -> str:
    heading = label.removeprefix("<b>").removesuffix("</b>")
    return hover_text(heading, [f"{name}: {seconds:.4g} s of {used.alive_s:.4g} s"])
