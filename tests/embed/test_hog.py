"""Histograms of oriented gradients: equal to a plain loop, blind to light, and telling shapes apart."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from evenkeel.infra.errors import InputError, QuarantineLimitError
from evenkeel.tasks.embed.embedders.hog import HogEmbedding, oriented_gradients
from evenkeel.tasks.embed.inputs import EmbedInputs
from evenkeel.tasks.embed.step import EMBED, output_dimension
from evenkeel.tasks.embed.vectors import Vectors
from tests.embed.pools import make_pool, new_run


def by_loop(pixels: np.ndarray, cells: int, directions: int) -> np.ndarray:
    """The definition, pixel by pixel."""
    side = 16 * cells
    histograms = np.zeros((cells, cells, directions))
    for y in range(side):
        for x in range(side):
            up, below = max(y - 1, 0), min(y + 1, side - 1)
            left, right = max(x - 1, 0), min(x + 1, side - 1)
            vertical, across = pixels[below, x] - pixels[up, x], pixels[y, right] - pixels[y, left]
            best = int(np.argmax(vertical**2 + across**2))
            strength = np.hypot(vertical[best], across[best])
            angle = np.degrees(np.arctan2(vertical[best], across[best])) % 180
            turn = angle / (180 / directions) - 0.5
            low = int(np.floor(turn))
            histograms[y // 16, x // 16, low % directions] += strength * (low + 1 - turn)
            histograms[y // 16, x // 16, (low + 1) % directions] += strength * (turn - low)
    blocks = []
    for y in range(cells - 1):
        for x in range(cells - 1):
            block = histograms[y : y + 2, x : x + 2].ravel()
            block = np.minimum(block / max(float(np.linalg.norm(block)), 1e-6), 0.2)
            blocks.append(block / max(float(np.linalg.norm(block)), 1e-6))
    return np.concatenate(blocks)


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png")
    return stream.getvalue()


def shape(kind: str, place: int, light: float = 1.0) -> Image.Image:
    image = Image.new("L", (48, 48), round(255 * (1 - light)))
    pen, box = ImageDraw.Draw(image), (10 + place, 10, 36 + place, 36)
    pen.ellipse(box, fill=255) if kind == "disc" else pen.rectangle(box, fill=255)
    return image


@pytest.mark.parametrize("directions", [9, 4])
def test_they_are_those_of_a_plain_loop(directions: int) -> None:
    pixels = np.random.default_rng(0).uniform(size=(48, 48, 3))
    found = oriented_gradients(pixels, directions)
    np.testing.assert_allclose(found, by_loop(pixels, 3, directions), atol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(oriented_gradients(0.2 + pixels / 3, directions), found, atol=1e-6)
    assert not oriented_gradients(np.full((32, 32, 3), 0.4), directions).any()


def test_shapes_are_told_apart_and_bad_files_are_named(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    images = [png(shape(kind, place, light)) for kind in ("disc", "box") for place in (0, 1, 2) for light in (1, 0.5)]
    pool = make_pool(run, tmp_path / "pool", {"image": [*images, b"nothing", images[0], None]}, rows_per_block=5)
    config = HogEmbedding(max_unreadable=0.2, center=False)
    ref = EMBED(config, EmbedInputs(ingest=pool), run)
    assert ref.facts["unreadable"] == {"not an image": 1, "missing": 1}
    vectors = Vectors.open(ref)
    rows = np.concatenate([np.asarray(vectors.block(block), np.float32) for block in vectors.blocks])
    assert rows.shape == (15, 324) == (15, output_dimension(config, None, run))
    assert (rows[13] == rows[0]).all()
    assert not rows[[12, 14]].any()
    assert HogEmbedding().center, "all images have much in common, in which rare shapes would be lost"
    alike = rows[:12] @ rows[:12].T
    assert min(alike[:6, :6].min(), alike[6:, 6:].min()) > alike[:6, 6:].max()
    with pytest.raises(QuarantineLimitError, match="2 of 15 images cannot be read"):
        EMBED(config.model_copy(update={"max_unreadable": 0.1}), EmbedInputs(ingest=pool), run)
    with pytest.raises(InputError, match="there is no column 'photo' with images"):
        EMBED(HogEmbedding(column="photo"), EmbedInputs(ingest=pool), run)
