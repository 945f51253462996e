"""Words are what task_index and meta/tasks.parquet bind, frame by frame."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import v3

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.importing import Job, import_episodes
from action_images.episodes.readers import Wanted, open_foreign
from action_images.episodes.words import is_code

TEXTS = ("open the drawer", "put the cup into it")


def halves(_, frame):
    return int(frame >= 6)


def without_tasks(parts):
    for row in parts.episodes:
        del row["tasks"]


def as_text(parts):
    for row in parts.episodes:
        row["tasks"] = v3.WORDS


def stale(parts):
    for row in parts.episodes:
        row["tasks"] = ["task_0"]


@pytest.mark.parametrize("edit", [without_tasks, as_text, stale])
def test_the_words_are_those_of_the_table_whatever_the_copy_says(tmp_path, edit):
    root = v3.write(tmp_path, [9, 9], edit=edit)
    _, reader = open_foreign(root)
    assert [reader.read(name).instruction for name in reader.ids] == [v3.WORDS] * 2
    assert [Dataset(root).instruction(index) for index in range(2)] == [v3.WORDS] * 2
    assert Dataset(root)[1].instruction == v3.WORDS
    assert any("in 2 episodes; the latter is taken" in told for told in reader.remarks) == (edit is stale)


def test_an_episode_whose_task_changes_is_cut_there(tmp_path):
    root = v3.write(tmp_path, [10, 8], tasks=halves, texts=TEXTS)
    _, reader = open_foreign(root)
    assert reader.ids == [f"episode_{number:06d}/task{part}" for number in range(2) for part in range(2)]
    episodes = [reader.read(name).check() for name in reader.ids]
    assert [episode.instruction for episode in episodes] == [*TEXTS, *TEXTS]
    shown = [v3.numbers(one.views[0].frames.read(range(one.num_frames))) for one in episodes]
    assert shown == [[*range(6)], [*range(6, 10)], [*range(10, 16)], [16, 17]]


def test_an_episode_whose_task_changes_is_refused_by_choice_and_never_opened_as_one(tmp_path):
    root = v3.write(tmp_path, [10, 5], tasks=halves, texts=TEXTS)
    _, reader = open_foreign(root, "auto", Wanted(several_tasks="refuse"))
    with pytest.raises(EpisodeError, match=r"its task changes at frame 6 .*--several-tasks cut"):
        reader.read("episode_000000")
    assert reader.read("episode_000001").instruction == TEXTS[0]
    with pytest.raises(EpisodeError, match="'action-images import' cuts it there"):
        _ = Dataset(root)[0]


def test_a_frame_whose_task_has_no_text_refuses_its_episode_alone(tmp_path):
    root = v3.write(tmp_path, [5, 5], tasks=lambda episode, _: 7 * episode)
    _, reader = open_foreign(root)
    assert reader.read("episode_000000").instruction == v3.WORDS
    with pytest.raises(
        EpisodeError, match=r"frame 0 has the task_index 7, which meta/tasks.parquet does not have"
    ):
        reader.read("episode_000001")


def test_pandas_index_without_a_name_is_read_too(tmp_path):
    root = v3.write(tmp_path, [5])
    pq.write_table(pa.table({"task_index": [0], "__index_level_0__": ["stack"]}), root / "meta/tasks.parquet")
    assert Dataset(root)[0].instruction == "stack"


def test_without_the_table_one_text_of_the_copy_holds_and_several_are_refused(tmp_path):
    root = v3.write(tmp_path / "one", [5])
    (root / "meta/tasks.parquet").unlink()
    assert Dataset(root)[0].instruction == v3.WORDS

    def several(parts):
        parts.episodes[0]["tasks"] = list(TEXTS)

    other = v3.write(tmp_path / "several", [5], edit=several)
    (other / "meta/tasks.parquet").unlink()
    with pytest.raises(EpisodeError, match="names 2 tasks"):
        _ = Dataset(other)[0]


def test_import_says_how_many_episodes_have_no_words_path_or_cameras(tmp_path):
    root = v3.write(tmp_path / "source", [6, 6], tasks=lambda episode, _: episode, texts=(v3.WORDS, " "))
    outcome = import_episodes(Job(root), tmp_path / "out", 0)
    said = " | ".join(outcome.sentences())
    assert "calibration.json is not there" in said
    assert "of 2 imported episodes, 1 have no instruction, 2 have no tool path, 2 have no calibration" in said
    assert [Dataset(tmp_path / "out").instruction(index) for index in range(2)] == [v3.WORDS, None]


def test_an_index_that_is_bound_to_two_texts_is_refused(tmp_path):
    root = v3.write(tmp_path, [5])
    pq.write_table(pa.table({"task_index": [0, 0], "task": list(TEXTS)}), root / "meta/tasks.parquet")
    with pytest.raises(
        EpisodeError, match="binds task_index 0 to 'open the drawer' and 'put the cup into it'"
    ):
        Dataset(root).words(0)


def test_to_do_anything_at_all_is_no_instruction_and_said(tmp_path):
    _, reader = open_foreign(v3.write(tmp_path, [5], texts=["Do any two tasks consecutively"]))
    assert reader.read(reader.ids[0]).instruction is None
    assert any("1 episodes are told to do anything at all" in told for told in reader.remarks)


@pytest.mark.parametrize("text", ["None", "n/a", "Task description not available."])
def test_a_placeholder_is_no_instruction_and_said(tmp_path, text):
    _, reader = open_foreign(v3.write(tmp_path, [5], texts=[text]))
    assert reader.read(reader.ids[0]).instruction is None
    assert any("or hold a placeholder" in told for told in reader.remarks)


@pytest.mark.parametrize("text", ['["pick it", "lift it"]', "b'pick it'"])
def test_words_that_a_program_wrote_are_taken_as_they_stand_and_said(tmp_path, text):
    outcome = import_episodes(Job(v3.write(tmp_path / "source", [5], texts=[text])), tmp_path / "out", 0)
    assert Dataset(tmp_path / "out")[0].instruction == text
    assert any(said.startswith("its instruction is no plain text") for said in outcome.sentences())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("task_3", True),
        ("12", True),
        ("data/pick_up", True),
        ("pousse jusqu'Ã\xa0 la balle", True),
        ("pick &quot;it&quot; up", True),
        ("N/A", False),  # a placeholder, which is no instruction at all
        ("stack", False),
        ("pick up the 2nd cup", False),
        ("pousse jusqu'à la balle", False),
        ("抓取红球", False),
        ("pick-and-place", False),
        (None, False),
    ],
)
def test_names_numbers_and_letters_of_another_code_are_no_plain_text(text, told):
    assert is_code(text) is told


def test_files_beside_the_episodes_that_are_not_read_are_named(tmp_path):
    root = v3.write(tmp_path, [5])
    assert not any("and not read" in told for told in open_foreign(root)[1].remarks)
    (root / "meta/tasks.jsonl").write_text("{}")
    (root / "calibration.yaml").write_text("a: 1")
    told = open_foreign(root)[1].remarks
    assert "found beside the episodes and not read: calibration.yaml, meta/tasks.jsonl" in told


def test_texts_in_other_features_are_named(tmp_path):
    def edit(parts):
        parts.info["features"]["language_instruction"] = {"dtype": "string", "shape": [1], "names": None}

    _, reader = open_foreign(v3.write(tmp_path, [5], edit=edit))
    assert any(
        "feature 'language_instruction' holds texts and is not read" in told for told in reader.remarks
    )


def test_a_set_with_fewer_episodes_than_it_claims_says_so(tmp_path):
    root = v3.write(
        tmp_path, [12, 12], edit=lambda parts: parts.info.update(total_episodes=7, total_frames=90)
    )
    _, reader = open_foreign(root)
    told = "meta/info.json tells of 7 episodes, meta/episodes has 2"
    assert f"{told}; files may be missing: complete the download, or correct info.json" in reader.remarks
    (root / "meta/info.json").write_text((root / "meta/info.json").read_text().replace("7,", "2,"))
    assert "tells of 90 frames, meta/episodes has 24" in " ".join(open_foreign(root)[1].remarks)
    (root / "meta/info.json").write_text((root / "meta/info.json").read_text().replace("90", "24"))
    assert "tells of" not in " ".join(open_foreign(root)[1].remarks)


def with_tasks(root, values):
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("task_index")
    pq.write_table(table.set_column(place, "task_index", pa.array(values)), path)


def test_a_task_index_of_nan_is_no_task(tmp_path):
    root = v3.write(tmp_path, [6])
    with_tasks(root, [0.0] * 3 + [float("nan")] * 3)
    parts = Dataset(root).words(0)
    assert [(part.start, part.stop, part.text) for part in parts] == [(0, 3, v3.WORDS), (3, 6, None)]


def test_a_task_index_in_a_list_of_one_is_that_index(tmp_path):
    root = v3.write(tmp_path, [6])
    with_tasks(root, [[0]] * 6)
    assert [part.text for part in Dataset(root).words(0)] == [v3.WORDS]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0, 0]] * 6, r"file-000.parquet: the column 'task_index' holds list.*no whole numbers"),
        (["0"] * 6, "the column 'task_index' holds string"),
        ([0.0, 0.5] * 3, "'task_index' is 0.5 in row 1, no index"),
        ([float("inf")] * 6, "'task_index' is inf in row 0, no index"),
    ],
)
def test_a_task_index_that_is_no_number_refuses_its_episodes_with_the_file(tmp_path, values, message):
    root = v3.write(tmp_path, [6])
    with_tasks(root, values)
    _, reader = open_foreign(root)
    with pytest.raises(EpisodeError, match=message):
        reader.read("episode_000000")
