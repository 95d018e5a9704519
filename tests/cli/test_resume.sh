#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A run that is killed with -9 at random instants and resumed gives the same bits as one that was never stopped: the same
# hashes in the log, every step once, the same model. Ctrl-C saves and exits 130.
. "$(dirname "$0")/tiny.sh"
cd "$work"

"$pumice" train tiny.json --set output_dir=whole >/dev/null 2>whole.err || { cat whole.err; exit 1; }

kills=0 rounds=0
while [ ! -f killed/model.safetensors ]; do
    rounds=$((rounds + 1))
    [ "$rounds" -le 40 ] || { echo "FAILED: no end after $rounds rounds"; exit 1; }
    "$pumice" train tiny.json --set output_dir=killed --resume >killed.out 2>killed.err &
    pid=$!
    # while it loads, steps, saves; later rounds get longer so that the test ends on slow machines too
    sleep "$(awk -v r="$rounds" -v s="$(date +%N)" 'BEGIN { srand(s + r); print 0.05 + rand() * (1 + r * 0.6) }')"
    if kill -9 "$pid" 2>/dev/null; then kills=$((kills + 1)); fi
    wait "$pid" 2>/dev/null || true
done
echo "killed $kills times"

steps() { grep '"loss"' "$1/log.jsonl" | grep -v '"eval"' | sed 's/.*"step":\([0-9]*\),.*"hash":"\([0-9a-f]*\)".*/\1 \2/'; }
steps whole >whole.steps
steps killed >killed.steps
if ! cmp -s whole.steps killed.steps; then
    echo "FAILED: the logs differ"
    diff whole.steps killed.steps | head
    failed=1
fi
check "same model" cmp whole/model.safetensors killed/model.safetensors
check "same manifests" cmp whole/manifest-2-general.jsonl killed/manifest-2-general.jsonl
check "no leftovers" test -z "$(find killed -name '*.tmp')"

# ctrl-C in the middle
"$pumice" train tiny.json --set output_dir=stopped num_train_epochs=40 >/dev/null 2>stopped.err &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    sleep 0.5
    if [ -s stopped/log.jsonl ]; then break; fi
done
kill -INT "$pid"
status=0
wait "$pid" || status=$?
if [ "$status" != 130 ]; then
    echo "FAILED: ctrl-C gave status $status"
    cat stopped.err
    failed=1
fi
check "a checkpoint after ctrl-C" sh -c 'ls -d stopped/checkpoint-*'
says "another run's folder" 1 "another" "$pumice" train tiny.json --set output_dir=whole
says "a changed key" 1 "learning_rate" "$pumice" train tiny.json --set output_dir=stopped num_train_epochs=40 learning_rate=1 --resume
exit "$failed"
