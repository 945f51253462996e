"""Judging: the same scenes for all, written down as they come, resumed where they stopped."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from action_images.benchmarks import find_benchmark
from action_images.cli import main
from action_images.control import Execution, Hold
from action_images.evaluation.closed_loop import (
    EvaluationConfig,
    evaluate,
    film,
    judge,
    run,
    to_be_filmed,
)
from action_images.evaluation.latency import Latency
from action_images.evaluation.protocols import PROTOCOLS, protocol_named
from action_images.evaluation.references import Expert, ExpertThroughVideo, Random
from action_images.evaluation.statistics import pair
from action_images.evaluation.trial import TRIALS, load_trials
from action_images.policies import ReferencePolicy

SIZE = (32, 32)
FIRST_SEED = find_benchmark("tabletop").seeds.first_for_judging


def config(
    name: str = "expert", tasks: tuple[str, ...] = ("reach_target",), protocol: str = "in_domain", size=SIZE
) -> EvaluationConfig:
    conditions = replace(PROTOCOLS[protocol], tasks=tasks)
    return EvaluationConfig(protocol, conditions, name, ReferencePolicy(name, size, 5.0), size=size)


def test_scenes_follow_from_task_and_trial_alone():
    assert replace(PROTOCOLS["in_domain"], tasks=("a", "b")).addresses(2) == [
        ("a", FIRST_SEED),
        ("a", FIRST_SEED + 1),
        ("b", FIRST_SEED),
        ("b", FIRST_SEED + 1),
    ]
    places = []
    for protocol in ("in_domain", "new_viewpoint", "new_look"):
        environment = config(protocol=protocol).environment("reach_target")
        environment.begin(FIRST_SEED)
        ball = f"{environment.trial.colour} ball"  # pyright: ignore
        places.append((environment.instruction, *environment.world.pose(ball).translation.tolist()))
        environment.close()
    assert places[0] == places[1] == places[2]


def test_every_protocol_is_a_value_that_says_what_it_claims():
    benchmark = find_benchmark("tabletop")
    assert PROTOCOLS["in_domain"].tasks == benchmark.trained
    assert PROTOCOLS["new_task"].tasks == benchmark.held_out
    assert PROTOCOLS["new_viewpoint"].rig == "held_out"
    assert PROTOCOLS["new_look"].look == "unseen"
    assert all(protocol.rollout_config.guard == benchmark.guard for protocol in PROTOCOLS.values())
    assert PROTOCOLS["open_loop"].rollout_config.execution == Execution(num_steps=None, max_plans=1)
    assert len({protocol.claim for protocol in PROTOCOLS.values()}) == len(PROTOCOLS)
    with pytest.raises(ValueError, match="there are: in_domain"):
        protocol_named("in-domain")


@pytest.mark.parametrize("task", ["reach_target", "pick_and_lift", "close_drawer"])
def test_the_expert_succeeds_and_its_tool_ends_where_it_should(task: str):
    trial, rollout = judge(Expert(), config(tasks=(task,)), (task, FIRST_SEED))
    assert trial.succeeded
    assert trial.missed_mm is not None
    assert rollout.stopped is None
    assert trial.num_unreachable == 0
    assert trial.plan_ms is not None


def test_the_expert_through_video_grasps_at_a_models_frame_rate():
    trial, _ = judge(ExpertThroughVideo((64, 64)), config(size=(64, 64)), ("pick_and_lift", FIRST_SEED))
    assert trial.succeeded


def test_standing_still_and_moving_at_random_fail_and_it_is_said_why():
    still, _ = judge(Hold(), config(), ("reach_target", FIRST_SEED))
    assert not still.succeeded
    assert still.failure == "missed"
    assert "came to rest" in still.detail
    moves = [judge(Random(), config(), ("reach_target", FIRST_SEED))[0] for _ in range(2)]
    assert not any(move.succeeded for move in moves)
    assert moves[0].num_steps == moves[1].num_steps
    assert moves[0].detail == moves[1].detail


def test_a_policy_that_knows_the_trial_must_be_told_of_it():
    environment = config().environment("reach_target")
    with pytest.raises(ValueError, match="call begin"):
        Expert().plan(environment.reset(FIRST_SEED))
    environment.close()


def test_processes_find_what_one_finds():
    wanted = config().protocol.addresses(2)
    alone = {trial.key: trial for trial in run(config(), wanted)}
    together = {trial.key: trial for trial in run(config(), wanted, num_workers=2)}
    assert {key: replace(trial, plan_ms=None) for key, trial in alone.items()} == {
        key: replace(trial, plan_ms=None) for key, trial in together.items()
    }


def killed() -> Hold:
    os.kill(os.getpid(), signal.SIGKILL)
    return Hold()


def not_there() -> Hold:
    raise ConnectionError("there is no server")


@pytest.mark.parametrize(
    ("make", "said"), [(killed, "a worker process was killed.*fewer workers"), (not_there, "is no server")]
)
def test_what_ends_a_worker_is_one_error_with_the_cure(make, said):
    with pytest.raises(OSError, match=said):
        list(run(replace(config(), make=make), config().protocol.addresses(2), num_workers=2))


def test_an_evaluation_goes_on_where_it_was_stopped(tmp_path: Path):
    started = evaluate(config(), tmp_path, 3)
    first = next(started)
    started.close()
    with (tmp_path / TRIALS).open("a") as file:
        file.write('{"protocol": "in_dom')  # what a crash leaves
    rest = list(evaluate(config(), tmp_path, 3))
    assert len(rest) == 2
    assert [trial.key for trial in load_trials(tmp_path)] == config().protocol.addresses(3)
    assert load_trials(tmp_path)[0] == first
    assert not list(evaluate(config(), tmp_path, 3))


def test_trials_of_other_settings_do_not_mix(tmp_path: Path):
    list(evaluate(config(), tmp_path, 1))
    with pytest.raises(ValueError, match="policy differ"):
        list(evaluate(config("hold"), tmp_path, 1))
    with pytest.raises(ValueError, match="rig differ"):
        list(evaluate(replace(config(), protocol=PROTOCOLS["new_viewpoint"]), tmp_path, 1))


def test_results_from_before_worlds_had_names_are_added_to(tmp_path: Path):
    list(evaluate(config("hold"), tmp_path, 1))
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings.pop("benchmark") == ["tabletop", "1"]
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert len(list(evaluate(config("hold"), tmp_path, 2))) == 1
    assert json.loads((tmp_path / "settings.json").read_text())["benchmark"] == ["tabletop", "1"]


def test_results_from_before_plans_could_be_late_are_those_of_a_world_that_waits(tmp_path: Path):
    list(evaluate(config("hold"), tmp_path, 1))
    now = json.loads((tmp_path / "settings.json").read_text())
    before = json.loads((tmp_path / "settings.json").read_text())
    assert before["rollout_config"].pop("latency") == {"ms": 0.0, "jitter_ms": 0.0, "lost": 0.0}
    del before["rollout_config"]["execution"]["join"]
    for rail in ("max_jerk", "max_turning_jerk"):
        del before["rollout_config"]["guard"][rail]
    (tmp_path / "settings.json").write_text(json.dumps(before))
    assert len(list(evaluate(config("hold"), tmp_path, 2))) == 1
    assert json.loads((tmp_path / "settings.json").read_text()) == now
    protocol = config("hold").protocol
    late = replace(protocol, rollout_config=replace(protocol.rollout_config, latency=Latency(200)))
    with pytest.raises(ValueError, match="rollout_config differ"):
        list(evaluate(replace(config("hold"), protocol=late), tmp_path, 2))


def test_what_a_policy_raises_is_raised_and_what_was_done_stands(tmp_path: Path):
    class Failing(Hold):
        def plan(self, observation):
            self.num_asked = getattr(self, "num_asked", 0) + 1
            if self.num_asked > 5:
                raise ConnectionError("the server went away")
            return super().plan(observation)

    with pytest.raises(ConnectionError, match="went away"):
        list(evaluate(replace(config(), make=Failing), tmp_path, 3))
    assert len(load_trials(tmp_path)) == 1


def test_the_first_success_and_failure_of_each_task_are_filmed_with_what_is_in_their_record(tmp_path: Path):
    list(evaluate(config("random"), tmp_path, 2))
    filmed = []

    def write(rollout, path: Path, detail: str, goal) -> None:
        filmed.append((rollout, detail, goal))
        path.write_bytes(b"film")

    expected = to_be_filmed(load_trials(tmp_path))
    done = list(film(config("random"), tmp_path, write))
    assert [trial.key for trial in done] == [trial.key for trial in expected]
    assert all((tmp_path / (trial.film or "")).is_file() for trial in done)
    assert {trial.key for trial in load_trials(tmp_path) if trial.film} == {trial.key for trial in done}
    for rollout, detail, goal in filmed:
        assert len([step for step in rollout.steps if step.seen is not None]) == len(rollout.steps)
        assert detail
        assert goal.translation.shape == (3,)
    filmed.clear()
    list(film(config("random"), tmp_path, write))
    assert not filmed  # what is filmed is not filmed again


def test_the_exact_test_is_the_binomial_tail():
    from scipy.stats import binomtest

    for only_first, only_second in ((0, 0), (1, 0), (5, 1), (3, 3), (12, 2)):
        first = (
            dict.fromkeys(range(only_first), True)
            | {100 + i: False for i in range(only_second)}
            | {"both": True}
        )
        second = (
            dict.fromkeys(range(only_first), False)
            | {100 + i: True for i in range(only_second)}
            | {"both": True, "alone": True}
        )
        paired = pair(first, second)
        differing = only_first + only_second
        assert paired.num_pairs == differing + 1
        assert paired.p_value == pytest.approx(binomtest(only_first, differing).pvalue if differing else 1.0)
        assert paired.difference == (only_first - only_second) / (differing + 1)
    with pytest.raises(ValueError, match="no scene in common"):
        pair({1: True}, {2: True})


def test_the_commands_judge_resume_and_compare(tmp_path: Path, capsys: pytest.CaptureFixture):
    ask = ["evaluate", "--task", "reach_target", "--trials", "2", "--size", "32", "--no-films"]
    for name in ("expert", "hold"):
        assert main([*ask, "--policy", name, "--out", str(tmp_path / name)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "100.0 (34-100)" in printed
    assert "missed 2" in printed
    assert json.loads((tmp_path / "expert" / "settings.json").read_text())["size"] == [32, 32]
    assert main(["compare", str(tmp_path / "expert"), str(tmp_path / "hold")]) == 0
    assert "0.5" in capsys.readouterr().out


def test_cameras_that_are_not_the_protocols_are_named_in_its_claim_and_compared_with_words(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    ask = ["evaluate", "--task", "reach_target", "--trials", "1", "--no-films", "--no-ceiling"]
    assert main([*ask, "--policy", "hold", "--size", "32", "--out", str(tmp_path / "a")]) == 0
    other = ["--policy", "random", "--size", "48", "--rig", "fixed", "--out", str(tmp_path / "b")]
    assert main([*ask, *other]) == 0
    settings = json.loads((tmp_path / "b" / "settings.json").read_text())
    assert settings["claim"].endswith("but the cameras are the rig 'fixed'")
    settings["claim"] = PROTOCOLS["in_domain"].claim  # as earlier versions wrote it
    (tmp_path / "b" / "settings.json").write_text(json.dumps(settings))
    assert main([*ask, *other]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "the two also differ in: size ([32, 32] and [48, 48]), rig" in told


def test_trials_of_other_worlds_or_of_no_common_scene_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    for name, one in (("a", config("hold")), ("b", config("random"))):
        list(evaluate(one, tmp_path / name, 1))
    settings = json.loads((tmp_path / "b" / "settings.json").read_text())
    for version, code, said in (
        (["tabletop", "2"], 2, "in the world tabletop 1"),
        (["tabletop", "1"], 0, ""),
    ):
        (tmp_path / "b" / "settings.json").write_text(json.dumps({**settings, "benchmark": version}))
        assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == code
        assert said in capsys.readouterr().err
    list(evaluate(config("random", ("close_drawer",)), tmp_path / "c", 1))
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "c")]) == 2
    assert "have no scene (task and seed) in common" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["hold", "ws://127.0.0.1:9"])
def test_options_of_models_are_refused_for_what_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture, policy: str
):
    assert (
        main(
            ["evaluate", "--policy", policy, "--best-of", "4", "--seed", "2", "--out", str(tmp_path / "out")]
        )
        == 2
    )
    assert "--seed, --best-of: is for a folder of models" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("policy", "said"), [("nowhere", "there is no policy 'nowhere'"), ("shipped", "no shipped models")]
)
def test_a_policy_that_is_not_there_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, policy: str, said: str, monkeypatch
):
    monkeypatch.setattr("action_images.__file__", str(tmp_path / "__init__.py"))
    assert main(["evaluate", "--policy", policy, "--out", str(tmp_path / "out")]) == 2
    *device, last = capsys.readouterr().err.splitlines()
    assert said in last
    assert all(line.startswith("runs on cpu") for line in device)


def test_two_commands_do_not_write_into_one_folder(tmp_path: Path):
    running = evaluate(config(), tmp_path, 2)
    next(running)
    with pytest.raises(ValueError, match="another process is writing"):
        next(evaluate(config(), tmp_path, 3))
    with pytest.raises(ValueError, match="another process is writing"):
        next(film(config(), tmp_path, lambda *_: None))
    running.close()
    assert len(list(evaluate(config(), tmp_path, 2))) == 1


def test_films_are_made_with_as_many_threads_as_the_trials_had(tmp_path: Path):
    list(evaluate(config(), tmp_path, 1))
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        seen = []
        list(
            film(
                config(),
                tmp_path,
                lambda _rollout, path, *_: (seen.append(torch.get_num_threads()), path.write_bytes(b"")),
                num_workers=4,
            )
        )
        assert seen == [1]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--protocol", "new_task", "--task", "reach_target"],
            "--task reach_target: the protocol new_task is about",
        ),
        (["--protocol", "in_domain", "--task", "close_laptop"], "choose another --protocol"),
        (["--protocol", "open_loop", "--blend", "0.5"], "makes a single one"),
        (["--protocol", "new_viewpoint", "--rig", "fixed"], "new_viewpoint is about the rig 'held_out'"),
    ],
)
def test_options_that_a_protocol_has_no_use_for_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str], said: str
):
    assert main(["evaluate", "--policy", "hold", "--out", str(tmp_path / "results"), *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "results").exists()


def test_an_expert_whose_plans_come_late_begins_late_and_succeeds(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    late = ["--latency-ms", "400", "--latency-jitter-ms", "100"]
    ask = ["evaluate", "--policy", "expert", "--task", "pick_and_lift", "--trials", "2", "--size", "32"]
    num_steps = {}
    for name, options in (("waits", []), ("late", late)):
        folder = tmp_path / name
        assert main([*ask, *options, "--no-films", "--out", str(folder)]) == 0
        trials = load_trials(folder)
        assert all(trial.succeeded for trial in trials)
        num_steps[name] = sum(trial.num_steps for trial in trials)
    assert num_steps["late"] >= num_steps["waits"] + 2 * 6
    settings = json.loads((tmp_path / "late" / "settings.json").read_text())
    assert settings["rollout_config"]["latency"] == {"ms": 400.0, "jitter_ms": 100.0, "lost": 0.0}
    for options in (["--latency-ms", "-5"], ["--latency-jitter-ms", "5"], ["--lost-plans", "1"]):
        assert main([*ask, *options, "--out", str(tmp_path / "out")]) == 2
        assert "a latency needs ms from 0" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("fps", [5.0, 15.0, 30.0])
def test_the_expert_through_video_takes_as_long_as_the_expert_at_any_rate(fps: float):
    (task,) = ("reach_target",)
    known, through = (
        judge(policy, config(tasks=(task,)), (task, FIRST_SEED))[0]
        for policy in (Expert(), ExpertThroughVideo((64, 64), fps))
    )
    assert through.succeeded
    assert abs(through.num_steps - known.num_steps) <= 8
