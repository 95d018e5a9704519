#!/bin/sh
# SPDX-License-Identifier: MIT
#
# pumice diff on tiny models: what training changed, set back in part and in full; the divergence of first tokens; what is
# said of bad input.
. "$(dirname "$0")/tiny.sh"
cd "$work"
check 'training' "$pumice" train tiny.json --set max_steps=2 save_steps=2 save_dtype=f32
base=$(ls -d run/checkpoint-* | head -n 1)
says 'a difference' 0 '"from_zero":0' "$pumice" diff --before "$base" --after run --json
says 'moved' 0 ': KL(after || before)' "$pumice" diff --before "$base" --after run --data data/math_test.jsonl
says 'restored' 0 'parameters set back' "$pumice" diff --before "$base" --after run --restore 1 --output restored/
says 'all of them' 0 '"changed":0' "$pumice" diff --before "$base" --after restored --json
says 'a fifth' 0 '"fraction":0.2' "$pumice" diff --before "$base" --after run --restore 0.2 --output fifth --data data/math_test.jsonl --json
check 'the fifth is named' grep -q '"first_token":{"model":"fifth"' out
kl() { sed -n 's/.*\("divergence":[^,}]*\).*/\1/p' "$1"; }
kl out >in-one-call
"$pumice" diff --before "$base" --after fifth --data data/math_test.jsonl --json >after.json 2>/dev/null
kl after.json | check 'the KL is that of what is restored' cmp - in-one-call
says 'of nothing kept' 0 '"divergence":0,' "$pumice" diff --before "$base" --after run --restore 1 --output whole --data data/math_test.jsonl --json
says 'as a sentence' 0 'KL(half || before)' "$pumice" diff --before "$base" --after run --restore 0.5 --output half --data data/math_test.jsonl
rm -r half
says 'what is left' 0 '' "$pumice" diff --before run --after fifth --json
grep -q '"first_token"' "$work/out" && echo "FAILED: data where none was given" && failed=1
check 'a restored model is one' "$pumice" generate --model fifth --prompt hello --max-new-tokens 2
says 'nothing overwritten' 1 'it is there already' "$pumice" diff --before "$base" --after run --restore 0.2 --output fifth
says 'no divergence from itself' 0 '"divergence":0,' "$pumice" diff --before run --after run --data data/math_test.jsonl --json
says 'restore alone' 2 'go together' "$pumice" diff --before run --after run --restore 0.2
says 'a negative share' 2 'go together' "$pumice" diff --before "$base" --after run --restore -0.5
says 'a negative share with its folder' 2 'a share from 0 to 1' "$pumice" diff --before "$base" --after run --restore -0.5 --output half
says 'more than all' 2 'a share from 0 to 1' "$pumice" diff --before "$base" --after run --restore 1.5 --output half
sed 's/"intermediate_size": 96/"intermediate_size": 64/; s/"output_dir": "run"/"output_dir": "narrow"/' tiny.json >narrow.json
check 'another shape' "$pumice" train narrow.json --set max_steps=1 save_strategy=no save_steps=0
says 'shapes' 1 'the models differ in shape: layer.0.gate_up is 192 x 48 before, 128 x 48 after' "$pumice" diff --before run --after narrow

# Rows longer than the model has positions are said, once.
sed 's/"max_position_embeddings": 512/"max_position_embeddings": 32/; s/"output_dir": "run"/"output_dir": "short"/' tiny.json >short.json
says 'positions in training' 0 'and the model was made for 32 positions' "$pumice" train short.json --set max_steps=1 save_strategy=no save_steps=0
says 'in a difference' 0 'was made for 32 positions' "$pumice" diff --before short --after short --data data/math_test.jsonl
says 'in a score' 0 'was made for 32 positions' "$pumice" score --model short --data data/math_test.jsonl --metric numeric --max-new-tokens 2
[ "$(grep -c 'made for 32' "$work/err")" = 1 ] || { echo "FAILED: positions are said more than once"; failed=1; }
says 'rows within them' 0 '"rows":6' "$pumice" score --model run --data data/math_test.jsonl --metric numeric --max-new-tokens 2 --json
! grep -q 'was made for' "$work/err" || { echo "FAILED: positions that suffice"; failed=1; }
exit $failed
