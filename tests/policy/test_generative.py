"""The generative policy: right end to end where the model is, honest where not, the same for a seed."""

from dataclasses import replace

import pytest
import torch
from oracle import CLIPS, Oracle, fitted_models

from action_images.control import Execution
from action_images.evaluation.expert import demonstrated
from action_images.evaluation.rollout import BegunTrial, RolloutConfig, roll_out
from action_images.geometry import Trajectory
from action_images.inference.confidence import confidence, known_path
from action_images.policy import BestOf, GenerativePolicy
from action_images.policy.scene import scene_of
from action_images.robot import Observation, Plan
from action_images.sim import Tabletop

SEED = 1_000_000


@pytest.fixture(scope="module")
def scene():
    """A world, its first observation, and models that fit it, of random weights."""
    environment = Tabletop("pick_and_lift", size=(64, 64))
    models = fitted_models(environment, SEED)
    return environment, environment.reset(SEED), models


def oracle_policy(environment: Tabletop, models, **values) -> tuple[GenerativePolicy, Trajectory]:
    recorded, _ = demonstrated(environment.twin(), SEED)
    knowing = replace(models, denoiser=Oracle(models, environment, recorded))
    return GenerativePolicy.of(knowing, **values), recorded


def test_with_a_perfect_model_the_trial_succeeds_in_the_simulator(scene):
    """Draws, encodes, samples, decodes, reads, resamples, executes: all must be right for a grasp."""
    environment, _, models = scene
    policy, _ = oracle_policy(environment, models)
    trial = BegunTrial(environment, "pick_and_lift", SEED, first_seen=environment.reset(SEED), max_steps=120)
    rollout = roll_out(policy, trial, RolloutConfig(Execution(num_steps=16)))
    assert rollout.succeeded
    assert len(rollout.plans) > 2
    assert policy.generator.pipeline.models.denoiser.num_calls == 4 * len(rollout.plans)  # pyright: ignore
    assert rollout.stopped is None


def test_a_perfect_model_plans_what_the_expert_did(scene):
    environment, _, models = scene
    policy, recorded = oracle_policy(environment, models)
    seen = environment.reset(SEED)
    plan = policy.plan(seen)
    metres, radians = errors_at_frames(plan, recorded)
    # Between its frames a plan goes straight; at the frames the codec's and the autoencoder's error is left.
    assert metres.max() < 6e-3
    assert radians.max() < 0.1
    assert plan.trajectory.opening[-1] == recorded.opening[32]
    assert plan.confidence.min() > 0.5
    assert plan.imagined_frame[-1] == 8


def errors_at_frames(plan: Plan, recorded: Trajectory):
    """How far (m, rad) the plan lies from what was recorded, where it passes a model frame."""
    steps = (plan.imagined_frame % 1 == 0).nonzero().flatten()
    frames = (4 * plan.imagined_frame[steps]).long().clamp(max=recorded.num_frames - 1)
    return plan.trajectory[steps].world_from_tool.distance(recorded[frames].world_from_tool)


def test_images_of_another_size_and_shape_are_fitted_with_their_cameras(scene):
    _, _, models = scene
    large = Tabletop("pick_and_lift", size=(96, 160))
    seen = large.reset(SEED)
    policy, recorded = oracle_policy(large, models)
    # The oracle draws with cameras fitted by the same rule.
    policy.generator.pipeline.models.denoiser.environment = _Fitted(large, CLIPS.size)  # pyright: ignore
    plan = policy.plan(seen)
    metres, _ = errors_at_frames(plan, recorded)
    assert metres.max() < 8e-3
    large.close()


class _Fitted:
    """The environment with its cameras cut to squares."""

    def __init__(self, environment: Tabletop, size: tuple[int, int]) -> None:
        from action_images.geometry.fitting import fit_camera

        self.num_steps, self.cameras = environment.num_steps, fit_camera(environment.cameras, size)


def test_the_same_seed_and_observation_give_the_same_plan_and_another_seed_another(scene):
    _, seen, models = scene
    policy = GenerativePolicy.of(models)
    plans = [one.plan(seen) for one in (policy, GenerativePolicy.of(models), replace(policy, seed=1))]
    images = [
        policy.generator.pipeline.show(_sampled(one, seen), None, ["action"]).action_images
        for one in (policy, policy, replace(policy, seed=1))
    ]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    assert torch.equal(
        plans[0].trajectory.world_from_tool.translation, plans[1].trajectory.world_from_tool.translation
    )
    assert torch.equal(plans[0].confidence, plans[1].confidence)


def _sampled(policy: GenerativePolicy, seen: Observation):
    from action_images.canvas import MODES
    from action_images.diffusion.sampler import sample

    canvas, condition = policy.generator.pipeline.encode(
        scene_of(seen, policy.generator.clips.size), MODES[policy.mode], policy.generator.clips.num_frames
    )
    noise = [torch.Generator().manual_seed(policy.seed)]
    return sample(
        policy.generator.pipeline.models.denoiser,
        canvas,
        condition,
        policy.generator.generation.sampling,
        noise,
    )


@pytest.mark.parametrize("mode", ["policy", "joint"])
def test_an_untrained_model_gives_plans_that_are_finite_and_not_sure(scene, mode):
    _, seen, models = scene
    plan = GenerativePolicy.of(
        models, mode=mode, wanted=("video", "action") if mode == "joint" else ("action",)
    ).plan(seen)
    pose = plan.trajectory.world_from_tool.check()
    assert pose.translation.isfinite().all()
    assert plan.confidence.isfinite().all()
    assert ((plan.confidence >= 0) & (plan.confidence <= 1)).all()
    assert plan.confidence.mean() < 0.5
    assert plan.trajectory.check().num_frames >= 32
    assert (plan.video is not None) == (mode == "joint")
    assert list(plan.stage_ms) == ["encode", "denoise", "decode", "read"]
    assert all(ms > 0 for ms in plan.stage_ms.values())
    assert plan.imagined_frame.max() <= CLIPS.num_frames - 1
    assert plan.action_images.shape == (2, 9, 3, 64, 64)


def test_what_cannot_be_read_holds_the_tool_with_no_confidence(scene):
    """A denoiser whose canvas is blank: nothing is known but where the tool is."""
    environment, seen, models = scene
    policy, _ = oracle_policy(environment, models)
    denoiser = policy.generator.pipeline.models.denoiser
    blank = models.autoencoder.encode(-torch.ones(1, 1, 9, 3, 64, 64))[0]

    class Blank(Oracle):
        def forward(self, canvas, noise_level, condition, branch="conditional"):  # noqa: ARG002
            clean = torch.zeros_like(canvas.latents)
            for segment, span in canvas.layout.spans.items():
                clean[:, :, span] = blank[0][:, : segment.num_frames]
            return (canvas.latents - clean) / noise_level.view(-1, 1, 1, 1, 1)

    shut = Blank(models, environment, denoiser.recorded)  # pyright: ignore
    plan = GenerativePolicy.of(replace(models, denoiser=shut)).plan(seen)
    assert (plan.confidence == 0).all()
    metres, _ = plan.trajectory.world_from_tool.distance(
        seen.world_from_tool.expand(plan.trajectory.num_frames)
    )
    assert metres.max() < 1e-6


def test_confidence_falls_with_precision_and_with_disagreement_of_the_views(scene):
    environment, _, models = scene
    policy, _ = oracle_policy(environment, models)
    seen = environment.reset(SEED)
    prediction = _prediction(policy, seen)
    reading = prediction.reading
    sigma = policy.generator.pipeline.format.sigma_px(CLIPS.size)
    plain = confidence(prediction, sigma)
    for worse in (
        replace(reading, position_std=reading.position_std + 5e-3),
        replace(reading, rotation_std=reading.rotation_std + 0.1),
        replace(reading, residual_px=reading.residual_px + 0.3 * sigma),
    ):
        assert (confidence(replace(prediction, reading=worse), sigma) < plain).all()
    lost = replace(reading, position_std=torch.full_like(reading.position_std, torch.inf))
    assert (confidence(replace(prediction, reading=lost), sigma) == 0).all()
    # Judged are poses that were read: one that was laid between its neighbours is none.
    half = replace(reading, position_std=torch.where(torch.arange(9) == 4, torch.inf, reading.position_std))
    path = known_path(replace(prediction, reading=half)).world_from_tool
    assert path.translation.isnan().any(-1).nonzero().flatten().tolist() == [4]
    metres, radians = path.distance(reading.trajectory.world_from_tool)
    assert (metres.isnan() == radians.isnan()).all()
    assert metres.nan_to_num(0.0).max() == 0


def _prediction(policy: GenerativePolicy, seen: Observation):
    canvas = _sampled(policy, seen)
    from action_images.geometry.fitting import fit_camera

    return policy.generator.pipeline.decode(
        canvas, None, fit_camera(seen.cameras, CLIPS.size)[None], ["action"]
    )[0]


def test_the_surest_of_several_plans_is_taken(scene):
    _, seen, models = scene
    policy = GenerativePolicy.of(models)
    proposed = policy.propose(seen, 3)
    assert torch.equal(
        proposed[0].trajectory.world_from_tool.translation,
        policy.plan(seen).trajectory.world_from_tool.translation,
    )

    class Fixed:
        def propose(self, observation: Observation, num_plans: int) -> list[Plan]:  # noqa: ARG002
            return [
                replace(plan, confidence=torch.full_like(plan.confidence, sure))
                for plan, sure in zip(proposed, (0.2, 0.9, 0.5), strict=True)
            ]

    best = BestOf(Fixed(), 3).plan(seen)
    assert torch.equal(
        best.trajectory.world_from_tool.translation, proposed[1].trajectory.world_from_tool.translation
    )
    with pytest.raises(ValueError, match="state their confidence"):
        BestOf(Fixed(), 3)._score(replace(best, confidence=None))


def test_a_policy_says_what_it_cannot_do(scene):
    _, seen, models = scene
    policy = GenerativePolicy.of(models)
    with pytest.raises(ValueError, match="at least two views"):
        policy.plan(replace(seen, images=seen.images[:1], cameras=seen.cameras[:1]))
    with pytest.raises(ValueError, match="one instant"):
        policy.plan(seen[None])
    with pytest.raises(ValueError, match="what clips they were trained on"):
        GenerativePolicy.of(replace(models, clips=None))
    with pytest.raises(ValueError, match="'policy' or 'joint'"):
        replace(policy, mode="label")
    with pytest.raises(ValueError, match="must have 'action'"):
        replace(policy, wanted=("video",))


def test_cameras_that_stand_still_are_encoded_once(scene, monkeypatch):
    _, seen, models = scene
    made = []
    from action_images.pipeline import rigs

    original = rigs.camera_maps
    monkeypatch.setattr(rigs, "camera_maps", lambda *arguments: made.append(1) or original(*arguments))
    policy = GenerativePolicy.of(models)
    for _ in range(3):
        policy.plan(seen)
    assert len(made) == 1
