#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Training with products in fp16 on matrix units: losses as with f32; a run that is killed with -9 goes on to the same bits;
# steps that leave fp16's range are skipped and halve the loss scale; what cannot be is said. On lavapipe with vectors of 256
# bits, the software driver that has matrix units.
case ${PUMICE_TEST_INSIDE:-no} in
no)
    driver="$(dirname "$0")/../../tools/with-driver"
    "$driver" lavapipe-26 --path >/dev/null || { echo "skipped: no lavapipe 26 here"; exit 77; }
    exec env PUMICE_TEST_INSIDE=yes "$driver" lavapipe-26 --width 256 "$0" "$@"
    ;;
esac
. "$(dirname "$0")/tiny.sh"
cd "$work"
fail() {
    echo "FAILED: $*"
    failed=1
}
steps() { sed -n 's/.*"step":\([0-9]*\),.*"loss":\([^,]*\),"grad_norm":\([^,]*\),.*"hash":"\([0-9a-f]*\)".*/\1 \2 \3 \4/p' "$1/log.jsonl"; }
train() { # train FOLDER OVERRIDE...: a run of few steps
    folder=$1
    shift
    "$pumice" train tiny.json --set "output_dir=$folder" dropout=0 max_steps=4 save_steps=1 "$@" >"$folder.out" 2>"$folder.err"
}

"$pumice" devices >devices
grep -q 'f16->f32' devices || { cat devices; echo "FAILED: lavapipe at 256 bits has no matrix units"; exit 1; }

# The same run, but for the products.
train f32 || { cat f32.err; exit 1; }
train fp16 matmul_precision=fp16 || { cat fp16.err; exit 1; }
check "the precisions are said" grep -q 'storage f32, products fp16 with loss scaling, gradients f32, saved as bf16' fp16.err
check "f32 is what auto takes on software" grep -q 'products f32,' f32.err
check "attention on matrix units was tried" grep -q '"attention":[[:space:]]*16' cache/pumice/pipelines/products-*.json
check "and is kept in the run" grep -q '"attention":[[:space:]]*16' fp16/checkpoint-8/pumice_state.json
if grep -q 'not used' fp16.err; then fail "a variant is not used: $(cat fp16.err)"; fi
check "the checkpoint says fp16" grep -q '"products":[[:space:]]*"fp16"' fp16/checkpoint-8/pumice_state.json
steps f32 >f32.steps
steps fp16 >fp16.steps
[ "$(wc -l <fp16.steps)" = 8 ] || fail "fp16 made $(wc -l <fp16.steps) steps"
paste -d' ' f32.steps fp16.steps | awk '{ d = $2 - $6; if (d < 0) d = -d; n = $3 / $7
    if (!(d <= 1e-2) || !(n > 0.9 && n < 1.1)) { print "step " $1 ": loss and norm " $2, $3 " in f32, " $6, $7 " in fp16"; bad = 1 } }
    END { exit bad }' || fail "fp16 strays from f32"
cut -d' ' -f4 f32.steps >f32.hash
cut -d' ' -f4 fp16.steps >fp16.hash
if cmp -s f32.hash fp16.hash; then fail "fp16 gives f32's bits: the matrix units were not used"; fi
[ "$(grep -c '"loss_scale":65536,' fp16/log.jsonl)" = 8 ] || fail "the log does not say the loss scale"
if grep -q loss_scale f32/log.jsonl; then fail "f32 has a loss scale"; fi
says "a changed key" 1 "matmul_precision" "$pumice" train tiny.json --set output_dir=fp16 dropout=0 max_steps=4 save_steps=1 --resume
says "--tune with --resume" 2 "do not go together" "$pumice" train tiny.json --set output_dir=f32 --resume --tune
says "bf16 where there is none" 1 "no matrix units that multiply bf16" "$pumice" train tiny.json --set output_dir=bf16 matmul_precision=bf16
check "nothing was written" test ! -e bf16

# One trained token a step: gradients so large that the first scales overflow.
{
    i=0
    while [ $i -lt 12 ]; do
        echo "{\"input_ids\": [7, 200, $((30 + i)), 9, 1], \"labels\": [-100, -100, -100, -100, 1]}"
        i=$((i + 1))
    done
} >data/one.jsonl
cat >one.json <<'END'
{ "init": { "architectures": ["LlamaForCausalLM"], "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3,
            "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 96, "max_position_embeddings": 512,
            "tie_word_embeddings": true, "tokenizer": "bytes" },
  "output_dir": "one", "sources": { "one": "data/one.jsonl" }, "strategy": "multi_task", "matmul_precision": "fp16",
  "num_train_epochs": 5, "train_batch_size": 1, "max_length": 64, "learning_rate": 1e-4, "save_strategy": "steps", "save_steps": 1 }
END
"$pumice" train one.json >one.out 2>one.err || { cat one.err; exit 1; }
scales() { sed -n 's/.*"loss_scale":\([0-9]*\),"hash":"\([0-9a-f]*\)"\(.*\)}/\1 \2 \3/p' "$1/log.jsonl"; }
scales one >one.scales
[ "$(wc -l <one.scales)" = 60 ] || fail "$(wc -l <one.scales) steps instead of 60"
# A skipped step's scale is twice the next one's; after the first that is not skipped (not before the second) it stays.
awk '{ if (NR == 1 && $1 != 65536) bad = 1
    if (NR > 1 && $1 != (before == "skipped" ? scale / 2 : scale)) bad = 1
    before = $3 == "" ? "made" : "skipped"; scale = $1; skipped += before == "skipped" }
    END { exit bad || skipped < 1 || skipped > 6 || before == "skipped" }' one.scales || { fail "loss scales"; cat one.scales; }
check "the terminal says why" grep -q 'skipped: its gradient is not finite (loss scale 65536)' one.err
rounds=0 kills=0
while [ ! -f killed/model.safetensors ]; do
    rounds=$((rounds + 1))
    [ "$rounds" -le 40 ] || { echo "FAILED: no end after $rounds rounds"; exit 1; }
    "$pumice" train one.json --set output_dir=killed --resume >killed.out 2>killed.err &
    pid=$!
    sleep "$(awk -v r="$rounds" -v s="$(date +%N)" 'BEGIN { srand(s + r); print 0.2 + rand() * (0.5 + r * 0.4) }')"
    if kill -9 "$pid" 2>/dev/null; then kills=$((kills + 1)); fi
    wait "$pid" 2>/dev/null || true
done
echo "killed $kills times"
scales killed >killed.scales
cmp one.scales killed.scales || fail "the killed run strays"
check "same model" cmp one/model.safetensors killed/model.safetensors
exit "$failed"
