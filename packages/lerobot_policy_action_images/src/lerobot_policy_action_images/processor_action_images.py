"""The processors between LeRobot and the policy: they add missing cameras and do not normalise."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lerobot.configs import PipelineFeatureType, PolicyFeature
from lerobot.processor import ObservationProcessorStep, PolicyProcessorPipeline, ProcessorStepRegistry
from lerobot.processor.factory import make_default_policy_processor_steps, make_policy_processor_pipelines
from torch import Tensor

from action_images.episodes.cameras_file import load_cameras
from action_images.episodes.lerobot_layout import IMAGES
from action_images.errors import ActionImagesError
from lerobot_policy_action_images.columns import camera_keys
from lerobot_policy_action_images.configuration_action_images import ActionImagesConfig


@dataclass
@ProcessorStepRegistry.register(name="action_images_cameras")
class AddCamerasStep(ObservationProcessorStep):
    """Adds the cameras of a cameras file to observations that have none.

    `cameras`: view -> {"intrinsics": 9 numbers, "world_from_camera": 16 numbers, "size": [height, width]}.
    """

    cameras: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @classmethod
    def of_file(cls, path: str) -> "AddCamerasStep":
        """The step for a cameras file with still cameras; raises ActionImagesError if one moves."""
        told = {}
        for view, camera in load_cameras(Path(path)).items():
            if camera.batch_shape:
                raise ActionImagesError(
                    f"{path}: camera '{view}' moves; a moving camera is a column of each observation: "
                    f"{camera_keys(view)[1]}"
                )
            told[view] = {
                "intrinsics": camera.intrinsics.flatten().tolist(),
                "world_from_camera": camera.world_from_camera.matrix().flatten().tolist(),
                "size": list(camera.size),
            }
        return cls(told)

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with camera columns added for each view that has none."""
        for view, camera in self.cameras.items():
            pixels, keys = observation.get(f"{IMAGES}{view}"), camera_keys(view)
            if not isinstance(pixels, Tensor) or any(key in observation for key in keys):
                continue
            if list(pixels.shape[-2:]) != list(camera["size"]):
                raise ActionImagesError(
                    f"the camera of '{view}' was calibrated for {camera['size'][0]:g} x "
                    f"{camera['size'][1]:g} px, "
                    f"its pictures are {pixels.shape[-2]} x {pixels.shape[-1]}; open the camera with the "
                    "size of "
                    "the calibration"
                )
            for key, name in zip(keys, ("intrinsics", "world_from_camera"), strict=True):
                numbers = torch.tensor(camera[name], dtype=torch.float32, device=pixels.device)
                observation[key] = numbers.expand(*pixels.shape[:-3], -1)
        return observation

    def get_config(self) -> dict[str, Any]:
        """The saved configuration: the cameras themselves, so that a saved policy needs no other file."""
        return {"cameras": json.loads(json.dumps(self.cameras))}

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        """Return the features unchanged."""
        return features


def make_action_images_pre_post_processors(
    config: ActionImagesConfig, dataset_stats: dict[str, dict[str, Tensor]] | None = None
) -> tuple[PolicyProcessorPipeline, PolicyProcessorPipeline]:
    """LeRobot's usual steps, which also add missing cameras and convert joints to poses and back."""
    usual = make_default_policy_processor_steps(config, dataset_stats)
    added = [] if config.cameras_file is None else [AddCamerasStep.of_file(config.cameras_file)]
    told = []
    if config.urdf is not None:
        from lerobot_policy_action_images.kinematics import JointsToToolStep, ToolToJointsStep

        arm = (config.urdf, config.tool_frame, list(config.joint_names), list(config.gripper_range))
        added.append(JointsToToolStep(*arm))
        told.append(ToolToJointsStep(*arm))
    return make_policy_processor_pipelines(
        input_steps=[
            usual.rename_observations,
            usual.add_batch_dim,
            *added,
            usual.to_device,
            usual.normalize,
        ],
        output_steps=[usual.unnormalize, usual.to_cpu, *told],
    )
