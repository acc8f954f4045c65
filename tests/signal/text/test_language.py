"""The language of texts: the library's own answers, made faster."""

import numpy as np
import pyarrow as pa
import pytest

from evenkeel.infra.errors import RecipeError
from evenkeel.tasks.signal.kinds.language import Language
from evenkeel.tasks.signal.kinds.language_confidence import LanguageConfidence
from evenkeel.tasks.signal.signal import Fit
from evenkeel.tasks.signal.text.language import languages_of

# Article 1 of the Universal Declaration of Human Rights, its first sentence.
TEXTS = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren.",
    "sv": "Alla människor är födda fria och lika i värde och rättigheter.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "cs": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "hu": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "uk": "Всі люди народжуються вільними і рівними у своїй гідності та правах.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "zh": "人人生而自由,在尊严和权利上一律平等。",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "vi": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
}


class Texts:
    """A block of texts in place of a pool."""

    def __init__(self, texts: list[str | None]) -> None:
        self.array = pa.array(texts, pa.string())

    def text(self, block: str) -> pa.Array:
        return self.array


@pytest.mark.long
def test_languages_are_found_and_what_has_none_is_null() -> None:
    texts = Texts([*TEXTS.values(), "", None])
    found = Language(name="language").compute(texts, "block", Fit("", ""))  # type: ignore[arg-type]
    assert found.to_pylist() == [*TEXTS, None, None]
    sure = LanguageConfidence(name="sure").compute(texts, "block", Fit("", ""))  # type: ignore[arg-type]
    assert np.isnan(sure).tolist() == [False] * len(TEXTS) + [True, True]
    assert (sure[: len(TEXTS)] > 0.2).all()


@pytest.mark.slow
def test_answers_are_those_of_the_library() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    library = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    sentences = list(TEXTS.values())
    texts = [
        *sentences,
        *(text[:9] for text in sentences),
        *(f"{one} {other}" for one, other in zip(sentences, sentences[3:], strict=False)),
        *(text.upper() for text in sentences),
        *("def f(x): return x", "e\u0301te\u0301", "12345 67", "🙂 🙂", "SHOUT", "a" * 5000),
    ]
    codes, found, confidence = languages_of(pa.chunked_array([texts[:50], texts[50:]]), 10_000)
    wanted = [library.classify(text) for text in texts]
    assert [codes[number] for number in found] == [code for code, _ in wanted]
    assert confidence == pytest.approx([sure for _, sure in wanted], rel=2e-3)


def test_an_unsure_language_is_none_and_only_the_beginning_is_read() -> None:
    texts = Texts([TEXTS["en"], "🙂 🙂", TEXTS["de"] + " " + TEXTS["ru"] * 20])
    sure = Language(name="x", min_confidence=0.2, max_characters=60)
    assert sure.compute(texts, "block", Fit("", "")).to_pylist() == ["en", None, "de"]  # type: ignore[arg-type]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    assert Language(name="x").current().release == metadata.version("py3langid")

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(RecipeError, match=r"evenkeel\[language\]"):
        Language(name="x").current()
