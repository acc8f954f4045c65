"""The statistics of a text by name, and what they ask of it. Light to import: recipes name these."""

from dataclasses import dataclass

TOP_NGRAMS = (2, 3, 4)
DUPLICATE_NGRAMS = (5, 6, 7, 8, 9, 10)
MOST_STOP_WORDS = 64  # one bit each
ENGLISH_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

COUNTED = {
    "characters": "characters (code points)",
    "words": "words: what stands between white space",
    "wordlike_words": "words that are not made of punctuation alone",
    "mean_word_length": "characters for each word that is not made of punctuation alone",
    "hash_ratio": "signs # for each word",
    "ellipsis_ratio": "ellipses, ... or …, for each word",
    "alphabetic_share": "share of the words that have a letter",
    "stop_words": "different stop words in the text",
    "lines": "lines, with empty ones",
    "bullet_line_share": "share of the lines that begin with - or •",
    "ellipsis_line_share": "share of the lines that end in an ellipsis",
    "full_lines": "lines with a word in them",
    "terminal_line_share": "share of the full lines whose last character ends a sentence",
    "short_line_share": "share of the full lines that are short",
    "line_feed_ratio": "line feeds for each word",
}
REPEATED = {
    "duplicate_line_share": "share of the lines that came before in the text",
    "duplicate_line_character_share": "share of the characters that stand in such lines",
    "duplicate_paragraph_share": "share of the paragraphs that came before in the text",
    "duplicate_paragraph_character_share": "share of the characters that stand in such paragraphs",
    "duplicate_full_line_character_share": "share of the characters, line feeds aside, in full lines that came before",
}
NGRAMS = {
    **{f"top_{n}_gram_share": f"share of the characters in the most frequent {n}-gram of words" for n in TOP_NGRAMS},
    **{
        f"duplicate_{n}_gram_share": f"share of the characters in repeated {n}-grams of words" for n in DUPLICATE_NGRAMS
    },
}
CLEANED = {
    "c4_lines": "lines that C4 keeps",
    "c4_sentences": "sentences in the lines that C4 keeps",
    "lorem_ipsum": "1 if a line that C4 reads has the words lorem ipsum",
    "curly_bracket": "1 if a line that C4 reads has a curly bracket",
}
STATISTICS = {**COUNTED, **REPEATED, **NGRAMS, **CLEANED}


@dataclass(frozen=True)
class Measures:
    """What the statistics ask of a text, beside the text itself.

    stop_words: at most 64. short_line: a full line of at most as many characters is short. min_words_per_line,
    max_word_length: a line with fewer words, or with a word of more characters, is none that C4 keeps.
    """

    stop_words: tuple[str, ...] = ENGLISH_STOP_WORDS
    short_line: int = 30
    min_words_per_line: int = 3
    max_word_length: int = 1000
