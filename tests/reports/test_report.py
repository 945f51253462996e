"""A report counts what the records hold, and lets nothing of a stranger's text or paths through."""

import json
import math
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from action_images.cli import main as command
from action_images.evaluation.table import ALL, comparisons, is_ceiling, rows
from action_images.evaluation.trial import FAILURES, TrialRecord, append_trial
from action_images.reports.curve import Curve
from action_images.reports.inlined import Inlined
from action_images.reports.learning_curves import MAX_POINTS, load_curves
from action_images.reports.pages import environment
from action_images.reports.report import write_report
from action_images.reports.trial_folders import load_folders

Make = Callable[..., TrialRecord]


def trial(policy: str, task: str, seed: int, failure: str | None = None, **values) -> TrialRecord:
    fields = {
        "protocol": "in_domain",
        "instruction": "reach",
        "detail": "it ended",
        "num_steps": 20,
        "num_plans": 2,
        "num_unreachable": 0,
    }
    return TrialRecord(
        policy=policy,
        task=task,
        seed=seed,
        succeeded=failure is None,
        failure=failure,
        **{**fields, **values},
    )


def trials(policy: str, rate: float, seed: int = 0) -> list[TrialRecord]:
    chance = random.Random(seed)
    draws = [
        (task, number, chance.random() < rate) for task, number in product(("close", "reach"), range(40))
    ]
    return [
        trial(
            policy,
            task,
            number,
            None if good else chance.choice(list(FAILURES)),
            plan_ms=chance.uniform(50, 150),
        )
        for task, number, good in draws
    ]


def folder(path: Path, records: list[TrialRecord]) -> Path:
    path.mkdir(parents=True)
    for record in records:
        append_trial(path, record)
    return path


def test_rows_count_each_trial_once_and_all_tasks_together():
    records = trials("ours", 0.7)
    table = rows(records)
    assert [row.task for row in table] == ["close", "reach", ALL]
    assert (
        sum(row.num_succeeded for row in table[:2])
        == table[2].num_succeeded
        == sum(record.succeeded for record in records)
    )
    assert sum(table[2].failures.values()) == table[2].num_trials - table[2].num_succeeded
    low, high = table[0].interval
    assert low < table[0].rate < high


def test_success_at_any_step_is_counted_where_all_trials_say_it():
    passed_by = [trial("ours", "reach", 0, "missed", touched=True), trial("ours", "reach", 1, touched=True)]
    (row,) = rows(passed_by)
    assert (row.num_succeeded, row.num_touched) == (1, 2)
    (row,) = rows([*passed_by, trial("ours", "reach", 2, "missed")])  # a version that did not write it
    assert row.num_touched is None


def test_ceilings_are_counted_over_the_same_scenes():
    ours = [record for record in trials("ours", 0.5) if record.seed < 10]
    expert = [
        trial("expert", task, seed, None if seed < 10 else "missed")
        for task, seed in product(("close", "reach"), range(40))
    ]
    table = rows([*ours, *expert])
    assert all(
        row.ceilings["expert"].rate == 1.0 and row.ceilings["expert"].num_trials == row.num_trials
        for row in table[:3]
    )
    assert not any(row.ceilings for row in table[3:])


def test_a_ceiling_of_another_protocol_is_none():
    table = rows([trial("ours", "reach", 0), trial("expert", "reach", 0, protocol="new_look")])
    assert not table[0].ceilings


def test_comparisons_count_scenes_that_both_were_tried_in():
    first, second = trials("first", 0.8, 1), trials("second", 0.4, 2)[:60]
    (overall,) = [one for one in comparisons(rows([*first, *second])) if one.task == ALL]
    won = {record.key: record.succeeded for record in first}
    pairs = [(won[record.key], record.succeeded) for record in second]
    assert overall.pairing.num_pairs == 60
    assert overall.num_both == pairs.count((True, True))
    assert (overall.pairing.only_first, overall.pairing.only_second) == (
        pairs.count((True, False)),
        pairs.count((False, True)),
    )


def test_policies_of_different_worlds_are_not_compared_and_other_differences_are_told(tmp_path: Path):
    settings = {"protocol": "in_domain", "benchmark": ["tabletop", "1"], "size": [64, 64]}
    others = {
        "a": settings,
        "b": settings | {"size": [128, 128]},
        "c": settings | {"benchmark": ["door", "1"]},
    }
    for name, conditions in others.items():
        folder(tmp_path / name, [trial(name, "reach", seed) for seed in range(3)])
        (tmp_path / name / "settings.json").write_text(json.dumps(conditions | {"policy": name}))
    written = write_report([tmp_path / name for name in others], tmp_path / "report.html")
    page = written.path.read_text()
    assert "a against b, in_domain; they differ in size ([64, 64] and [128, 128])" in page
    assert "against c" not in page
    assert [told[:56] for told in written.warnings] == [
        "in_domain: a ran in the world tabletop 1, c in door 1; t",
        "in_domain: b ran in the world tabletop 1, c in door 1; t",
    ]


def test_strangers_text_is_shown_and_never_obeyed(tmp_path: Path):
    evil = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    film = tmp_path / "results" / "films" / "a.png"
    record = trial(
        evil,
        evil,
        1,
        "missed",
        instruction=evil,
        detail=evil,
        protocol=evil,
        stage_ms={evil: 1.0},
        film="films/a.png",
    )
    home = folder(tmp_path / "results", [record, trial(evil, "other", 2, instruction=evil, protocol=evil)])
    film.parent.mkdir()
    film.write_bytes(b"not looked into")
    page = write_report([home], tmp_path / "report.html").path.read_text()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("name", ["../outside.mp4", "/etc/hostname", "films/none.mp4", "films/a.txt"])
def test_a_film_that_is_missing_or_outside_its_folder_is_left_out_and_said(tmp_path: Path, name: str):
    (tmp_path / "outside.mp4").write_bytes(b"secret")
    home = folder(tmp_path / "results", [trial("ours", "reach", 1, film=name)])
    (home / "films").mkdir()
    (home / "films" / "a.txt").write_bytes(b"secret")
    written = write_report([home], tmp_path / "report.html")
    assert len(written.warnings) == 1
    assert "data:video" not in written.path.read_text()


def test_films_are_bounded_in_size(tmp_path: Path):
    with (tmp_path / "long.mp4").open("wb") as file:
        file.truncate(33 << 20)
    inlined = Inlined()
    assert inlined.uri(tmp_path, "long.mp4") is None
    assert "too large" in inlined.left_out[0]


def test_policies_of_one_name_are_told_apart_by_their_folders(tmp_path: Path):
    folders = [
        folder(tmp_path / name, trials("ours", rate)) for name, rate in (("before", 0.3), ("after", 0.9))
    ]
    page = write_report(folders, tmp_path / "report.html").path.read_text()
    assert "ours (before) against ours (after)" in page
    assert str(tmp_path) not in page


def test_folders_of_one_name_are_told_apart_by_those_above_them_and_no_more(tmp_path: Path):
    folders = [folder(tmp_path / name / "results", trials("ours", 0.5)) for name in ("before", "after")]
    loaded = load_folders(folders)
    assert {one.policy for one in loaded.trials} == {"ours (before/results)", "ours (after/results)"}


def test_folders_of_ceilings_inside_are_read(tmp_path: Path):
    home = folder(tmp_path / "results", trials("ours", 0.5))
    folder(home / "expert", trials("expert", 1.0))
    folder(home / "expert-video", trials("expert-video", 1.0))
    page = write_report([home], tmp_path / "report.html").path.read_text()
    assert page.count("100 % of 40") == 4
    assert page.count("100 % of 80") == 2


def test_results_that_are_none_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "nothing").mkdir()
    assert command(["report", str(tmp_path / "nothing"), "--out", str(tmp_path / "report.html")]) == 2
    assert "nothing" in capsys.readouterr().err
    (tmp_path / "nothing" / "trials.jsonl").touch()
    assert command(["report", str(tmp_path / "nothing"), "--out", str(tmp_path / "report.html")]) == 2
    assert "no trial" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_the_command_writes_the_page_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture):
    home = folder(tmp_path / "results", trials("ours", 0.5))
    assert command(["report", str(home), "--out", str(tmp_path / "new" / "report.html")]) == 0
    assert "80 trials" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_curves_are_every_number_of_a_log_against_its_steps(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    lines = [
        {"step": 10 * i, "loss": 1 / (i + 1), "validation": {"mm": 5.0 + i}, "note": "text", "bad": math.nan}
        for i in range(3000)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    curves = load_curves(log)
    assert set(curves) == {"loss", "validation.mm"}
    assert len(curves["loss"]) == MAX_POINTS
    assert curves["validation.mm"][0] == (0.0, 5.0)
    assert curves["validation.mm"][-1] == (29990.0, 3004.0)


def test_steps_that_a_resumed_run_took_again_are_drawn_once(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    steps = [*range(5), *range(3, 7)]
    log.write_text("".join(json.dumps({"step": step, "loss": at}) + "\n" for at, step in enumerate(steps)))
    assert load_curves(log)["loss"] == [(0, 0), (1, 1), (2, 2), (3, 5), (4, 6), (5, 7), (6, 8)]


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"loss": 1}\n[1]\n', "line 2"), ("{\n", "line 1"), ("[" * 100_000, "line 1"), ("", "no curve")],
)
def test_a_log_that_is_none_is_refused_by_line(tmp_path: Path, text: str, said: str):
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(ValueError, match=said):
        load_curves(tmp_path / "log.jsonl")


def test_bars_are_as_long_as_their_share():
    parts = environment().get_template("parts.html").module
    stacked = parts.stacked_bar({"missed": 1, "guard": 2}, 4)
    assert 'class="part-missed" x="0.0%" width="25.0%"' in stacked
    assert 'class="part-guard" x="25.0%" width="50.0%"' in stacked
    bar = parts.interval_bar(0.5, 0.25, 1.0, [0.75])
    assert 'cx="50.0%"' in bar
    assert 'class="range" x1="25.0%" x2="100.0%"' in bar
    assert 'class="ceiling" x1="75.0%" x2="75.0%"' in bar


def test_a_curve_fills_its_box():
    curve = Curve.filling("loss", [(10.0, 4.0), (20.0, 2.0), (30.0, 3.0)])
    assert curve.polyline == "0.00,0.00 50.00,100.00 100.00,50.00"
    assert Curve.filling("flat", [(0.0, 1.0), (1.0, 1.0)]).polyline == "0.00,50.00 100.00,50.00"


def test_a_ceiling_of_other_conditions_stands_beside_its_own_policy_alone(tmp_path: Path):
    for size, rate in ((64, 0.0), (128, 1.0)):
        home = folder(tmp_path / str(size), [trial(f"ours {size}", "reach", seed) for seed in range(4)])
        ceiling = folder(
            home / "expert-video",
            [trial("expert-video", "reach", seed, None if rate else "missed") for seed in range(4)],
        )
        for each in (home, ceiling):
            (each / "settings.json").write_text(json.dumps({"policy": each.name, "size": [size, size]}))
    loaded = load_folders([tmp_path / "64", tmp_path / "128"])
    table = {row.policy: row for row in rows(loaded.trials, loaded.owned)}
    assert [one.rate for one in table["ours 64"].ceilings.values()] == [0.0]
    assert [one.rate for one in table["ours 128"].ceilings.values()] == [1.0]
    assert not any(is_ceiling(name) for name in ("expert-lora", "expert_2", "ours"))


def test_a_ceiling_of_other_clips_stands_beside_its_own_policy_alone(tmp_path: Path):
    for name, fps, rate in (("slow", 5.0, 1.0), ("fast", 20.0, 0.0)):
        home = folder(tmp_path / name, trials(name, 0.5))
        folder(home / "expert-video", trials("expert-video", rate))
        for at in (home, home / "expert-video"):
            (at / "settings.json").write_text(
                json.dumps({"policy": name, "size": [64, 64], "clips": [64, 64, fps]})
            )
    loaded = load_folders([tmp_path / "slow", tmp_path / "fast"])
    table = rows(loaded.trials, loaded.owned)
    for name, rate in (("slow", 1.0), ("fast", 0.0)):
        (row,) = [row for row in table if row.policy == name and row.task == ALL]
        assert [ceiling.rate for ceiling in row.ceilings.values()] == [rate]


def test_all_curves_of_a_log_are_drawn_or_it_is_refused(tmp_path: Path):
    log = tmp_path / "log.jsonl"

    def write_log(num_curves: int) -> None:
        names = [f"c{number}" for number in range(num_curves)]
        lines = [json.dumps({"step": step, **dict.fromkeys(names, step)}) for step in range(3)]
        log.write_text("\n".join(lines) + "\n")

    write_log(100)
    assert len(load_curves(log)) == 100
    write_log(201)
    with pytest.raises(ValueError, match="holds 201 curves"):
        load_curves(log)
