#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Writes trainer/data/tokenizer_nfc_tables.h from Python's unicodedata:
#   python3.11 tools/nfc_tables.py > trainer/data/tokenizer_nfc_tables.h
#
# Ids have to be those of Hugging Face's `tokenizers` library, which normalises by Unicode 9.0: it leaves marks that were
# encoded later where they stand. So what came later is left out here. Nothing else differs between the versions: the
# normal form of a character never changes once it is encoded.
import unicodedata as u

assert u.unidata_version == "14.0.0", "the list below is what Unicode 14.0 has more than Unicode 9.0"
NEWER_MARKS = """7fd 898-89f 8ca-8d3 9fe c3c d3b-d3c eba 1715 1abf-1ace 1df6-1dfa a82c 10d24-10d27 10eab-10eac 10f46-10f50
    10f82-10f85 11070 1133b 1145e 11839-1183a 1193d-1193e 11943 119e0 11a34 11a47 11a99 11d42 11d44-11d45 11d97
    16ff0-16ff1 1e130-1e136 1e2ae 1e2ec-1e2ef"""
NEWER_COMPOSITIONS = {0x11938}
newer = set()
for span in NEWER_MARKS.split():
    first, last = (span.split("-") * 2)[:2]
    newer |= set(range(int(first, 16), int(last, 16) + 1))

HANGUL = range(0xAC00, 0xAC00 + 11172)  # composed and decomposed by arithmetic


def decomposition(c):
    d = u.decomposition(chr(c))
    return [] if not d or d[0] == "<" else [int(x, 16) for x in d.split()]


decompositions = {c: decomposition(c) for c in range(0x110000)
                  if c not in HANGUL and c not in NEWER_COMPOSITIONS and decomposition(c)}
composing = {c for c in decompositions if u.normalize("NFC", chr(c)) == chr(c)}
# What can change together with what stands before it: the second halves of compositions, the second and third letters
# of Hangul syllables, everything that NFC replaces, every mark that canonical ordering may move.
joins = {decompositions[c][1] for c in composing} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
joins |= decompositions.keys() - composing


def rows(cells, width):
    line = "   "
    for cell in cells:
        if len(line) + 1 + len(cell) > width:
            print(line)
            line = "   "
        line += " " + cell
    print(line)


marks = []
for c in range(0x110000):
    k = 0 if c in newer else u.combining(chr(c))
    if not k and c not in joins:
        continue
    if marks and marks[-1][1] == c - 1 and marks[-1][2] == k:
        marks[-1][1] = c
    else:
        marks.append([c, c, k])

print("// SPDX-License-Identifier: MIT")
print("//")
print("// tokenizer_nfc_tables.h: Unicode 9.0 (why: see tools/nfc_tables.py, which wrote it). Sorted by the first member.")
print("// clang-format off")
print()
print("// Characters that may change together with what stands before them, and their canonical combining class.")
print("static const struct nfc_mark {\n    uint32_t first, last;\n    uint8_t class;\n} nfc_marks[] = {")
rows([f"{{{a:#x}, {b:#x}, {k}}}," for a, b, k in marks], 120)
print("};\n")
print("// Canonical decompositions, one step each; second = 0 where there is none. Hangul syllables are computed.")
print("static const struct nfc_split {\n    uint32_t whole, first, second;\n} nfc_splits[] = {")
rows(["{%#x, %#x, %s}," % (c, d[0], hex(d[1]) if len(d) > 1 else "0") for c, d in sorted(decompositions.items())], 120)
print("};\n")
index = {c: i for i, c in enumerate(sorted(decompositions))}
print("// The rows above that are also compositions, sorted by (first, second).")
print("static const uint16_t nfc_pairs[] = {")
rows([f"{index[c]}," for c, d in sorted(decompositions.items(), key=lambda x: x[1]) if c in composing], 120)
print("};")
