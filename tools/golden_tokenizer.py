#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Writes the golden files of tests/data/test_tokenizer.c with Hugging Face's `tokenizers` (0.23.3) as the reference:
#   python3 tools/golden_tokenizer.py tests/data/golden
#
# tokenizer_KIND.json: small vocabularies trained here, one for each known pre-tokenizer, and `odd` and `even`, which
#   have what the others lack. tokenizer_cases.json: texts (in hex, since some are not UTF-8), whether special tokens are recognised
#   in them, ids and ends for each kind; an end is -1 where a token ends inside a character that NFC changed.
import json
import random
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

KINDS = ["gpt2", "smollm", "llama3", "qwen2", "odd", "even"]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
random.seed(1)

PROSE = """Pumice is a stone that floats. It is born when a volcano throws out foaming lava, and it keeps the foam's
shape when it cools. People rub their feet with it, and grow orchids in it. It's light, it's rough, and it doesn't
mind water; they've used it since Roman times. WE'LL SEE: THEY'RE LIGHT, I'M SURE. In 79 the sky over Pompeii rained
pumice for 18 hours, up to 2.8 metres of it. 1, 22, 333, 4444, 55555, 666666, 1234567890 grains. 3.14159 * 2 = 6.28318
Der Bimsstein schwimmt; größer heißt nicht schwerer. La pierre ponce flotte, ça alors! Où ça? À côté. El agua más
fría. Пемза плавает в воде. Ελαφρόπετρα επιπλέει. 軽石は水に浮く。浮石很轻。 부석은 가볍다. חפף צף על המים. حجر الخفاف
يطفو. झाँवा पत्थर तैरता है। หินพัมมิซลอยน้ำ\n"""
CODE = """int main(void)\n{\n    for (int i = 0; i < 10; i++) {\n\t\tprintf("%d\\n", i * 0x1f);\n    }\n    return 0;\n}\n
def f(x, *, y=None):\n    return [a ** 2 for a in x if a != y]  # squares\n<div class="a">&nbsp;</div>\n$$\\frac{1}{2}$$\n"""
SPACES = [9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 0x85, 0xA0, 0x1680, 0x180E, 0x2000, 0x2003, 0x200A, 0x200B, 0x200C, 0x2028,
          0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF]
ASSIGNED = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs")]
NUMBERS = [c for c in ASSIGNED if unicodedata.category(chr(c))[0] == "N"]
MARKS = [c for c in ASSIGNED if unicodedata.category(chr(c)) == "Mn"]


def some(codes, least, most):
    return "".join(chr(random.choice(codes)) for _ in range(random.randint(least, most)))


def texts():
    """(bytes, special) of every case."""
    out = [(PROSE.encode(), False), (CODE.encode(), False), (b"", True)]
    out.append(("認訨言計 記 警訯 zzAzBz i.i..i. a--b ---A - x\n\nHelloWorld 12 1234 121212 12".encode(), False))
    spaces = "".join(" x".join(chr(c) * n + chr(d) for d in SPACES[::5]) for c in SPACES for n in (1, 3))
    out.append((spaces.encode(), False))
    out.append((("a" + " " * 50 + "b" + "\n" * 30 + "\t" * 9 + " \r\n \n  c" + "é" * 70 + "1" * 40 + "!" * 33).encode(), False))
    out.append(("I'S i's I’s 'ſ 'LL'll'Ll''lL 'tx 're'VE've 'M 'D 'd's's s'".encode(), False))
    out.append(("".join(some(NUMBERS, 1, 5) + random.choice(["", " ", "a"]) for _ in range(60)).encode(), False))
    out.append(("👨‍👩‍👧‍👦❤️🏳️‍🌈 👩🏽‍💻🇩🇪1️⃣ a\u0301e\u0323\u0302 q\u0307\u0323 \u212b\u0958\u2adc\uf900 \u1100\u1161\u11a8각가\u11a8 "
                "\u0344\u1e9b\u0323 \u0cc6\u0cc2\u0cd5 ﬁ Å Å x\u0301\u0327\u0334\u0345y a\u0327\u0301 \u0898\u0323z".encode(), False))
    out.append(("".join(chr(random.choice(b"abAE oO")) + some(MARKS, 1, 4) for _ in range(60)).encode(), False))
    out += [(some(ASSIGNED, 1, 30).encode(), False) for _ in range(20)]
    plain = "".join(random.choice(PROSE) if random.random() < 0.8 else some(SPACES, 1, 3) for _ in range(600)).encode()
    out.append((plain, False))
    for i in range(20):
        bad = bytearray(plain[i * 25:i * 25 + 30])
        bad[random.randrange(30):0] = random.choice([b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff", b"\xf4\x90\x80\x80",
                                                     b"\xf0\x80\x80", b"\xe0\x80", b"\xc2", b"\x80", b"\xf1\x80\x80\x41"])
        out.append((bytes(bad), False))
    out += [(bytes(random.randrange(256) for _ in range(40)), False) for _ in range(10)]
    turns = "<|im_start|>user\nHi <|im_end|>\n<|im_start|> assistant<|im_end|><|im_end|> <|im_|im_end|> <tool>x</tool> <|endoftext|>x"
    odd = " <mask>  <mask>x <w> <w>s s<w> <w>.\u00e9<w> <e\u0301> <é>  <l> \n<l><l>x<r>  <r>\u3000y <l>  <r> <unk> <|s|>"
    out += [(t.encode(), special) for t in (turns, odd, odd.replace(" ", "")) for special in (False, True)]
    return out


def pipeline(kind, model):
    t = Tokenizer(model)
    t.decoder = decoders.ByteLevel()
    if kind == "gpt2":
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "smollm":
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    if kind == "llama3":
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if kind == "qwen2":
        t.normalizer = normalizers.NFC()
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if kind == "odd":
        t.normalizer = normalizers.Sequence([normalizers.NFC()])
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(r"[^\S\u0020]+|\x0c?\p{Han}{2,}"), "removed"), pre_tokenizers.Split("x", "contiguous"),
            pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=True)])
    if kind == "even":  # pieces are what matches; matches of nothing; a pattern that is plain text
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(r"\s+|(?:(?!\s|--).)+|-"), "removed", invert=True), pre_tokenizers.Split("i.", "isolated"),
            pre_tokenizers.Split(Regex(r"(?=[A-Z])|z*"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return t


def rebuilt(t, kind, tokens=(), merges=(), without=(), **options):
    """The tokenizer with another model: tokens and merges added, merges that make one of `without` gone."""
    model = json.loads(t.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for token in tokens:
        vocabulary.setdefault(token, len(vocabulary))
    kept = [tuple(m) for m in model["merges"] if m[0] + m[1] not in without]
    t = pipeline(kind, models.BPE(vocab=vocabulary, merges=kept + [tuple(m) for m in merges], **options))
    t.add_special_tokens(SPECIAL)
    return t


def trained(kind):
    t = pipeline(kind, models.BPE())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # Without these bytes in the vocabulary some Chinese characters and marks lose a part, or become unknown.
    limited = [c for c in alphabet if kind not in ("smollm", "odd", "even") or c not in "è¨¯"]
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=limited, show_progress=False, limit_alphabet=len(limited),
                                  special_tokens=SPECIAL + (["<unk>"] if kind in ("odd", "even") else []))
    t.train_from_iterator([PROSE, CODE] * 3 + PROSE.split(), trainer)
    if kind in ("smollm", "qwen2"):  # with merges that would join digits if a stage let them
        t = rebuilt(t, kind, ["12", "Ġ1", "34"], [("1", "2"), ("Ġ", "1"), ("3", "4")])
    if kind == "llama3":  # with a token that no merge makes
        t = rebuilt(t, kind, ["Ġvolcano"], without=["Ġvolcano"], ignore_merges=True)
        t.add_special_tokens(["<|begin|>"])
        t.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[("<|begin|>", t.token_to_id("<|begin|>"))])
    if kind == "qwen2":
        t.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("</tool>", normalized=False)])
    if kind in ("odd", "even"):
        t = rebuilt(t, kind, unk_token="<unk>", fuse_unk=kind == "odd")
        t.add_special_tokens(["<unk>"])
    if kind == "odd":
        t.add_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<w>", single_word=True), AddedToken("w>"),
                      AddedToken("<e\u0301>", normalized=True), AddedToken("<l>", lstrip=True, normalized=False),
                      AddedToken("<r>", rstrip=True, normalized=False), AddedToken("<l><l>", normalized=False),
                      AddedToken("<|s|>", special=True, normalized=True)])
    return t


def repaired(b):
    """Text, and for every byte of its UTF-8 the number of source bytes up to its end."""
    text, ends, i = "", [], 0
    while i < len(b):
        try:
            good, bad = b[i:].decode(), 0
        except UnicodeDecodeError as e:
            good, bad = b[i:i + e.start].decode(), e.end - e.start
        n = len(good.encode())
        text += good
        ends += range(i + 1, i + n + 1)
        i += n + bad
        if bad:
            text += "\ufffd"
            ends += [i] * 3
    assert text == b.decode(errors="replace")
    return text, ends


def normalised(nfc, text, ends):
    """The NFC and its map: a character ends with the source prefix from which on it no longer changes."""
    out = nfc.normalize_str(text)
    if out == text:
        return out, ends
    borders = [0]
    for c in text:
        borders.append(borders[-1] + len(c.encode()))
    prefixes = [nfc.normalize_str(text[:p]) for p in range(len(text) + 1)]
    mapped = []
    for k in range(len(out)):
        p = len(text)
        while p > 0 and prefixes[p - 1][:k + 1] == out[:k + 1]:
            p -= 1
        mapped += [-1] * (len(out[k].encode()) - 1) + [ends[borders[p] - 1]]
    return out, mapped


def ends_of(tokenizer, ids, text, ends):
    """Ends from the bytes that the tokens stand for, read off the text one after another."""
    back = {c: b for b, c in enumerate_alphabet()}
    added = {i: a.content.encode() for i, a in tokenizer.get_added_tokens_decoder().items()}
    known = {back[c] for c in tokenizer.get_vocab() if len(c) == 1 and c in back}
    data, at, out = text.encode(), 0, []
    for i in ids:
        for byte in added.get(i) or bytes(back[c] for c in tokenizer.id_to_token(i)):
            while data[at] != byte:
                assert data[at] not in known, "a byte was passed over"
                at += 1
            at += 1
        out.append(ends[at - 1])
    return out


def enumerate_alphabet():
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return [(b, chr(b)) for b in plain] + [(b, chr(256 + i)) for i, b in enumerate(others)]


def main(folder):
    tokenizers = {kind: trained(kind) for kind in KINDS}
    cases = []
    for data, special in texts():
        text, ends = repaired(data)
        case = {"hex": data.hex(), "special": special}
        for kind, t in tokenizers.items():
            t.encode_special_tokens = not special
            case[kind] = {"ids": t.encode(text, add_special_tokens=False).ids}
            if kind in ("odd", "even"):  # these drop and add bytes: the ids are enough
                continue
            words, mapped = normalised(t.normalizer, text, ends) if t.normalizer else (text, ends)
            case[kind]["ends"] = ends_of(t, case[kind]["ids"], words, mapped)
        cases.append(case)
    for kind, t in tokenizers.items():
        with open(f"{folder}/tokenizer_{kind}.json", "w") as f:
            json.dump(json.loads(t.to_str()), f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")
    with open(f"{folder}/tokenizer_cases.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")

    # What test_tokenizer_unicode.c expects of all characters: FNV-1a over NFC(c), NFC(c + marks), NFC(base + c + mark).
    nfc, h = normalizers.NFC(), 0xCBF29CE484222325
    for first in range(0, 0x110000, 4096):
        codes = [chr(c) for c in range(first, first + 4096) if not 0xD800 <= c < 0xE000]
        for line in ("\n".join(codes), "\n".join(c + "\u0334\u0323\u0301" for c in codes), "\n".join("e\u0301" + c + "\u0323" for c in codes),
                     "\n".join("\u1100" + c + "\u11a8" for c in codes)):
            for byte in nfc.normalize_str(line).encode():
                h = (h ^ byte) * 0x100000001B3 % 2**64
    print(f"NFC hash {h:#018x}")


main(sys.argv[1])
