"""The report, read as text and opened in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import optuna
import plotly.graph_objects as go
import pytest

from affinity import pack_topology, synthetic_topology
from orchestrator.browser import find_browser
from orchestrator.machine_report import host_record
from orchestrator.paths import RunPaths
from orchestrator.plots import Skipped, figures
from orchestrator.records import AttemptRecord, HostRecord, PoolRecord, RunRecord, SlotRecord
from orchestrator.report import (
    as_markdown,
    content_of,
    describe,
    duration,
    page_of,
    render,
    seconds,
    spread,
    write_report,
)
from orchestrator.report.machines import drawings
from orchestrator.report.parameters import best_part_of, region, strip
from orchestrator.summary import Summary

DARK = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")
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


def parsed(summary: Summary) -> Page:
    return Page(render(summary, {}))


def test_the_report_tells_best_value_speed_up_and_settings() -> None:
    study = searched()
    text = parsed(summarized(study, runs=(RUN,))).text
    assert f"best value {study.best_value:.6g}" in text
    assert "speed-up (trial time / wall time) 1.90 ×" in text
    assert "complete trials 12" in text
    assert "objective digits.py:objective" in text
    assert "seed 7" in text
    assert "slurm-77 ada finished" in text
    assert "minimize value" in text


def test_the_page_tells_study_run_and_launch_apart() -> None:
    second = replace(RUN, run_id="slurm-78", spec={**RUN.spec, "n_trials": 12})
    text = parsed(summarized(searched(24), runs=(RUN, second), slots=(SLOT,))).text
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
    text = parsed(summarized(searched(), slots=(one, other))).text
    assert text.count("openblas ×2: 1, openmp: 1") == 2


def test_several_objectives_have_one_name_each_and_parameters_the_range_of_the_front() -> None:
    study = searched(several=True)
    text = parsed(summarized(study, runs=(replace(RUN, spec={"pruner": "median"}),))).text
    assert "minimize objective 0, minimize objective 1" in text
    assert not re.search(r"\bvalue [01]\b|Objective [01]|Best trial|best trial", text)
    assert f"values on the Pareto front ({len(study.best_trials)} trials)" in text
    front = sorted(trial.params["n"] for trial in study.best_trials)
    assert f"n 1 to 5, integer 12 {front[0]} to {front[-1]}" in text
    assert "median (without effect: Optuna prunes no trial of several objectives)" in text
    assert "the Pareto front first, then by objective 0" in text


def test_one_objective_keeps_its_pruner_as_it_is() -> None:
    text = parsed(summarized(searched(), runs=(replace(RUN, spec={"pruner": "median"}),))).text
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
    assert "momentum 0 to 1 2 not used" in parsed(summarized(study)).text


def test_durations_are_the_seconds_inside_the_objective_over_all_attempts() -> None:
    tries = [replace(LOST, cause="returned", objective_s=part) for part in (0.021, 0.002, None)]
    page = parsed(summarized(searched(), attempts=tuple(tries)))
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
    assert "summed trial time about 2 s" in parsed(replace(summary, trial_s=2.0)).text
    assert "summed trial time – " in parsed(replace(summary, trial_s=0.0)).text
    assert "summed trial time 2 s" in parsed(replace(summary, trial_s=2.0, attempts=(LOST,))).text


def test_the_report_flags_slots_that_did_not_get_what_was_planned() -> None:
    page = parsed(summarized(searched(), slots=(SLOT, ODD)))
    assert "openblas has 8 threads" in page.text
    assert "90 %" in page.text
    flagged = [attrs for tag, attrs in page.tags if tag == "span" and attrs.get("class") == "problem"]
    assert len(flagged) == 3  # the mask, the lost attempt, the problem's line


def test_lost_attempts_and_failed_trials_are_listed_with_their_exit_status() -> None:
    text = parsed(summarized(searched(), attempts=(LOST, replace(LOST, cause="returned")))).text
    assert "1 in all" in text
    assert "3 1 lost node01 0 1" in text


def test_a_study_without_runs_attempts_and_slots_has_no_empty_tables() -> None:
    text = parsed(summarized(searched())).text
    for heading in ("Slots", "Runs", "Failures"):
        assert heading not in text


def test_an_empty_study_has_a_report_that_says_so() -> None:
    summary = summarized(optuna.create_study(study_name="empty"), wall_s=0.0, trial_s=0.0)
    text = parsed(summary).text
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


def filed(folder: Path, run_id: str = RUN.run_id) -> Path:
    """A folder that is the directory of a run."""
    RunPaths(folder).spec.write_text(json.dumps({"run_id": run_id}))
    return folder


def test_failures_are_counted_by_cause_the_commonest_first() -> None:
    raised = [
        replace(LOST, token=f"r{n}", trial_number=n, cause="raised", detail=f"ValueError: layer {n} (f.py)")
        for n in (5, 6, 6)
    ]
    died = replace(LOST, token="d", cause="killed by a signal", detail="SIGKILL")
    text = parsed(summarized(searched(), attempts=(died, *raised))).text
    assert "raised ValueError 3 2 logs/rank0-slot1.log killed by a signal: SIGKILL 1 1 logs" in text
    assert "4 in all by cause" in text


def test_logs_are_linked_where_the_report_lies_in_the_directory_of_their_run(tmp_path: Path) -> None:
    mine = replace(LOST, run_id=RUN.run_id)
    summary = summarized(searched(), attempts=(mine, replace(LOST, token="u", run_id="another")))
    links = [
        attrs.get("href") for tag, attrs in Page(render(summary, {}, filed(tmp_path))).tags if tag == "a"
    ]
    assert links.count("logs/rank0-slot1.log") == 2  # of its cause, and of the attempt
    elsewhere = render(summary, {}, tmp_path / "elsewhere")
    assert 'href="logs' not in elsewhere
    assert "Logs are in the run directories" in elsewhere


def test_a_folder_with_a_broken_run_file_has_no_links(tmp_path: Path) -> None:
    for text in ("{", "[]", "{}"):
        RunPaths(tmp_path).spec.write_text(text)
        assert 'href="logs' not in render(summarized(searched(), attempts=(LOST,)), {}, tmp_path)


def test_the_best_region_is_where_the_best_tenth_of_the_trials_lie() -> None:
    study = searched(40)
    best = best_part_of(summarized(study))
    assert [trial.value for trial in best] == sorted(trial.value for trial in study.trials)[:4]
    text = parsed(summarized(study)).text
    assert "where the best 4 trials (10 %) have it" in text
    assert region("x", best) in text
    assert best_part_of(summarized(searched(19))) == []
    assert best_part_of(summarized(searched(40, several=True))) == []


def test_the_bar_of_a_region_is_placed_on_the_scale_of_its_parameter() -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("kind", ["a", "b"])
        return trial.suggest_float("lr", 1e-4, 1, log=True) + trial.suggest_int("n", 0, 10)

    study = optuna.create_study()
    for lr, n in ((1e-3, 5), (1e-2, 10)):
        study.enqueue_trial({"lr": lr, "n": n, "kind": "a"})
    study.optimize(objective, n_trials=2)
    assert strip("lr", study.trials) == pytest.approx((25, 50))
    assert strip("n", study.trials) == pytest.approx((50, 100))
    assert strip("kind", study.trials) is None
    assert strip("lr", ()) is None
    assert region("kind", study.trials) == "a 2"


MACHINE = replace(synthetic_topology("2 4 2"), cpu_model="EPYC")
HOST = HostRecord("node01", MACHINE, MACHINE.pus[:12], 65536, {"Python": "3.11"}, {"OMP_NUM_THREADS": "3"})


def test_machines_that_look_alike_are_drawn_once_with_their_slots() -> None:
    hosts = (HOST, replace(HOST, host="node02"), replace(HOST, host="node03", allowed=(0,)))
    slots = [
        replace(SLOT, host=host.host, rank=i, slot=k, cpus=f"{k}")
        for i, host in enumerate(hosts)
        for k in (0, 1)
    ]
    found = drawings(summarized(searched(2), slots=tuple(slots), hosts=hosts))
    assert [machine["names"] for machine in found["machines"]] == ["node01, node02", "node03"]
    pus = [
        pu
        for package in found["machines"][0]["packages"]
        for node in package["nodes"]
        for llc in node["llcs"]
        for core in llc["cores"]
        for pu in core
    ]
    assert sorted(pu["pu"] for pu in pus) == list(MACHINE.pus)
    assert Counter(pu["style"] for pu in pus) == {"c0": 1, "c1": 1, "idle": 10, "off": 4}


def test_a_pu_of_several_slots_names_them_all() -> None:
    both = tuple(replace(SLOT, slot=k, cpus="0") for k in (0, 1))
    page = render(summarized(searched(2), slots=both, hosts=(HOST,)), {})
    assert 'title="PU 0: slot 0,1"' in page


def test_machines_are_known_by_their_attempts_where_agents_have_told_nothing() -> None:
    page = render(summarized(searched(), attempts=(replace(LOST, cpu_model="EPYC 9"),)), {})
    assert re.search(r"node01</td><td>EPYC 9</td><td>–", page)
    assert "Cores by the slot" not in page
    assert "Environment" not in page


def test_what_an_agent_of_another_version_tells_of_its_machine_is_left_out() -> None:
    told = {
        "topology": pack_topology(MACHINE),
        "allowed": "0-3",
        "memory_mib": None,
        "versions": {},
        "kept": {},
    }
    assert host_record("a", told) is not None
    assert host_record("a", told | {"topology": "?"}) is None
    assert host_record("a", told | {"allowed": "x"}) is None
    assert host_record("a", told | {"allowed": None}) is None
    assert host_record("a", told | {"versions": 3}) is None
    assert host_record("a", {}) is None
    assert host_record("a", {**told, "topology": {**pack_topology(MACHINE), "cores": [[1]]}}) is None


def test_the_environment_has_what_ran_and_the_threads_that_were_seen() -> None:
    text = parsed(summarized(searched(2), slots=(SLOT,), hosts=(HOST,))).text
    assert "CPU EPYC Python 3.11 threads of a slot 4 planned; got openblas: 4 (1 slot)" in text
    assert "kept from the user's environment OMP_NUM_THREADS=3" in text


def test_the_time_of_slots_and_hosts_adds_up_in_the_table() -> None:
    measured = replace(SLOT, starting_s=0.5, waited_s=0.0, lost_s=0.25)
    text = parsed(summarized(searched(2), slots=(measured, replace(measured, slot=1)))).text.replace(
        "\xa0", " "
    )
    assert "node01 all 2 20 s 18 s (90 %) 0.5 s (2 %) 1 s (5 %) – 0.5 s (2 %)" in text
    assert "rank 0, slot 1 10 s 9 s (90 %) 0.25 s (2 %) 0.5 s (5 %) – 0.25 s (2 %)" in text


def test_the_time_of_slots_of_earlier_versions_is_busy_or_idle() -> None:
    text = parsed(summarized(searched(2), slots=(SLOT,))).text.replace("\xa0", " ")
    assert "10 s 9 s (90 %) – – – 1 s (10 %)" in text


def test_the_page_loads_itself_anew_only_while_it_is_watched() -> None:
    summary = summarized(searched(2))
    assert 'http-equiv="refresh"' not in render(summary, {})
    assert '<meta http-equiv="refresh" content="5">' in render(summary, {}, refresh_s=5.0)
    assert '<meta http-equiv="refresh" content="1">' in render(summary, {}, refresh_s=0.2)


def test_headings_are_in_order_and_scroll_areas_can_be_reached_by_keyboard() -> None:
    page = Page(
        render(summarized(searched(), runs=(RUN,), attempts=(LOST,), slots=(ODD,), hosts=(HOST,)), {})
    )
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    areas = [attrs for _, attrs in page.tags if "scroll" in (attrs.get("class") or "").split()]
    assert len(areas) > 5
    assert all(area.get("tabindex") == "0" and area.get("aria-label") for area in areas)
    contents = [str(attrs["href"])[1:] for tag, attrs in page.tags if tag == "a" and "href" in attrs]
    assert {attrs["id"] for tag, attrs in page.tags if tag == "h2"} <= set(contents)


def test_the_markdown_has_the_tables_and_no_markup_that_people_named() -> None:
    study = searched(30, name="a|b <i>*c*_\n# d")
    slots = (replace(ODD, host="n|1"),)
    summary = summarized(study, runs=(RUN,), attempts=(LOST,), slots=slots, hosts=(HOST,))
    text = as_markdown(content_of(summary))
    for heading in ("Result", "Parameters", "Machines", "Slots of the last launch", "Runs", "Trials"):
        assert f"## {heading}" in text
    assert "# a\\|b \\<i\\>\\*c\\*\\_ \\# d" in text.splitlines()
    assert "The best 20 of 30 trials" in text
    tables = _tables_of(text)
    assert len(tables) > 6
    assert all(len(set(bars)) == 1 for bars in tables)  # every row has as many cells as its head


def _tables_of(text: str) -> list[list[int]]:
    """Of each table the number of bars in each of its lines."""
    found: list[list[int]] = []
    for before, line in pairwise(["", *text.splitlines()]):
        if line.startswith("|"):
            found += [[]] if not before.startswith("|") else []
            found[-1].append(len(re.findall(r"(?<!\\)\|", line)))
    return found


def test_tables_of_very_many_slots_and_hosts_say_what_part_they_show() -> None:
    slots = tuple(replace(SLOT, host=f"h{n}", slot=k) for n in range(600) for k in (0, 1))
    content = content_of(summarized(searched(2), slots=slots))
    for text in (as_markdown(content), Page(page_of(content, {})).text):
        assert "first 500 of 600" in text
        assert "first 500 of 1,200" in text
        assert "first 1,000 of 1,800" in text


def test_an_empty_study_has_markdown_too() -> None:
    summary = summarized(optuna.create_study(study_name="empty"), wall_s=0.0, trial_s=0.0)
    text = as_markdown(content_of(summary))
    assert "No trial is complete" in text
    assert "## Trials" not in text


@pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on PATH")
@pytest.mark.parametrize("several", [False, True])
def test_a_browser_draws_every_plot_and_runs_nothing_that_people_named(tmp_path: Path, several: bool) -> None:
    summary = summarized(
        searched(name=NASTY, several=several),
        attempts=(LOST,),
        slots=(ODD,),
        hosts=(replace(HOST, host=NASTY),),
    )
    plots = figures(summary)
    write_report(summary, plots, tmp_path / "report.html")
    dom = _opened(tmp_path / "report.html", tmp_path / "profile", *(DARK if several else ()))
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


@pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on PATH")
@pytest.mark.parametrize("scheme", [(), DARK])
def test_plots_are_turned_dark_on_a_dark_page_and_columns_sorted_by_their_header(
    tmp_path: Path, scheme: tuple[str, ...]
) -> None:
    summary = summarized(searched(5))
    page = render(summary, {"timeline": go.Figure(go.Scatter(y=[1, 2]), layout={"height": 300})})
    look = """<script>
    var buttons = document.querySelectorAll("#h-trials ~ div th button");
    buttons[2].click(); buttons[2].click();  // value, descending
    var rows = Array.from(document.querySelectorAll("#h-trials ~ div tbody tr"));
    document.body.dataset.values = rows.map(function (row) { return row.cells[2].textContent; }).join(" ");
    document.body.dataset.filter = getComputedStyle(document.querySelector(".plot > div")).filter;
    </script>"""
    (tmp_path / "report.html").write_text(page.replace("</body>", f"{look}</body>"), encoding="utf-8")
    dom = _opened(tmp_path / "report.html", tmp_path / "profile", *scheme)
    values = sorted((trial.value for trial in summary.trials), reverse=True)
    assert f'data-values="{" ".join(f"{value:.6g}" for value in values)}"' in dom
    assert 'aria-sort="descending"' in dom
    assert ("invert" in re.findall(r'data-filter="([^"]*)"', dom)[0]) == bool(scheme)


def _opened(path: Path, profile: Path, *more: str) -> str:
    """The page's elements after its scripts have run, in a real browser, which had nothing to complain of."""
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-component-update"]
    calm = ["--disable-background-networking", "--disable-sync", f"--user-data-dir={profile}"]
    calm += ["--window-size=1200,2000"]
    calm += ["--enable-logging=stderr", "--virtual-time-budget=8000", *more]
    command = [find_browser() or "", *quiet, *calm, "--dump-dom", path.as_uri()]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr  # an error, or a request that the page's policy has refused
    return done.stdout


def test_the_json_of_a_plot_cannot_end_its_script_element(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = '{"data": [], "layout": {"title": "</script><!--&\u2028"}}'
    monkeypatch.setattr(go.Figure, "to_json", lambda _: raw)
    script = Page(render(summarized(searched(2)), {"contour": go.Figure()})).scripts[0]
    assert json.loads(script) == json.loads(raw)
    assert not set("<>&\u2028") & set(script)
