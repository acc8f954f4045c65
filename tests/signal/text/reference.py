"""The statistics of one text in plain Python, as the papers and `str` define them."""

import re
from collections import Counter

from evenkeel.tasks.signal.text.characters import TERMINAL, WORDLIKE, character_classes
from evenkeel.tasks.signal.text.statistics import DUPLICATE_NGRAMS, ENGLISH_STOP_WORDS, TOP_NGRAMS

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
SENTENCE_END = re.compile(r"[.?!…][.?!…\"'”’)\]]*(?=\s|$)")


def reference(text: str, short: int = 30) -> dict[str, float]:
    """Return every statistic of a text; the definition, slow and short."""
    return {**_counted(text, short), **_repeated(text), **_cleaned(text)}


def sentence_ends(line: str) -> list[int]:
    """Return where the sentences of a line end; a rest that is not blank is a sentence too."""
    ends = [match.end() for match in SENTENCE_END.finditer(line)]
    return [*ends, len(line)] if line[ends[-1] if ends else 0 :].strip() else ends


def _counted(text: str, short: int) -> dict[str, float]:
    words, lines = text.split(), text.splitlines()
    full = [line for line in text.split("\n") if line.strip()]
    wordlike = [word for word in words if any(_is(c, WORDLIKE) for c in word)]
    per_word, per_line, per_full = max(len(words), 1), max(len(lines), 1), max(len(full), 1)
    return {
        "characters": len(text),
        "words": len(words),
        "wordlike_words": len(wordlike),
        "mean_word_length": sum(map(len, wordlike)) / max(len(wordlike), 1),
        "hash_ratio": text.count("#") / per_word,
        "ellipsis_ratio": (text.count("...") + text.count("…")) / per_word,
        "alphabetic_share": sum(any(c.isalpha() for c in word) for word in words) / per_word,
        "stop_words": len(set(words) & set(ENGLISH_STOP_WORDS)),
        "lines": len(lines),
        "bullet_line_share": sum(line.lstrip().startswith(("-", "•")) for line in lines) / per_line,
        "ellipsis_line_share": sum(line.rstrip().endswith(("...", "…")) for line in lines) / per_line,
        "full_lines": len(full),
        "terminal_line_share": sum(_is(line[-1], TERMINAL) for line in full) / per_full,
        "short_line_share": sum(len(line) <= short for line in full) / per_full,
        "line_feed_ratio": text.count("\n") / per_word,
    }


def _repeated(text: str) -> dict[str, float]:
    lines, paragraphs = re.split("\n+", text), re.split("\n{2,}", text.strip())
    full = [line for line in text.split("\n") if line.strip()]
    per_character = max(len(text), 1)
    found = {
        "duplicate_line_share": len(_repeats(lines)) / len(lines) if text else 0,
        "duplicate_line_character_share": sum(map(len, _repeats(lines))) / per_character,
        "duplicate_paragraph_share": len(_repeats(paragraphs)) / len(paragraphs),
        "duplicate_paragraph_character_share": sum(map(len, _repeats(paragraphs))) / per_character,
        "duplicate_full_line_character_share": sum(map(len, _repeats(full))) / max(len(text.replace("\n", "")), 1),
    }
    words = text.split()
    for n in TOP_NGRAMS:
        counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        best = max(counts, key=counts.__getitem__, default=())  # the first of those that come most often
        found[f"top_{n}_gram_share"] = len(" ".join(best)) * counts[best] / per_character
    for n in DUPLICATE_NGRAMS:
        seen, repeated, place = set(), 0, 0
        while place + n <= len(words):
            gram = tuple(words[place : place + n])
            if gram in seen:
                repeated += sum(map(len, gram))
            place += n if gram in seen else 1
            seen.add(gram)
        found[f"duplicate_{n}_gram_share"] = repeated / per_character
    return found


def _cleaned(text: str) -> dict[str, float]:
    lines = sentences = 0
    lorem = curly = False
    for whole in text.splitlines():
        words = whole.split()
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", whole.strip())
        if any(len(word) > 1000 for word in words) or len(words) < 3:
            continue
        if not line.endswith((".", "?", "!", '"', "'")) or line.endswith("..."):
            continue
        if "lorem ipsum" in line.lower():
            lorem = True
        elif "javascript" in line.lower():
            continue
        elif "{" in line:
            curly = True
        elif not any(policy in line.lower() for policy in POLICIES):
            lines += 1
            sentences += len(sentence_ends(line))
    return {"c4_lines": lines, "c4_sentences": sentences, "lorem_ipsum": int(lorem), "curly_bracket": int(curly)}


def _repeats(parts: list[str]) -> list[str]:
    seen: set[str] = set()
    return [part for part in parts if part in seen or seen.add(part)]  # type: ignore[func-returns-value]


def _is(character: str, bit: int) -> bool:
    return bool(character_classes()[ord(character)] & bit)
