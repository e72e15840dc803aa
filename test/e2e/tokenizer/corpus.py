"""Deterministic test lines for tokenizers, as bytes: sentences in many languages, samples of every script, source code,
emoji, control characters, spaces, random code points and random bytes."""
import pathlib
import random

SENTENCES = """The quick brown fox jumps over the lazy dog; it's 3.14159 times faster than you'd think!
I'll say we've they're she'd HE'LL DON'T can't 's 'S 'ſ o'clock rock'n'roll.
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Straße, STRASSE, ẞ.
Portez ce vieux whisky au juge blond qui fume. L'été à Noël, où ça? Œuvre, naïveté.
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío; ¡añoraba a su querido cachorro!
À noite, vovô Kowalsky vê o ímã cair no pé do pinguim queixoso.
Quel vituperabile xenofobo zelante assaggia il whisky ed esclama: alleluja!
Pchnąć w tę łódź jeża lub ośm skrzyń fig. Zażółć gęślą jaźń.
Příliš žluťoučký kůň úpěl ďábelské ódy. Árvíztűrő tükörfúrógép.
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul, ISPARTA, ığdır.
Съешь же ещё этих мягких французских булок, да выпей чаю. Київ, Србија.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. ΟΔΟΣ, ὁδός, ᾳ ᾼ.
دع عنك لومي فإن اللوم إغراء، وداوني بالتي كانت هي الداء. بِسْمِ ٱللَّٰهِ
דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। क्ष ज्ञ
আমার সোনার বাংলা, আমি তোমায় ভালোবাসি। ১২৩
தமிழ் மொழி மிகவும் பழமையானது. తెలుగు భాష. ಕನ್ನಡ ನುಡಿ. മലയാളം
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓
我能吞下玻璃而不伤身体。今天天气很好，我们去公园散步吧！２０２４年
私はガラスを食べられます。それは私を傷つけません。ﾊﾝｶｸ ｶﾞｷﾞ カ゛ ㌔ ㍿ ㋿
키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. 한글 각
Nước Việt Nam có nhiều phong cảnh đẹp. Tiếng Việt, Ế ệ ữ.
ბულბულის გალობა. Բարեւ աշխարհ։ ሰላም ለዓለም። ᎣᏏᏲ ᎡᎶᎯ ꮳꮃꭹ
မြန်မာဘာသာ ភាសាខ្មែរ ພາສາລາວ བོད་སྐད། ᠮᠣᠩᠭᠣᠯ ދިވެހި
def f(x, *, y=0x1F): return [i ** 2 for i in range(10) if i % 2 == 0]  # comment
#include <vector>\tint main() { std::cout << "hi\\n"; return a->b ? c::d : ~e & 0xFFu; }
SELECT "a"."b", COUNT(*) FROM t WHERE x >= 10 AND y <> 'it''s' GROUP BY 1;
{"key": [1, 2.5e-10, null, true], "nested": {"ünï": "\\u00e9"}} <a href="x?y=1&z=2">&nbsp;</a>
https://example.com/path/to?q=%20a+b#frag user.name+tag@mail.example.org 192.168.0.1:8080 ~/.config
👨‍👩‍👧‍👦 👩🏽‍💻 🏳️‍🌈 🇩🇪🇫🇷 ✍🏿 ❤️‍🔥 1️⃣ 😀😃 🫠 🪿 🫨
x² + y³ ≠ ∑∞ √2 ≈ 1.41421 ½ ⅓ ① Ⅳ ⅷ ㈠ 𝔘𝔫𝔦 𝟙𝟚 ﬁ ﬂ ﬀ ﷺ
<|im_start|>user\nHello<|im_end|> <|endoftext|> [CLS] [SEP][MASK] [UNK] <|end|> <|user|>x
wordy wordyx x wordy left  left x right  right\t\nz  both  Strasse Strassen Ünï Ünï
e\u0301 e\u0301\u0316 \u0316\u0301e o\u0308\u0304 \u1100\u1161\u11a8 \u0f71\u0f72 \u0344 \u212b \u0340
a  b   c    d     e\tf \t g\n\nh\r\ni \n j\u00a0k\u2003l\u3000m\u200bn\ufeffo\u0085p\u2028q\u2029 \u180e
""".split("\n")

RANGES = [(0x20, 0x7E), (0xA0, 0x17F), (0x180, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x5FF), (0x600, 0x6FF),
          (0x700, 0x8FF), (0x900, 0x97F), (0x980, 0xDFF), (0xE00, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x11FF), (0x1200, 0x139F),
          (0x13A0, 0x17FF), (0x1800, 0x1AFF), (0x1B00, 0x1CFF), (0x1D00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x20FF), (0x2100, 0x23FF),
          (0x2400, 0x27FF), (0x2800, 0x2DFF), (0x2E00, 0x2FFF), (0x3000, 0x33FF), (0x3400, 0x4DFF), (0x4E00, 0x9FFF), (0xA000, 0xABFF),
          (0xAC00, 0xD7FF), (0xE000, 0xF8FF), (0xF900, 0xFFFF), (0x10000, 0x10FFF), (0x11000, 0x11FFF), (0x12000, 0x16FFF),
          (0x17000, 0x1BFFF), (0x1C000, 0x1EFFF), (0x1F000, 0x1FAFF), (0x1FB00, 0x1FFFF), (0x20000, 0x323AF), (0xE0000, 0xE01EF),
          (0xF0000, 0x10FFFF)]
SPACES = " \t\n\r\v\f\u0085\u00a0\u2003\u3000\u2028"
EMOJI = "😀🤖👩👨👧💻🏽🏿\u200d\ufe0f❤🔥🇩🇪🇯🇵1️⃣🏴\U000e0067\U000e0062\U000e007f🫠🪿"


def sourceLines(root):
    files = sorted(p for pattern in ("runtime/tokenizer/*", "runtime/support/*", "test/e2e/tokenizer/*.py", "*.md")
                   for p in root.glob(pattern) if p.is_file() and p.suffix != ".inc")
    return [line for path in files for line in path.read_bytes().splitlines() if line.strip()]


def randomLine(rng, sentences, code):
    """One line of a random kind."""
    kind = rng.randrange(13)
    pick = lambda chars, low, high: "".join(rng.choice(chars) for _ in range(rng.randint(low, high)))
    if kind == 0:
        return " ".join(rng.choices(" ".join(rng.sample(sentences, 3)).split(), k=8)).encode()
    if kind == 1:
        return rng.choice(code) + b"\n" + rng.choice(code)
    if kind == 2:
        first, last = rng.choice(RANGES)
        return "".join(chr(rng.randint(first, last)) + (" " if rng.random() < 0.15 else "") for _ in range(rng.randint(1, 60))).encode()
    if kind == 3:
        return "".join(chr(c) for c in (rng.randrange(0x110000) for _ in range(rng.randint(1, 40))) if not 0xD800 <= c <= 0xDFFF).encode()
    if kind == 4:
        return pick(EMOJI, 1, 30).encode()
    if kind == 5:
        return bytes(rng.randrange(256) for _ in range(rng.randint(1, 60)))
    if kind == 6:
        return bytes(rng.choice(b"\x00\x01\x07\x08\x1b\x7f\xc2\x80ab \xe2\x80\x8b\xef\xbb\xbf") for _ in range(rng.randint(1, 30)))
    if kind == 7:
        return pick(SPACES + "ab1.", 1, 40).encode()
    if kind == 8:  # marks of all classes on letters, in any order
        return "".join(rng.choice("aeoAΩк가") + "".join(chr(rng.choice((rng.randint(0x300, 0x36F), rng.randint(0x591, 0x5C7),
                       rng.randint(0x64B, 0x65F), rng.randint(0x1AB0, 0x1ACE), rng.randint(0x1DC0, 0x1DFF), rng.randint(0x11930, 0x11943),
                       rng.randint(0x8CA, 0x902)))) for _ in range(rng.randint(0, 4))) for _ in range(rng.randint(1, 10))).encode()
    if kind == 9:
        return pick("0123456789.,eE+-x ٣٤五½²Ⅷ", 1, 40).encode()
    if kind == 10:
        words = [rng.choice(("it", "IT", "we", "x", " ", "")) + rng.choice(("'s", "'S", "'ſ", "'ll", "'LL", "'Re", "'", "''t", "’s"))
                 for _ in range(rng.randint(1, 8))]
        return rng.choice((" ", "")).join(words).encode()
    if kind == 11:
        special = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "[CLS]", "[SEP]", "[MASK]", "<|end|>", "<|user|>", "<|", "[", "wordy", "left", "right", " both")
        return "".join(rng.choice(special) + rng.choice(("", " ", "  ", "a", ".", "\n", "é", "_")) for _ in range(rng.randint(1, 10))).encode()
    base = bytearray(rng.choice(sentences).encode())  # damaged UTF-8
    for _ in range(rng.randint(1, 5)):
        base[rng.randrange(len(base))] = rng.randrange(256)
    return bytes(base[:rng.randint(1, len(base))])


def lines(count):
    """`count` lines; the first ones are the sentences and one line for each 64 code points of Unicode's first planes."""
    rng = random.Random(20240229)
    sentences = [s for s in SENTENCES if s]
    code = sourceLines(pathlib.Path(__file__).resolve().parents[3])
    out = [b"", b" ", b"\n", b"\xff", "\ufffd".encode()] + [s.encode() for s in sentences]
    for first in (*range(0, 0x33500, 64), *range(0xE0000, 0xE0200, 64)):
        out.append("".join(chr(c) + rng.choice(("", "", "a", " ")) for c in range(first, first + 64) if not 0xD800 <= c <= 0xDFFF).encode())
    while len(out) < count:
        out.append(randomLine(rng, sentences, code))
    return out
