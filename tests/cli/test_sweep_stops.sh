#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A sweep that is stopped: killed at any instant it goes on to the same bits; ctrl-C leaves a checkpoint; a run that cannot be
# made is named while the others are. Another grid in the same folder leaves the runs of the one before in the results.
. "$(dirname "$0")/tiny.sh"
cd "$work"

for seed in 2 3; do
    "$pumice" train tiny.json --set "seed=$seed" "output_dir=seed$seed" max_steps=3 >/dev/null 2>alone.err || { cat alone.err; exit 1; }
done
steps() { sed -n 's/.*"step":\([0-9]*\),.*"hash":"\([0-9a-f]*\)".*/\1 \2/p' "$1/log.jsonl"; }
sweep() { "$pumice" sweep tiny.json --set output_dir=grid max_steps=3 save_steps=2 --axis "$@"; }

# killed at any instant
rounds=0 kills=0 status=1
while [ "$status" != 0 ]; do
    rounds=$((rounds + 1))
    [ "$rounds" -le 60 ] || { echo "FAILED: no end after $rounds rounds"; exit 1; }
    sweep seed=2,3 >killed.out 2>killed.err &
    pid=$!
    sleep "$(awk -v r="$rounds" -v s="$(date +%N)" 'BEGIN { srand(s + r); print 0.1 + rand() * r / 2 }')"
    if kill -9 "$pid" 2>/dev/null; then kills=$((kills + 1)); fi
    status=0
    wait "$pid" 2>/dev/null || status=$?
done
echo "killed $kills times"
for seed in 2 3; do
    steps "seed$seed" >want
    steps "grid/seed=$seed" >got
    check "the same steps after kills, seed $seed" cmp want got
    check "the same model, seed $seed" cmp "seed$seed/model.safetensors" "grid/seed=$seed/model.safetensors"
    check "the same rows, seed $seed" cmp "seed$seed/manifest-2-general.jsonl" "grid/seed=$seed/manifest-2-general.jsonl"
done
check "no leftovers" test -z "$(find grid -name '*.tmp')"

# another grid in the same folder
says "another value" 0 "2 runs of earlier grids among them" sweep seed=4
check "adds to what is known" test "$(sed 's/,.*,/ /; s/"//g' grid/results.csv | xargs)" = "run asked seed=4 true seed=2 false seed=3 false"
says "a report has all" 0 "3 runs in 1 setting" sh -c '"$1" report grid >/dev/null && cat grid/report.html' - "$pumice"

# ctrl-C in the middle, and a run that cannot be made
mkdir -p stopped/seed=1 && echo keep >stopped/seed=1/model.safetensors
set -- "$pumice" sweep tiny.json --axis seed=1,2 --set output_dir=stopped num_train_epochs=40
"$@" >/dev/null 2>stopped.err &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    sleep 0.5
    if [ -s stopped/seed=2/log.jsonl ]; then break; fi
done
kill -INT "$pid"
status=0
wait "$pid" || status=$?
check "ctrl-C gives 130" test "$status" = 130
check "and leaves a checkpoint" sh -c 'ls -d stopped/seed=2/checkpoint-*'
check "a run that cannot be made is named" grep -q "run seed=1 failed: .*holds a model" stopped.err
check "and its folder left alone" grep -q keep stopped/seed=1/model.safetensors
says "what the list says then" 0 "failed   seed=1" "$@" --list
says "of the other" 0 "begun    seed=2" "$@" --list
exit "$failed"
