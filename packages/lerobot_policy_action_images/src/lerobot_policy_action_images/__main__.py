"""Models of action-images as a LeRobot policy in a folder: python -m lerobot_policy_action_images MODELS
FOLDER.

MODELS is shipped, a folder of models, or a server's address (ws://HOST:PORT). The folder can then be used as
LeRobot's `--policy.path=FOLDER`, as lerobot-rollout and the Hub need it. Further arguments are fields of the
policy: --views='[top, side]'.
"""

import sys
from pathlib import Path

import draccus
from lerobot.configs import FeatureType, PolicyFeature

from action_images.episodes.lerobot_layout import ACTION, IMAGES, STATE
from action_images.errors import ActionImagesError
from lerobot_policy_action_images.configuration_action_images import ActionImagesConfig
from lerobot_policy_action_images.learning import usual_clips
from lerobot_policy_action_images.modeling_action_images import ActionImagesPolicy
from lerobot_policy_action_images.processor_action_images import make_action_images_pre_post_processors

SERVED_SIZE = (128, 128)


def export(config: ActionImagesConfig, folder: Path) -> None:
    """Write a policy with its processors; raises ActionImagesError if models cannot be read."""
    config.push_to_hub = False
    height, width = SERVED_SIZE if config.is_served else usual_clips(config)[0]
    views = config.views or ["view0", "view1"]
    picture = PolicyFeature(FeatureType.VISUAL, (3, height, width))
    config.input_features = {f"{IMAGES}{view}": picture for view in views}
    config.input_features[STATE] = PolicyFeature(FeatureType.STATE, (8,))
    config.output_features = {ACTION: PolicyFeature(FeatureType.ACTION, (8,))}
    before, after = make_action_images_pre_post_processors(config)
    folder.mkdir(parents=True, exist_ok=True)
    ActionImagesPolicy(config).save_pretrained(folder)
    before.save_pretrained(folder)
    after.save_pretrained(folder)


def main(words: list[str]) -> int:
    """The command; returns its exit code."""
    if len(words) < 2 or words[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    models, folder, *fields = words
    try:
        config = draccus.parse(ActionImagesConfig, args=[f"--models={models}", *fields])
        export(config, Path(folder))
    except ActionImagesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: a LeRobot policy of {models}; --policy.path={folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
