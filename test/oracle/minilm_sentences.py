"""Makes the 100 sentences of the MiniLM golden data: short ones by hand, longer ones composed to exact token counts.

make_minilm_golden.py stores the texts, so nothing but that script (and the benchmark's ragged batch) reads this one.
"""

import random

# By hand: one content token, odd characters, other scripts, numbers, code.
SHORT = [
    "hello",
    "a",
    "7",
    "?",
    "water",
    "Good morning!",
    "The cat sat on the mat.",
    "A dog sleeps under the old apple tree.",
    "Where is the nearest railway station?",
    "He did not say a word.",
    "She said that the price would rise by 3.5% in 2025.",
    "ÀÉÎÕÜ: crème brûlée, naïve façade, Škoda, Łódź",
    "Le café était fermé.",
    "Der Hund schläft unter dem Baum.",
    "今日は天気がいいですね。",
    "Привет, как дела?",
    "مرحبا بالعالم",
    "שלום עולם",
    "한국어 문장입니다",
    "🙂🚀 to the moon 🚀🙂",
    "for (int i = 0; i < n; ++i) sum += a[i];",
    "SELECT name, age FROM users WHERE age > 21 ORDER BY name;",
    "https://example.org/a/b?c=d&e=f#g",
    "don't can't won't it's they're o'clock",
    "C++ versus C#: which one is older?",
    "tabs\tand  several   spaces    here",
    "Pneumonoultramicroscopicsilicovolcanoconiosis",
    "x" * 120,
    "[CLS] and [SEP] inside a sentence",
    "full-width ＡＢＣ１２３ and ligature ﬁ",
]

CLAUSES = [
    "the harbour was quiet before dawn", "a thin rain fell on the empty market square", "she opened the letter slowly",
    "the engineers measured the bridge again", "nobody remembered the name of the ship",
    "the old clock in the hall struck eleven", "two trains left the station at the same time",
    "the committee postponed its decision until March", "children ran along the dusty road",
    "the river rose by forty centimetres in one night", "a violinist practised the same bar for an hour",
    "the report listed seventeen open questions", "he repaired the radio with a piece of wire",
    "the museum bought a small painting of a lighthouse", "prices of copper and tin fell sharply",
    "the vaccine was tested on three thousand volunteers", "bees returned to the orchard in early spring",
    "the court rejected the appeal without comment", "a satellite photographed the shrinking glacier",
    "the baker forgot to add salt to the dough", "students translated the poem from Portuguese",
    "the server answered every request within ten milliseconds", "wolves were seen near the northern border",
    "the goalkeeper injured his left shoulder", "an unknown species of orchid grows on the island",
    "the mayor promised cheaper tickets for everyone", "the telescope recorded a faint infrared signal",
    "her grandfather had built the boat himself", "the algorithm sorts the records by date and size",
    "a power cut stopped the trams for half an hour",
]
LINKS = [", and ", ", but ", "; ", ". Later, ", ", because ", ", while ", ". In the end ", " – although "]


def compose(rng, count_tokens, target):
    """A text of exactly target tokens, special tokens included, built from clauses and then cut or filled by words."""
    text = rng.choice(CLAUSES)
    while count_tokens(text) < target:
        text += rng.choice(LINKS) + rng.choice(CLAUSES)
    words = text.split(" ")
    while count_tokens(" ".join(words)) > target:
        words.pop()
    while count_tokens(" ".join(words)) < target:
        words.append(rng.choice(["now", "here", "again", "so", "still"]))
    text = " ".join(words)
    return text[0].upper() + text[1:]


def composed(count_tokens, targets, seed):
    """One sentence for each target length, always the same ones for the same seed."""
    rng = random.Random(seed)
    return [compose(rng, count_tokens, target) for target in targets]
