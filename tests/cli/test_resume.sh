#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A run that is killed with -9 at random instants and resumed gives the same bits as one that was never stopped: the same
# hashes in the log, every step once, the same model. Ctrl-C saves and exits 130.
. "$(dirname "$0")/tiny.sh"
cd "$work"

survives killed
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
# ctrl-C while all is made ready: before the first step. Which of both a signal meets is chance: some of these it does.
before=no
for i in 1 2 3 4 5 6 7 8; do
    rm -rf early
    XDG_CACHE_HOME="$work/none$i" "$pumice" train tiny.json --set output_dir=early num_train_epochs=400 >/dev/null 2>early.err &
    pid=$!
    while ! grep -q 'are checked first' early.err && kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
    kill -INT "$pid"
    status=0
    wait "$pid" || status=$?
    [ "$status" = 130 ] || { echo "FAILED: early ctrl-C gave status $status"; cat early.err; failed=1; }
    if grep -q 'interrupted before step 1' early.err; then before=yes && break; fi
done
check "ctrl-C before the first step" test $before = yes
check "nothing was trained" sh -c '! ls -d early/checkpoint-*'
says "starts afresh" 0 "starts afresh" "$pumice" train tiny.json --set output_dir=early --resume

says "another run's folder" 1 "another" "$pumice" train tiny.json --set output_dir=killed-whole
says "a changed key" 1 "learning_rate" "$pumice" train tiny.json --set output_dir=stopped num_train_epochs=40 learning_rate=1 --resume
exit "$failed"
