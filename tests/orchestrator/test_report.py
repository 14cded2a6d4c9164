"""The report, read as text and opened in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import optuna
import plotly.graph_objects as go
import pytest

from orchestrator.plots import Skipped, figures
from orchestrator.plots.png import find_browser
from orchestrator.records import AttemptRecord, PoolRecord, RunRecord, SlotRecord
from orchestrator.report import describe, duration, render, seconds, spread, write_report
from orchestrator.summary import Summary

START = datetime(2026, 11, 24, 10, 0, 0)
NASTY = "</script><script>document.title='hacked'</script>\"'&"

SLOT = SlotRecord(0, "node01", 0, "0-3", (0, 1), 4, "0-3", (PoolRecord("openblas", 4),), (), 9, 0, 9.0, 10.0)
ODD = replace(SLOT, slot=1, cpus="4-7", got_cpus="0-7", problems=("openblas has 8 threads",), n_lost=1)
LOST = AttemptRecord("t", 3, "r1", 0, "node01", 1, "4-7", "EPYC", 4, 9, START, START, None, "lost", -9, 512.0)
RUN = RunRecord(
    "slurm-77",
    "ada",
    {"objective": "digits.py:objective", "sampler": "tpe", "seed": 7, "n_trials": 12},
    12,
    12,
    "finished",
    None,
    START,
    START + timedelta(minutes=2),
)


@pytest.fixture(autouse=True)
def _calm_optuna():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(level)


def searched(n: int = 12, name: str = "digits", several: bool = False) -> optuna.Study:
    def objective(trial: optuna.Trial) -> object:
        x, y = trial.suggest_float("x", -1, 1), trial.suggest_int("n", 1, 5)
        kind = trial.suggest_categorical("kind\u2581choice", [name, "plain"])
        if several:
            return x, float(y)
        trial.report(x, 0)
        return x * x + y + (kind == "plain")

    directions = ["minimize"] * (2 if several else 1)
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(study_name=name, sampler=sampler, directions=directions)
    study.optimize(objective, n_trials=n)  # type: ignore[arg-type]
    return study


def summarized(study: optuna.Study, **changes: object) -> Summary:
    trials = tuple(study.trials)
    counts = Counter(trial.state.name for trial in trials)
    plain = Summary(
        study=study,
        storage_url="mysql://ada:***@db/hpo",
        trials=trials,
        best_trials=tuple(study.best_trials) if trials else (),
        counts={state.name: counts[state.name] for state in optuna.trial.TrialState},
        runs=(),
        attempts=(),
        slots=(),
        wall_s=60.0,
        trial_s=114.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


class Page(HTMLParser):
    """What a parser sees: elements, their attributes, the text outside scripts, the scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem is None:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(summary: Summary) -> Page:
    return Page(render(summary, {}))


def test_the_report_tells_best_value_speed_up_and_settings() -> None:
    study = searched()
    text = page_of(summarized(study, runs=(RUN,))).text
    assert f"best value {study.best_value:.6g}" in text
    assert "speed-up (trial time / wall time) 1.90 ×" in text
    assert "complete trials 12" in text
    assert "objective digits.py:objective" in text
    assert "seed 7" in text
    assert "slurm-77 ada finished" in text
    assert "minimize value" in text


def test_the_page_tells_study_run_and_launch_apart() -> None:
    second = replace(RUN, run_id="slurm-78", spec={**RUN.spec, "n_trials": 12})
    text = page_of(summarized(searched(24), runs=(RUN, second), slots=(SLOT,))).text
    assert "Result of the study 24 trials in the whole study: 2 runs, with all their launches." in text
    assert "Settings of the last run, slurm-78" in text
    assert "n_trials (budget of this run) 12" in text
    assert "Slots of the last launch" in text
    assert "in the last launch of run slurm-78 alone; trials of earlier launches are not counted here" in text
    assert "A row is a run on this study, with a budget of its own." in text
    assert "budget (trials) begun (trials) first start last end" in text
    assert "All 24 trials of the study" in text


def test_a_slot_with_many_pools_names_each_once_and_alike_in_every_row() -> None:
    openblas, openmp = PoolRecord("openblas", 1), PoolRecord("openmp", 1)
    one = replace(SLOT, got_pools=(openblas, openmp, openblas))
    other = replace(SLOT, slot=1, got_pools=(openmp, openblas, openblas))
    assert one.pools == other.pools == "openblas ×2: 1, openmp: 1"
    assert replace(SLOT, got_pools=(openmp, openblas, PoolRecord("openblas", 8))).pools == (
        "openblas: 1, openblas: 8, openmp: 1"
    )
    assert replace(SLOT, got_pools=()).pools == "no pools seen"
    text = page_of(summarized(searched(), slots=(one, other))).text
    assert text.count("openblas ×2: 1, openmp: 1") == 2


def test_several_objectives_have_one_name_each_and_parameters_the_range_of_the_front() -> None:
    study = searched(several=True)
    text = page_of(summarized(study, runs=(replace(RUN, spec={"pruner": "median"}),))).text
    assert "minimize objective 0, minimize objective 1" in text
    assert not re.search(r"\bvalue [01]\b|Objective [01]|Best trial|best trial", text)
    assert f"values on the Pareto front ({len(study.best_trials)} trials)" in text
    front = sorted(trial.params["n"] for trial in study.best_trials)
    assert f"n 1 to 5, integer 12 {front[0]} to {front[-1]}" in text
    assert "median (without effect: Optuna prunes no trial of several objectives)" in text
    assert "the Pareto front first, then by objective 0" in text


def test_one_objective_keeps_its_pruner_as_it_is() -> None:
    text = page_of(summarized(searched(), runs=(replace(RUN, spec={"pruner": "median"}),))).text
    assert "pruner median Parameters" in text


def test_a_plot_of_one_objective_among_several_is_named_after_it() -> None:
    summary = summarized(searched(several=True))
    text = Page(render(summary, {"contour_1": Skipped("No."), "param_importances_0": Skipped("No.")})).text
    assert "Contour: objective 1 : No." in text
    assert "Importance by value: objective 0 : No." in text


def test_the_values_of_a_parameter_in_some_trials_read_as_people_write_them() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number:
            trial.suggest_categorical("decay", [None, "cosine"])
        return trial.suggest_float("x", trial.number / 4, trial.number / 4)

    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"decay": [None, "cosine"]}))
    for decay in ({}, {"decay": None}, {"decay": "cosine"}):
        study.enqueue_trial(decay)
    study.optimize(objective, n_trials=3)
    assert spread("x", study.trials) == "0 to 0.5"
    assert spread("x", study.trials[2:]) == "0.5"
    assert spread("decay", study.trials) == "None, cosine; not used in 1 of 3"
    assert spread("decay", study.trials[:1]) == "not used"
    assert spread("decay", ()) == "–"


def test_a_parameter_that_the_best_trial_does_not_use_is_said_to_be_so() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number:
            trial.suggest_float("momentum", 0, 1)
        return trial.suggest_float("x", 0, 1) + trial.number

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=3)
    assert "momentum 0 to 1 2 not used" in page_of(summarized(study)).text


def test_durations_are_the_seconds_inside_the_objective_over_all_attempts() -> None:
    tries = [replace(LOST, cause="returned", objective_s=part) for part in (0.021, 0.002, None)]
    page = page_of(summarized(searched(), attempts=tuple(tries)))
    assert re.search(r" 3 complete \S+ 0\.023 s ", page.text)


def test_dates_in_whole_seconds_give_rough_durations() -> None:
    trial = searched(1).trials[0]
    said = []
    for length_s in (0, 1, 5):
        trial.datetime_start, trial.datetime_complete = START, START + timedelta(seconds=length_s)
        said.append(duration(trial, None))
    assert said == ["under 1 s", "under 2 s", "about 5 s"]
    assert duration(trial, 0.0213) == "0.0213 s"
    trial.datetime_complete = START + timedelta(seconds=1, milliseconds=250)
    assert duration(trial, None) == "1.25 s"
    trial.datetime_complete = None
    assert duration(trial, None) == "–"


def test_the_summed_time_by_dates_in_whole_seconds_is_said_to_be_rough() -> None:
    study = searched(2)
    trials = study.trials
    for trial in trials:
        trial.datetime_start, trial.datetime_complete = START, START + timedelta(seconds=1)
    summary = replace(summarized(study), trials=tuple(trials))
    assert "summed trial time about 2 s" in page_of(replace(summary, trial_s=2.0)).text
    assert "summed trial time – " in page_of(replace(summary, trial_s=0.0)).text
    assert "summed trial time 2 s" in page_of(replace(summary, trial_s=2.0, attempts=(LOST,))).text


def test_the_report_flags_slots_that_did_not_get_what_was_planned() -> None:
    page = page_of(summarized(searched(), slots=(SLOT, ODD)))
    assert "openblas has 8 threads" in page.text
    assert "90 %" in page.text
    flagged = [attrs for tag, attrs in page.tags if tag == "span" and attrs.get("class") == "problem"]
    assert len(flagged) == 3  # the mask, the lost attempt, the problem's line


def test_lost_attempts_and_failed_trials_are_listed_with_their_exit_status() -> None:
    text = page_of(summarized(searched(), attempts=(LOST, replace(LOST, cause="returned")))).text
    assert "1 in all" in text
    assert "3 1 lost node01 0 1" in text


def test_a_study_without_runs_attempts_and_slots_has_no_empty_tables() -> None:
    text = page_of(summarized(searched())).text
    for heading in ("Slots", "Runs", "Failures"):
        assert heading not in text


def test_an_empty_study_has_a_report_that_says_so() -> None:
    summary = summarized(optuna.create_study(study_name="empty"), wall_s=0.0, trial_s=0.0)
    text = page_of(summary).text
    assert "no best value" in text
    assert "The study has no trials." in text
    assert "speed-up" not in text


def test_the_reason_of_a_skipped_plot_stands_in_the_report() -> None:
    summary = summarized(searched())
    text = Page(render(summary, {"contour": Skipped("A contour needs <two>.")})).text
    assert "Contour : A contour needs <two>." in text


def test_plotly_is_embedded_once_and_only_where_there_is_a_plot() -> None:
    summary = summarized(searched())
    drawn, bare = render(summary, figures(summary)), render(summary, {"contour": Skipped("No.")})
    assert drawn.count("plotly.js v") == 1
    assert len(bare) < 60_000


def test_nothing_that_people_named_becomes_markup() -> None:
    run = replace(RUN, spec={"objective": NASTY}, reason=NASTY, owner=NASTY)
    summary = summarized(
        searched(name=NASTY),
        runs=(run,),
        attempts=(replace(LOST, host=NASTY, cause=NASTY),),
        slots=(replace(ODD, host=NASTY, problems=(NASTY,)),),
        storage_url=NASTY,
    )
    drawn = figures(summary)
    nasty = Page(render(summary, drawn))
    assert sum("hacked" in script for script in nasty.scripts if not script.startswith("{")) == 0
    plots = [script for script in nasty.scripts if script.startswith("{")]
    assert len(plots) == sum(not isinstance(plot, Skipped) for plot in drawn.values())
    assert len(nasty.scripts) == len(plots) + 2  # plotly.js and the loader
    assert all(json.loads(script)["data"] for script in plots)
    assert nasty.text.count(NASTY) > 5


def test_no_element_of_the_page_refers_to_the_network() -> None:
    summary = summarized(searched())
    page = Page(render(summary, figures(summary)))
    links = [str(attrs[key]) for _, attrs in page.tags for key in ("src", "href") if key in attrs]
    places = {f"#{attrs['id']}" for _, attrs in page.tags if "id" in attrs}
    assert len(links) >= 4
    assert set(links) <= places
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "img")]
    assert "default-src 'none'" in str(page.tags)


def test_the_trials_table_ends_at_a_thousand_rows_and_names_the_csv() -> None:
    summary = summarized(searched(2))
    many = replace(summary, trials=summary.trials * 600)
    page = Page(render(many, {}))
    assert "The best 1,000 of 1,200 trials" in page.text
    assert "trials.csv" in page.text
    assert sum(tag == "tr" for tag, _ in page.tags) < 1020


def test_trials_are_listed_best_first() -> None:
    study = searched()
    text = render(summarized(study), {})
    rows = re.findall(r"<tr><td>(\d+)</td><td class=\"short\">complete", text.split('id="h-trials"')[1])
    ranked = sorted(study.trials, key=lambda trial: trial.value)
    assert [int(row) for row in rows] == [trial.number for trial in ranked]


def test_writing_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(summarized(searched(3)), {}, path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_ranges_and_durations_read_as_people_write_them() -> None:
    space = optuna.distributions
    assert describe(space.FloatDistribution(1e-5, 0.1, log=True)) == "1e-05 to 0.1, log"
    assert describe(space.IntDistribution(2, 8, step=2)) == "2 to 8, step 2, integer"
    assert describe(space.CategoricalDistribution(["a", None])) == "one of a, None"
    assert [seconds(value) for value in (0.5, 125.0, 7500.0)] == ["0.5 s", "2 min 05 s", "2 h 05 min"]


@pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on PATH")
@pytest.mark.parametrize("several", [False, True])
def test_a_browser_draws_every_plot_and_runs_nothing_that_people_named(tmp_path: Path, several: bool) -> None:
    summary = summarized(searched(name=NASTY, several=several), attempts=(LOST,), slots=(ODD,))
    plots = figures(summary)
    write_report(summary, plots, tmp_path / "report.html")
    dom = _opened(tmp_path / "report.html", tmp_path / "profile")
    drawn = {name for name, plot in plots.items() if not isinstance(plot, Skipped)}
    shown = set(re.findall(r'id="plot-([\w]+)" style="[^"]*" class="js-plotly-plot', dom))
    assert len(drawn) >= 6
    assert shown == drawn
    assert dom.count('class="main-svg"') >= len(drawn)
    assert not re.search(r"<title>hacked", dom)
    elements = re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)
    assert not re.search(r"(src|href)=[\"']https?://", elements)
    assert "Share chart" not in elements


@pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on PATH")
def test_the_slots_table_fits_a_window_of_1200_pixels(tmp_path: Path) -> None:
    pools = tuple(
        PoolRecord(library, 1) for library in ("openblas", "openmp", "openblas", "mkl", *"abcdefgh")
    )
    cpus = ",".join(f"{first}-{first + 3}" for first in range(0, 96, 12))
    wide = replace(SLOT, host="node-0123.cluster", got_pools=pools, cpus=cpus, got_cpus=cpus)
    page = render(summarized(searched(3), slots=(wide, replace(wide, slot=1))), {})
    measure = """<script>
    var box = document.querySelector("#h-slots").parentElement.querySelector("table").parentElement;
    box.setAttribute("data-hidden-px", box.scrollWidth - box.clientWidth);
    </script>"""
    (tmp_path / "report.html").write_text(page.replace("</body>", f"{measure}</body>"), encoding="utf-8")
    dom = _opened(tmp_path / "report.html", tmp_path / "profile")
    assert re.findall(r'data-hidden-px="(\d+)"', dom) == ["0"]


def _opened(path: Path, profile: Path) -> str:
    """The page's elements after its scripts have run, in a real browser."""
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-component-update"]
    calm = ["--disable-background-networking", "--disable-sync", f"--user-data-dir={profile}"]
    calm += ["--window-size=1200,2000"]
    command = [find_browser() or "", *quiet, *calm, "--virtual-time-budget=8000", "--dump-dom", path.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_json_of_a_plot_cannot_end_its_script_element(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = '{"data": [], "layout": {"title": "</script><!--&\u2028"}}'
    monkeypatch.setattr(go.Figure, "to_json", lambda _: raw)
    script = Page(render(summarized(searched(2)), {"contour": go.Figure()})).scripts[0]
    assert json.loads(script) == json.loads(raw)
    assert not set("<>&\u2028") & set(script)
