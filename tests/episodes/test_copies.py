"""Pictures or poses of another episode, without the rest, are told at import; whole copies are not."""

import shutil

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from test_recordings import write_cameras, write_episode

from action_images.episodes.copies import Copies
from action_images.episodes.importing import Job, import_episodes

PRINTS = st.fixed_dictionaries({"poses": st.sampled_from("ab"), "pictures of 'left'": st.sampled_from("cd")})


@given(prints=st.lists(PRINTS, max_size=6))
def test_a_part_is_told_of_where_an_earlier_episode_has_it_and_other_parts(prints):
    copies = Copies()
    for number, one in enumerate(prints):
        copies.take(f"e{number}", one)
    told = list(copies.sentences())
    for part in ("poses", "pictures of 'left'"):
        first = {one[part]: one for one in reversed(prints)}  # the first of each content
        count = sum(first[one[part]] != one for one in prints)
        wanted = f"{count} {'episode has' if count == 1 else 'episodes have'} exactly the {part}"
        assert any(sentence.startswith(wanted) for sentence in told) == (count > 0)


def test_a_copied_table_and_a_copied_video_are_told_with_the_pair(tmp_path):
    source = tmp_path / "source"
    for number, name in enumerate(("e1", "e2", "e3")):
        write_episode(source / name)
        table = np.loadtxt(source / name / "poses.csv", delimiter=",", skiprows=1)
        header = (source / name / "poses.csv").read_text().splitlines()[0]
        table[:, 2] += 0.01 * number
        np.savetxt(source / name / "poses.csv", table, delimiter=",", header=header, comments="")
    write_cameras(source / "cameras.json")
    shutil.copytree(source / "e1", source / "e4")  # a whole copy, which check reports
    said = import_episodes(Job(source, "recordings"), tmp_path / "out", 0).sentences()
    views = sorted(path.stem for path in (source / "e1").glob("*.mp4"))
    assert said == [
        f"2 episodes have exactly the pictures of '{view}' of an earlier one, but not the rest "
        "(e2 those of e1, and so on); was a file copied or read twice?"
        for view in views
    ]
