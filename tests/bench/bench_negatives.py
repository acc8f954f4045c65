"""What a guard is worth on docstrings: first lines ask, the rest answers, others of a module are false negatives.

`python -m tests.bench.bench_negatives [--rows 3000]` prints the share of false negatives with and without the guard, at
the same mean similarity. Vectors are of n-grams of letters of the first line; the guide's are of words.
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
    found = []
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        try:
            tree = ast.parse(path.read_text())
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        texts = [
            text
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)) and "\n\n" in text
        ]
        found += [(str(path), text) for text in texts[:20]] if len(texts) >= 5 else []
    order = np.random.default_rng(0).permutation(len({module for module, _ in found}))
    modules = {module: place for place, module in zip(order, dict.fromkeys(module for module, _ in found), strict=True)}
    found = sorted(found, key=lambda one: modules[one[0]])[:rows]
    parts = [text.split("\n\n", 1) for _, text in found]
    return [one for one, _ in parts], [rest for _, rest in parts], np.array([modules[module] for module, _ in found])


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
    parser.add_argument("--margins", type=float, nargs="+", default=[0.0, 0.05, 0.1, 0.2])
    asked = parser.parse_args()
    lines, rests, module = questions(asked.rows)
    (vectors,) = embedded(lines, [lines], analyzer="char_wb", ngram_range=(3, 5))
    whole = [f"{line} {rest}" for line, rest in zip(lines, rests, strict=True)]
    query, positive = embedded(whole, [whole, rests])
    print(f"{len(lines):,} docstrings of {len(set(module)):,} modules")
    print("| margin | false negatives without, at that similarity | with the guard | ratio | mean similarity |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for margin in asked.margins:
        with tempfile.TemporaryDirectory() as folder:
            done = guided_pool(Path(folder), vectors, query, positive, 1000)
            one = Pairs.model_validate({"guard": {**GUARD, "margin": margin}})
            found = annotated(done, Path(folder), one)[0]["ek_negatives"].to_pylist()
        full = np.array([len(row) == 8 for row in found])
        negatives = np.array([row for row in found if len(row) == 8])
        if not full.all():
            print(f"{(~full).sum()} rows have fewer than eight and are left out")
        plain, guarded, similar = false_shares_of(vectors, module, negatives, full)
        print(f"| {margin} | {plain:.4f} | {guarded:.4f} | {plain / max(guarded, 1e-9):.1f} | {similar:.3f} |")


def false_shares_of(
    vectors: np.ndarray, module: np.ndarray, negatives: np.ndarray, full: np.ndarray
) -> tuple[float, float, float]:
    """Return `false_shares` where all rows have their negatives."""
    return false_shares(vectors, module, negatives) if full.all() else (np.nan, np.nan, np.nan)


if __name__ == "__main__":
    main()
