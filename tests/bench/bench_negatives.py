"""What a guard is worth on docstrings: one of the same module is the positive, its others are false negatives.

`python -m tests.bench.bench_negatives [--rows 3000]` prints the share of false negatives with and without the guard, at
the same mean similarity. Vectors are of n-grams of letters of the first line, the guide's of the words of all lines.
"""

import argparse
import ast
import sysconfig
import tempfile
from pathlib import Path

import numpy as np

from evenkeel.tasks.annotate.kinds.pairs import Pairs
from tests.annotate.annotated import annotated
from tests.annotate.guided import GUARD, false_shares, guided_pool


def questions(rows: int) -> tuple[list[str], list[str], np.ndarray]:
    """Return first lines, rests and modules of docstrings of modules that have five or more."""
    paths = sorted(Path(sysconfig.get_path("purelib")).rglob("*.py"))
    found: list[tuple[int, str]] = []
    for number in np.random.default_rng(0).permutation(len(paths)).tolist():
        try:
            tree = ast.parse(paths[number].read_text())
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        texts = [
            text
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)) and "\n\n" in text
        ]
        found += [(number, text) for text in texts[:20]] if len(texts) >= 5 else []
        if len(found) >= rows:
            break
    parts = [text.split("\n\n", 1) for _, text in found[:rows]]
    return [one for one, _ in parts], [rest for _, rest in parts], np.array([module for module, _ in found[:rows]])


def embedded(fitted: list[str], texts: list[list[str]], **options: object) -> list[np.ndarray]:
    """Return unit vectors of 64 dimensions of each list of texts, fitted on one."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    weigher = TfidfVectorizer(max_features=30_000, sublinear_tf=True, **options)
    svd = TruncatedSVD(64, random_state=0).fit(weigher.fit_transform(fitted))
    made = [svd.transform(weigher.transform(one)).astype(np.float32) for one in texts]
    return [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) + np.float32(1e-6) for x in made]


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--margins", type=float, nargs="+", default=[0.05, 0.15, 0.25, 0.3])
    asked = parser.parse_args()
    lines, rests, module = questions(asked.rows)
    (vectors,) = embedded(lines, [lines], analyzer="char_wb", ngram_range=(3, 4))
    whole = [f"{line} {rest}" for line, rest in zip(lines, rests, strict=True)]
    (guide,) = embedded(whole, [whole])
    draw, mates = np.random.default_rng(0), [np.flatnonzero(module == one) for one in module]
    positive = np.array([draw.choice(them[them != row]) if len(them) > 1 else row for row, them in enumerate(mates)])
    print(f"{len(lines):,} docstrings of {len(set(module)):,} modules")
    print("| margin | false negatives without, at that similarity | with the guard | ratio | mean similarity | rows |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for margin in asked.margins:
        with tempfile.TemporaryDirectory() as folder:
            done = guided_pool(Path(folder), vectors, guide, guide[positive], 1000)
            one = Pairs.model_validate({"guard": {**GUARD, "negative": "guide", "margin": margin}})
            found = annotated(done, Path(folder), one)[0]["ek_negatives"].to_pylist()
        full = np.array([row for row, them in enumerate(found) if len(them) == 8])
        negatives = np.array([found[row] for row in full])
        plain, guarded, similar = false_shares(vectors, module, negatives, full)
        ratio = f"{plain:.4f} | {guarded:.4f} | {plain / max(guarded, 1e-9):.1f}"
        print(f"| {margin} | {ratio} | {similar:.3f} | {len(full):,} |", flush=True)


if __name__ == "__main__":
    main()
