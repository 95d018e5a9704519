#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Writes trainer/data/tokenizer_nfc_tables.h from Python's unicodedata (whose Unicode version it states):
#   python3 tools/nfc_tables.py > trainer/data/tokenizer_nfc_tables.h
import unicodedata as u

HANGUL = range(0xAC00, 0xAC00 + 11172)  # composed and decomposed by arithmetic


def decomposition(c):
    d = u.decomposition(chr(c))
    return [] if not d or d[0] == "<" else [int(x, 16) for x in d.split()]


decompositions = {c: decomposition(c) for c in range(0x110000) if c not in HANGUL and decomposition(c)}
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
    k = u.combining(chr(c))
    if not k and c not in joins:
        continue
    if marks and marks[-1][1] == c - 1 and marks[-1][2] == k:
        marks[-1][1] = c
    else:
        marks.append([c, c, k])

print("// SPDX-License-Identifier: MIT")
print("//")
print(f"// tokenizer_nfc_tables.h: Unicode {u.unidata_version}, written by tools/nfc_tables.py. Sorted by the first member.")
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
