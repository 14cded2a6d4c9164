"""The plots of real studies: what is drawn, what is said, and what is skipped with which reason."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import plotly.graph_objects as go
import pytest

from orchestrator.plots import Skipped, figures, write_pngs
from orchestrator.plots.importance import durations
from orchestrator.plots.labels import choice_labels, name_labels
from orchestrator.plots.png import find_browser
from orchestrator.plots.style import UndrawableError
from orchestrator.plots.thin import MAX_LINES, MAX_PARALLEL, MAX_POINTS, evenly
from orchestrator.records import AttemptRecord
from orchestrator.summary import Summary

START = datetime(2026, 11, 24, 10, 0, 0)
SINGLE = [
    "optimization_history",
    "intermediate_values",
    "parallel_coordinate",
    "contour",
    "param_importances",
    "param_importances_duration",
    "timeline",
]
NASTY = "<script>alert(1)</script>"

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on PATH")


@pytest.fixture(autouse=True)
def _calm_optuna():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(level)


def attempt(number: int, **changes: object) -> AttemptRecord:
    values = {
        "token": f"t{number}",
        "trial_number": number,
        "run_id": "r1",
        "rank": 0,
        "host": "node01",
        "slot": number % 2,
        "cpus": "0-3",
        "cpu_model": "EPYC",
        "slot_width": 4,
        "pid": 100,
        "start": START + timedelta(seconds=number),
        "end": START + timedelta(seconds=number + 1),
        "objective_s": 1.0 + number / 100,
        "cause": "returned",
        "exit_status": None,
        "peak_rss_mib": 10.0,
    }
    return AttemptRecord(**{**values, **changes})  # type: ignore[arg-type]


def summarized(study: optuna.Study, attempts: tuple[AttemptRecord, ...] = ()) -> Summary:
    trials = tuple(study.get_trials(deepcopy=False))
    complete = any(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials)
    counts = Counter(trial.state.name for trial in trials)
    return Summary(
        study=study,
        storage_url="sqlite:///study.db",
        trials=trials,
        best_trials=tuple(study.best_trials) if complete else (),
        counts={state.name: counts[state.name] for state in optuna.trial.TrialState},
        runs=(),
        attempts=attempts,
        slots=(),
        wall_s=1.0,
        trial_s=2.0,
    )


def study_of(objective: Callable[[optuna.Trial], object], n: int, **settings: object) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(sampler=sampler, **settings)  # type: ignore[arg-type]
    study.optimize(objective, n_trials=n, catch=(RuntimeError,))  # type: ignore[arg-type]
    return study


def mixed(trial: optuna.Trial) -> float:
    """Five parameters of all kinds, one conditional; every fourth trial pruned, one failed."""
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 5)
    kind = trial.suggest_categorical("kind\u2581choice", ["adam", "sgd", "x" * 60])
    drop = trial.suggest_float("drop", 0, 0.5)
    momentum = trial.suggest_float("momentum", 0, 1) if kind == "sgd" else 0.0
    if trial.number == 5:
        raise RuntimeError("boom")
    for step in range(3):
        trial.report(rate * step, step)
        if trial.number % 4 == 3:
            raise optuna.TrialPruned
    return layers + rate - drop + momentum


def parabola(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", -1, 1)
    return x * x + 0.01 * y


def test_a_mixed_study_draws_every_plot_in_the_order_of_the_report() -> None:
    plots = figures(summarized(study_of(mixed, 40), tuple(attempt(i) for i in range(40))))
    assert list(plots) == SINGLE
    assert not [plot for plot in plots.values() if isinstance(plot, Skipped)]


def test_a_study_of_plain_optuna_without_attempts_draws_every_plot_too() -> None:
    plots = figures(summarized(study_of(mixed, 40)))
    assert not [plot for plot in plots.values() if isinstance(plot, Skipped)]
    assert "by trial" in plots["timeline"].layout.title.text


def test_the_suffix_of_choices_is_on_no_plot() -> None:
    for plot in figures(summarized(study_of(mixed, 40), tuple(map(attempt, range(40))))).values():
        text = plot.to_json()
        assert "choice" not in text
        assert "\\u2581" not in text


def test_importances_name_their_evaluator_and_say_what_they_mean() -> None:
    plots = figures(summarized(study_of(parabola, 60)))
    by_value, by_duration = plots["param_importances"], plots["param_importances_duration"]
    assert "Importance for the value (PED-ANOVA)" in by_value.layout.title.text
    assert "best 10 %" in by_value.layout.title.text
    assert "Importance for the duration (PED-ANOVA)" in by_duration.layout.title.text
    assert "fastest 10 %" in by_duration.layout.title.text


def test_importance_by_value_finds_the_parameter_that_matters() -> None:
    bars = figures(summarized(study_of(parabola, 60)))["param_importances"].data[0]
    assert dict(zip(bars.y, bars.x, strict=True))["x"] > 0.7


def test_importance_of_a_maximized_objective_looks_at_its_high_end() -> None:
    def both(trial: optuna.Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return (x if x > 0.85 else 0.1 + y / 1000), y

    study = study_of(both, 120, directions=["maximize", "minimize"])
    bars = figures(summarized(study))["param_importances_0"].data[0]
    assert dict(zip(bars.y, bars.x, strict=True))["x"] > 0.7


def test_several_objectives_have_a_history_and_importances_each_and_a_front() -> None:
    study = study_of(lambda t: (parabola(t), t.params["y"]), 30, directions=["minimize", "maximize"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.set_metric_names(["loss", "<b>speed</b>"])
    plots = figures(summarized(study))
    assert list(plots)[:3] == ["optimization_history_0", "optimization_history_1", "pareto_front"]
    assert {"param_importances_0", "param_importances_1", "contour_0", "contour_1"} <= set(plots)
    assert [name for name, plot in plots.items() if isinstance(plot, Skipped)] == ["intermediate_values"]
    assert plots["optimization_history_1"].layout.yaxis.title.text == "&lt;b&gt;speed&lt;/b&gt;"
    best = next(trace for trace in plots["optimization_history_1"].data if trace.mode == "lines")
    assert list(best.y) == sorted(best.y)  # the second objective is maximized


@pytest.mark.parametrize("count", [3, 4])
def test_three_objectives_have_a_front_in_space_and_four_a_reason(count: int) -> None:
    study = study_of(lambda t: [parabola(t) * i for i in range(count)], 12, directions=["minimize"] * count)
    assert isinstance(figures(summarized(study))["pareto_front"], Skipped) == (count == 4)


@pytest.mark.parametrize(
    ("objective", "n", "words"),
    [
        (parabola, 0, "complete"),
        (parabola, 1, "two complete trials"),
        (lambda t: t.suggest_float("x", 0, 1) * 0 + t.suggest_float("y", 0, 1) * 0, 12, "same value"),
        (lambda t: t.suggest_float("x", 0, 1), 12, "fewer than two"),
        (lambda t: float("inf") + parabola(t), 12, "two complete trials"),
    ],
)
def test_importance_that_is_undefined_is_skipped_with_a_sentence(
    objective: Callable[[optuna.Trial], float], n: int, words: str
) -> None:
    plot = figures(summarized(study_of(objective, n)))["param_importances"]
    assert isinstance(plot, Skipped)
    assert words in plot.reason
    assert plot.reason.endswith(".")


def test_failures_alone_leave_the_timeline_and_reasons() -> None:
    def fail(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        raise RuntimeError("boom")

    plots = figures(summarized(study_of(fail, 6)))
    drawn = [name for name, plot in plots.items() if not isinstance(plot, Skipped)]
    assert drawn == ["timeline"]
    assert not [p for p in plots.values() if isinstance(p, Skipped) and "could not be drawn" in p.reason]


def test_an_empty_study_skips_everything_with_foreseen_reasons() -> None:
    plots = figures(summarized(optuna.create_study()))
    assert all(isinstance(plot, Skipped) and "could not" not in plot.reason for plot in plots.values())


def test_infinite_values_leave_the_other_trials_drawn() -> None:
    study = study_of(lambda t: parabola(t) if t.number % 3 else float("inf"), 20)
    assert not isinstance(figures(summarized(study))["contour"], Skipped)


def test_an_unforeseen_error_becomes_a_reason_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> go.Figure:
        raise KeyError("surprise")

    monkeypatch.setattr(optuna.visualization, "plot_contour", broken)
    plot = figures(summarized(study_of(parabola, 12)))["contour"]
    assert isinstance(plot, Skipped)
    assert "KeyError" in plot.reason


def test_what_people_named_is_shown_as_text_and_not_understood_as_markup() -> None:
    study = study_of(
        lambda t: t.suggest_float(NASTY, 0, 1) + len(t.suggest_categorical("b", [NASTY, "x"])),
        12,
        study_name=NASTY,
    )
    for plot in figures(summarized(study, (attempt(0, host=NASTY, cause="<b>odd</b>"),))).values():
        if not isinstance(plot, Skipped):
            assert "<script" not in str(plot.to_dict())
            assert "<b>odd" not in str(plot.to_dict())


def test_drawing_leaves_the_study_and_optunas_log_level_as_they_were() -> None:
    study = study_of(mixed, 12)
    before = [dict(trial.params) for trial in study.trials]
    optuna.logging.set_verbosity(optuna.logging.INFO)
    figures(summarized(study))
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert [dict(trial.params) for trial in study.trials] == before


def test_the_timeline_has_a_lane_for_each_slot_and_a_colour_for_each_outcome() -> None:
    study = study_of(mixed, 8)
    tries = [attempt(i, cause="pruned" if i % 4 == 3 else "returned") for i in range(8)]
    lost = attempt(2, host="node02", cause="lost", exit_status=-9, objective_s=None)
    figure = figures(summarized(study, (*tries, lost)))["timeline"]
    assert [trace.name for trace in figure.data] == ["complete", "pruned", "failed", "lost"]
    assert len({trace.marker.color for trace in figure.data}) == 4
    assert len(figure.layout.yaxis.categoryarray) == 3
    assert "exit status -9" in figure.data[3].text[0]
    assert list(figure.data[3].x) == [1000.0]


def test_an_attempt_without_an_end_is_drawn_as_running() -> None:
    running = attempt(0, end=None, cause=None, objective_s=None)
    figure = figures(summarized(study_of(parabola, 2), (running, attempt(1))))["timeline"]
    assert {trace.name for trace in figure.data} == {"complete", "running"}


def test_durations_sum_attempts_and_keep_the_commonest_machine_alone() -> None:
    trials = study_of(parabola, 5).trials
    tries = [attempt(0), attempt(0, objective_s=2.0), attempt(1), attempt(2, slot_width=8)]
    mixed_up = [attempt(3), attempt(3, cpu_model="Xeon")]
    found = durations(trials, [*tries, *mixed_up])
    assert found.seconds == {0: 3.0, 1: 1.01}
    assert "4 × EPYC" in found.notes[0]
    assert (
        "5 complete trials: 2 that ran on other CPUs or slot widths and 1 that ran outside" in found.notes[1]
    )


def test_durations_without_a_single_comparable_trial_say_so() -> None:
    trials = study_of(parabola, 1).trials
    with pytest.raises(UndrawableError, match="do not compare"):
        durations(trials, [attempt(0), attempt(0, slot_width=9)])


def test_durations_without_attempts_are_optunas() -> None:
    trials = study_of(parabola, 3).trials
    assert durations(trials, []).seconds[2] == trials[2].duration.total_seconds()


def test_a_large_study_is_thinned_and_says_so() -> None:
    count = MAX_POINTS + 1000
    plots = figures(summarized(large_study(count)))
    history = plots["optimization_history"]
    assert MAX_POINTS <= len(history.data[0].x) <= MAX_POINTS + 2
    assert min(history.data[0].y) == 0.0
    assert f"of {count:,} trials" in history.layout.title.text
    assert len(plots["intermediate_values"].data) <= MAX_LINES + 1
    assert len(plots["parallel_coordinate"].data) <= MAX_PARALLEL + 1
    assert "4 of 6 parameters" in plots["contour"].layout.title.text
    assert sum(len(plot.to_json()) for plot in plots.values() if not isinstance(plot, Skipped)) < 4_000_000


def large_study(count: int) -> optuna.Study:
    """Trials like those of a database: made whole, not one by one."""
    study = optuna.create_study()
    distribution = optuna.distributions.FloatDistribution(0, 1)
    now = datetime.now(UTC).replace(tzinfo=None)
    study.add_trials(
        optuna.trial.FrozenTrial(
            number=i,
            trial_id=i,
            state=optuna.trial.TrialState.COMPLETE,
            value=None,
            values=[(i * 37 % count) / count],
            datetime_start=now,
            datetime_complete=now + timedelta(seconds=1),
            params={name: (i * (91 + k) % 1000) / 1000 for k, name in enumerate("abcdef")},
            distributions=dict.fromkeys("abcdef", distribution),
            user_attrs={},
            system_attrs={},
            intermediate_values={0: 1.0},
        )
        for i in range(count)
    )
    return study


def test_an_even_sample_keeps_both_ends_and_the_order() -> None:
    assert evenly(range(101), 5) == [0, 25, 50, 75, 100]
    assert evenly([1, 2], 5) == [1, 2]


def test_labels_stay_short_and_distinct() -> None:
    labels = name_labels(["a\u2581choice", "a", "b" * 80, "c\u2581choice"])
    assert len(set(labels.values())) == 4
    assert labels["c\u2581choice"] == "c"
    assert len(labels["b" * 80]) == 28
    assert len(set(choice_labels(["y" * 12 + str(i) + "z" * 30 for i in range(5)]).values())) == 5


@needs_browser
def test_every_plot_becomes_a_png_with_one_browser(tmp_path: Path) -> None:
    plots = figures(summarized(study_of(parabola, 12), (attempt(0),)))
    written = write_pngs(plots, tmp_path / "plots")
    drawn = [name for name, plot in plots.items() if not isinstance(plot, Skipped)]
    assert isinstance(written, list), written
    assert [path.stem for path in written] == drawn
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(f"{n}.png" for n in drawn)
    for path in written:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">I", path.read_bytes()[16:20])[0] == 1800  # 900 px, doubly sharp


def small_plots() -> dict[str, go.Figure | Skipped]:
    return {"one": go.Figure(go.Scatter(y=[1, 2]), layout={"height": 300}), "two": Skipped("No.")}


def test_without_a_browser_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    reason = write_pngs(small_plots(), tmp_path / "plots")
    assert isinstance(reason, str)
    assert "chromium" in reason
    assert "\n" not in reason


def test_a_browser_that_fails_is_a_reason_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER_PATH", _program(tmp_path, "exit 3"))
    reason = write_pngs(small_plots(), tmp_path / "plots", timeout_s=30)
    assert isinstance(reason, str)
    assert "\n" not in reason
    assert not (tmp_path / "plots").exists()


def test_a_browser_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    monkeypatch.setenv("BROWSER_PATH", _program(tmp_path, f"echo $$ > {pid_file}; exec sleep 600"))
    reason = write_pngs(small_plots(), tmp_path / "plots", timeout_s=6)
    assert isinstance(reason, str)
    assert "6 s" in reason
    assert not Path(f"/proc/{pid_file.read_text().strip()}/cmdline").is_file()


def _program(folder: Path, body: str) -> str:
    program = folder / "browser"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


def test_the_report_module_loads_neither_optuna_nor_plotly() -> None:
    code = "import sys, orchestrator.report; sys.exit('plotly' in sys.modules or 'optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
