#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The tools that need no network: demo-data's files are those promised; every tool has a --help and refuses nonsense;
# with-driver passes on exit status, output and arguments.
. "$(dirname "$0")/tools.sh"

"$build/demo-data" --train 120 --test 40 "$work/a"
"$build/demo-data" --train 120 --test 40 "$work/b"
"$build/demo-data" --train 120 --test 40 --seed 1 "$work/c"
check "the same seed, the same files" diff -r "$work/a" "$work/b"
check "another seed, other files" [ "$(cmp -s "$work/a/math.jsonl" "$work/c/math.jsonl" || echo differ)" = differ ]
for ability in math code general; do
    check "120 rows of $ability" [ "$(wc -l <"$work/a/$ability.jsonl")" -eq 120 ]
    check "40 test rows of $ability" [ "$(wc -l <"$work/a/${ability}_test.jsonl")" -eq 40 ]
    check "$ability in one form" [ "$(grep -cvE '^\{"messages": \[\{"role": "user", "content": "([^"\\]|\\.)*"\}, \{"role": "assistant", "content": "([^"\\]|\\.)*"\}\]\}$' \
        "$work/a/$ability.jsonl" || true)" -eq 0 ]
    for file in "$ability" "${ability}_test"; do
        # The answers, with the terms of sums and products in one order: an answer is as good as its key.
        sed 's/.*"assistant", "content": "//' "$work/a/$file.jsonl" |
            awk '$2 ~ /^[+*]$/ && $1 + 0 < $3 + 0 { t = $1; $1 = $3; $3 = t } { print }' | sort -u >"$work/$file.keys"
    done
    check "no test row of $ability is about what is trained" [ -z "$(comm -12 "$work/$ability.keys" "$work/${ability}_test.keys")" ]
    check "40 keys of $ability tested" [ "$(wc -l <"$work/${ability}_test.keys")" -eq 40 ]
done
wrong=$(sed 's/.*"assistant", "content": "//; s/"}\]}$//; s/\\n/\n/g' "$work"/a/math*.jsonl | awk '
    $1 == "####" { if ($2 != result) print "line " NR; next }
    { result = $2 == "+" ? $1 + $3 : $2 == "-" ? $1 - $3 : $1 * $3; if ($4 != "=" || $5 != result || result < 1) print "line " NR }')
check "right solutions: $wrong" [ -z "$wrong" ]
check "too many rows are refused" [ "$(status "$build/demo-data" --train 100000 "$work/d")" -eq 1 ]
check "no folder is wrong usage" [ "$(status "$build/demo-data")" -eq 2 ]

for tool in setup model test demo memory lab with-driver vendor-lab; do
    check "tools/$tool --help" grep -q "^usage: tools/$tool" <(tools/$tool --help)
    check "tools/$tool refuses an unknown option" [ "$(status tools/$tool --nonsense)" -eq 2 ]
done
if command -v python3 >/dev/null; then # the one tool that is useless without
    check "tools/compare --help" grep -q "^usage: tools/compare" <(tools/compare --help)
    check "tools/compare refuses an unknown option" [ "$(status tools/compare --nonsense)" -eq 2 ]
    check "tools/compare needs PyTorch" [ "$(status tools/compare --python false)" -eq 1 ]
fi
check "an unknown driver" [ "$(status tools/with-driver lavapipe-1 true)" -eq 2 ]
check "an odd width" [ "$(status tools/with-driver lavapipe-26 --width 100 true)" -eq 2 ]
check "no such chip" [ "$(status tools/vendor-lab --devices amd-navi99)" -eq 2 ]
check "no such maker" [ "$(status tools/vendor-lab --devices amdx)" -eq 2 ]
check "code of one chip" [ "$(status tools/vendor-lab --isa embed amd)" -eq 2 ]
check "no such config" [ "$(status tools/vendor-lab frob)" -eq 2 ]
check "one kind of output" [ "$(status tools/vendor-lab --check --json)" -eq 2 ]
check "Mali is in the lab" grep -q '^mali-g610 ' <(tools/vendor-lab list)
check "no command" [ "$(status tools/with-driver system)" -eq 2 ]
check "the command's status" [ "$(status tools/with-driver system sh -c 'exit 7')" -eq 7 ]
check "the command's arguments" [ "$(tools/with-driver system printf '<%s>' 'a b' '' --path)" = '<a b><><--path>' ]

# tools/memory's table and what it uses again, with a program that only says what it would: 3 tests at level 0, 1 at level
# 2, a subset of 4 at level 1 alone.
tree=$work/tree
mkdir -p "$tree"/{tools,build}
cp tools/memory "$tree/tools"
printf '#!/bin/sh\n' | tee "$tree/tools/setup" >"$tree/tools/model"
printf '#!/bin/sh\nshift\nexec "$@"\n' >"$tree/tools/with-driver"
cat >"$tree/build/pumice" <<'END'
#!/bin/bash
echo "$1" >>calls
case $1 in
select)
    out=${*: -1}
    printf 'a\nb\nc\n' >"$out/test-0.jsonl"
    cat rows >"$out/test-2.jsonl"
    [ -e broken ] && { echo '{"files":{}}' >"$out/summary.json"; exit 1; }
    printf '1\n2\n3\n4\n' >"$out/level-1-4.jsonl"
    echo '{"files":{},"split":{}}' >"$out/summary.json"
    exit 1
    ;;
train) mkdir -p "$tree/m-level-1" && echo model >"$tree/m-level-1/model.safetensors" ;;
score)
    scores=(0.3333333333333333 0 0.16666666666666666)
    [[ $3 = *level-1* ]] && scores=(0.6666666666666666 1 0.8333333333333333)
    printf '{"metric":"contains","files":[{"path":"m/test-0.jsonl","score":%s,"rows":3},{"path":"m/test-2.jsonl","score":%s,"rows":1}],"mean":%s}\n' "${scores[@]}"
    ;;
esac
END
chmod +x "$tree"/tools/* "$tree/build/pumice"
export tree
memory() { (cd "$tree" && : >calls && tools/memory --driver system --output m 2>/dev/null); }
calls() { tr '\n' ' ' <"$tree/calls"; }
echo 'd' >"$tree/rows"
check "tools/memory's table" diff - <(memory) <<'END'

contains, by level        0      2   mean
test facts                3      1
base model              33%     0%  16.7%
trained on level 1      67%   100%  83.3%
END
check "what it calls" [ "$(calls)" = "select score train score " ]
check "its results" [ "$(grep -o '"[a-z0-9-]*":{"metric"\|"mean":[0-9.]*' "$tree/m/results.json" | tr '\n' ' ')" = \
    '"base":{"metric" "mean":0.16666666666666666 "level-1":{"metric" "mean":0.8333333333333333 ' ]
memory >/dev/null
check "what is there is used again" [ "$(calls)" = "select " ]
echo 'e' >"$tree/rows"
memory >/dev/null
check "but not of other rows" [ "$(calls)" = "select score train score " ]
touch "$tree/broken"
check "a selection that broke off" [ "$(status memory)" -eq 1 ]
check "is none" [ "$(calls)" = "select " ]
[ $failed -eq 0 ] && echo "tools: all as promised"
exit $failed
