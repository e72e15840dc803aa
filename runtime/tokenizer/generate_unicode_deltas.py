#!/usr/bin/env python3
"""Writes UnicodeDeltas.inc: where Hugging Face tokenizers' Unicode tables differ from utf8proc's.

The reference library mixes five versions of Unicode (its regex engine, its normaliser, two character-class crates and
the standard library of its language). Ids must equal the reference's, so each difference is data. This script asks the
reference about every code point and compares. Run it after an upgrade of either library:

    python generate_unicode_deltas.py > UnicodeDeltas.inc      # needs `tokenizers`; loads libutf8proc by ctypes
"""
import ctypes
import struct
from tokenizers import Regex, __version__, normalizers as N, pre_tokenizers as P

u8 = ctypes.CDLL("libutf8proc.so.2")
u8.utf8proc_unicode_version.restype = ctypes.c_char_p
u8.utf8proc_map.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
u8.utf8proc_map.restype = ctypes.c_ssize_t
libc = ctypes.CDLL(None)
libc.free.argtypes = [ctypes.c_void_p]
# The order of utf8proc_category_t.
CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co".split()
CODEPOINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def utf8procMap(text, options):
    out = ctypes.c_void_p()
    raw = text.encode()
    size = u8.utf8proc_map(raw, len(raw), ctypes.byref(out), options)
    result = ctypes.string_at(out.value, size).decode()
    libc.free(out)
    return result


def matching(regex):
    """The code points that a one-character regex of the reference matches."""
    split, found = P.Split(Regex(regex), behavior="removed", invert=True), set()
    for i in range(0, len(CODEPOINTS), 20000):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, CODEPOINTS[i:i + 20000]))):
            found.update(map(ord, piece))
    return found


def isolated(preTokenizer):
    """The code points that a pre-tokeniser splits from their neighbours."""
    found = set()
    for i in range(0, len(CODEPOINTS), 5000):
        chunk = CODEPOINTS[i:i + 5000]
        for piece, _ in preTokenizer.pre_tokenize_str("a" + "a".join(map(chr, chunk)) + "a"):
            if len(piece) == 1 and piece != "a":
                found.add(ord(piece))
    return found


def ranges(codepoints):
    out = []
    for c in sorted(codepoints):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def emit(comment, name, rows, kind="CodepointRange"):
    print(f"// {comment}\nconstexpr {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        cell = " {" + ", ".join(v if isinstance(v, str) else f"0x{v:x}" for v in row) + "},"
        if len(line) + len(cell) > 110:
            print(line)
            line = "   "
        line += cell
    print(f"{line}\n}};\n")


def emitCategories():
    category = {}
    for name in CATEGORIES:
        if name != "Cs":
            category.update((c, name) for c in matching(r"\p{%s}" % name))
    rows = []
    for c in CODEPOINTS:
        if CATEGORIES[u8.utf8proc_category(c)] != category[c]:
            number = str(CATEGORIES.index(category[c]))
            if rows and rows[-1][1] == c - 1 and rows[-1][2] == number:
                rows[-1][1] = c
            else:
                rows.append([c, c, number])
    emit("First, last, general category (number of utf8proc_category_t) in the reference's regex engine.",
         "categoryDeltas", rows, "CategoryRange")
    return category


def emitSets(category):
    every = set(CODEPOINTS)
    of = lambda *names: {c for c in CODEPOINTS if category[c] in names or category[c][0] in names}
    word = of("L", "M", "Nd", "Nl", "Pc")
    whitespacePieces = P.Whitespace()
    rustWord = {c for c in CODEPOINTS if [p for p, _ in whitespacePieces.pre_tokenize_str("a" + chr(c))] == ["a" + chr(c)]}
    clean = N.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    accents = N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    control = {c for c in CODEPOINTS if clean.normalize_str("a" + chr(c)) == "a"}
    nonspacing = {c for c in CODEPOINTS if accents.normalize_str("a" + chr(c)) == "a"}
    combining = {c for c in CODEPOINTS if N.StripAccents().normalize_str("a" + chr(c)) == "a"}
    print("// Code points whose membership differs from the named categories (after categoryDeltas).\n")
    emit("Numeric, against N", "numericDeltas", ranges(isolated(P.Digits(individual_digits=True)) ^ of("N")))
    asciiPunctuation = set(map(ord, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))
    emit("Punctuation, against P and ASCII's symbols", "punctuationDeltas",
         ranges((isolated(P.Punctuation()) ^ (of("P") | asciiPunctuation))))
    emit("What BERT's cleaning removes, against Cc, Cf, Co", "controlDeltas", ranges(control ^ of("Cc", "Cf", "Co")))
    emit("What BERT's accent stripping removes, against Mn", "nonspacingDeltas", ranges(nonspacing ^ of("Mn")))
    emit("What StripAccents removes, against M", "combiningDeltas", ranges(combining ^ of("M")))
    emit("\\w of Split patterns, against L, M, Nd, Nl, Pc", "regexWordDeltas", ranges(matching(r"\w") ^ word))
    emit("\\w of the Whitespace pre-tokeniser and single_word, against the same", "wordDeltas", ranges(rustWord ^ word))
    assert matching(r"\s") == of("Z") | set(range(9, 14)) | {0x85} and matching(r"\d") == of("Nd") and every


def emitLowercase():
    rows = []
    for c in CODEPOINTS:
        lower = N.Lowercase().normalize_str(chr(c))
        if c != 0x130 and lower != chr(u8.utf8proc_tolower(c)):
            if rows and rows[-1][1] == c - 1 and rows[-1][2] == ord(lower) - c:
                rows[-1][1] = c
            else:
                rows.append([c, c, ord(lower) - c])
    emit("First, last, distance to the lower case; U+0130 is handled in code.", "lowercaseDeltas",
         [[a, b, str(d)] for a, b, d in rows], "LowercaseRange")


def emitInert():
    nfd, nfkd = N.NFD(), N.NFKD()
    stable, compat, compose, decompose = 2, 4, 8, 16
    inert = set()
    for c in CODEPOINTS:
        s = chr(c)
        for normalizer, options in ((nfd, stable | decompose), (nfkd, stable | decompose | compat)):
            reference, ours = normalizer.normalize_str(s), utf8procMap(s, options)
            if reference != ours:
                assert reference == s, hex(c)
                inert.add(c)
        for probe in ("a\u0345" + s, "a" + s + "\u0334", "a\u0301" + s):
            reference, ours = nfd.normalize_str(probe), utf8procMap(probe, stable | decompose)
            if reference != ours:
                assert reference == probe or c in inert, hex(c)
                inert.add(c)
    for c in list(inert):  # a composition that only utf8proc knows: its first part must not compose
        parts = utf8procMap(chr(c), stable | decompose)
        if len(parts) == 2 and utf8procMap(parts, stable | compose) == chr(c):
            inert.add(ord(parts[0]))
    emit("Code points that the reference's normaliser leaves alone (newer than its tables): they neither decompose,\n"
         "// nor reorder, nor compose.", "inertRanges", ranges(inert))


def emitExtending():
    """What belongs to the user-perceived character before it. A one-entry table (Charsmap.h) that makes "b" of "a" shows it: the whole
    such character becomes "b"."""
    table = N.Precompiled(struct.pack("<4I", 1024, 0x60 << 10, 3 << 10 | 1 << 8 | ord("a"), 1 << 31) + bytes(1012) + b"b\0")
    joins = lambda c: not u8.utf8proc_grapheme_break(ord("a"), c)
    missing = {c for c in CODEPOINTS if table.normalize_str("a" + chr(c)) == "b" and not joins(c)}
    assert all(table.normalize_str("a" + chr(c)) == "b" for c in CODEPOINTS if joins(c))
    emit("Code points that extend the user-perceived character before them, newer than utf8proc's tables.", "extendingRanges",
         ranges(missing))


print("// Generated by generate_unicode_deltas.py: Hugging Face tokenizers", __version__, "against utf8proc's Unicode",
      u8.utf8proc_unicode_version().decode() + ". Do not edit.\n")
emitSets(emitCategories())
emitLowercase()
emitInert()
emitExtending()
