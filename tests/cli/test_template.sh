#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A model that was trained with a template of the config's own is saved with it: its folder alone then prompts it as it was
# trained, by name, by prefixes and suffixes, and by the model's own template when nothing is said.
. "$(dirname "$0")/tiny.sh"
cd "$work"

same() { # same WHAT SET...: train one step with the overrides; the saved folder tokenizes as the run's own manifest says
    name=$1
    shift
    "$pumice" train tiny.json --set output_dir="$name" dropout=0 max_steps=1 "$@" >/dev/null 2>"$name.err" ||
        { echo "FAILED: training with $name"; cat "$name.err"; failed=1; }
    "$pumice" tokenize --model "$name" --data data/math.jsonl >"$name.ids" 2>/dev/null
    "$pumice" plan tiny.json --json --set output_dir=none "$@" 2>/dev/null |
        sed 's/.*"name":"math","available":12,"rows":12,"tokens":\([0-9]*\),"trained_tokens":\([0-9]*\).*/\1 \2/' >"$name.want"
    sed 's/.*"mask":\[\([01,]*\)\].*/\1/' "$name.ids" | awk -F, '{ n += NF; for (i = 1; i <= NF; i++) t += $i } END { print n, t }' >"$name.got"
    check "tokens and trained tokens of $name" cmp "$name.want" "$name.got"
}

same own
same alpaca chat_template=alpaca
same custom 'chat_template={"user_prefix":"Q: ","user_suffix":"\n","assistant_prefix":"A: ","assistant_suffix":"{eos}\n"}'
check "the three differ" sh -c '! cmp -s own.got alpaca.got && ! cmp -s own.got custom.got && ! cmp -s alpaca.got custom.got'
check "the template is saved" grep -q 'Q: ' custom/chat_template.jinja
check "the model's own needs no file" test ! -e own/chat_template.jinja
exit "$failed"
