#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Reports of real runs: their numbers are those of the logs, runs that are going or broken off are shown as far as they
# went, nothing of others is overwritten.
. "$(dirname "$0")/tiny.sh"
. "$(dirname "$0")/fake_runs.sh"
cd "$work"

train() { # train FOLDER SETTING...
    folder=$1
    shift
    "$pumice" train tiny.json --set output_dir="$folder" num_train_epochs=1 eval_strategy=epoch \
        'eval={"math":{"path":"data/math_test.jsonl","metric":"exact"},"code":{"path":"data/code_test.jsonl"}}' "$@" \
        >/dev/null 2>"$work/train.err" || { cat "$work/train.err"; exit 1; }
}
train runs/dmt-1 seed=1
train runs/dmt-2 seed=2 save_strategy=no save_steps=0
train runs/mixed-1 seed=1 strategy=mixed_sequential save_strategy=no save_steps=0

# one run
says "one run" 0 "runs/dmt-1/report.html" "$pumice" report runs/dmt-1
check "says nothing else" test ! -s err
check "a whole page" grep -q '</html>' runs/dmt-1/report.html
says "again: its own page is replaced" 0 "runs/dmt-1/report.html" "$pumice" report runs/dmt-1/
cat runs/dmt-1/checkpoint-*/pumice_state.json | tr -d '[:space:]' | grep -o '"digests":\[[^]]*\]' >digests
"$pumice" report runs/dmt-1 --json >one.json 2>/dev/null
for hash in $(sed 's/.*"manifests":\[\([^]]*\)\].*/\1/' one.json | grep -o '"hash":"[0-9a-f]*"' | cut -d: -f2); do
    check "the manifest's hash $hash is the checkpoint's" grep -qF "$hash" digests
done

# several: the log's numbers, added up by other means
"$pumice" report runs --output all.html --json --title 'a & b' >all.json 2>all.err || { cat all.err; failed=1; }
check "the title" grep -qF '<title>a &amp; b</title>' all.html
check "two settings" grep -qF '"setting":"mixed_sequential"' all.json
check "seeds make one setting" grep -qF '"setting":"dmt, k=1/4","ability":"math","so_far":false,"score":{"mean":' all.json
check "over two runs" sh -c 'grep -o "\"setting\":\"dmt, k=1/4\",\"ability\":\"math\"[^}]*}" all.json | grep -qF "\"n\":2"'
mean=$(for run in dmt-1 dmt-2; do grep '"eval"' runs/$run/log.jsonl | tail -n 1; done |
    sed 's/.*"code":{"loss":\([0-9.e+-]*\).*/\1/' | awk '{ s += $1 } END { printf "%.6f", s / NR }')
got=$(grep -o '"setting":"dmt, k=1/4","ability":"code","so_far":false,"score":{[^}]*},"loss":{"mean":[0-9.e+-]*' all.json |
    sed 's/.*"mean"://' | awk '{ printf "%.6f", $1 }')
[ "$mean" = "$got" ] || { echo "FAILED: the mean of the code losses is $mean, the report says $got"; failed=1; }
for source in math code general; do
    tokens=$(grep '"stage":"general"' runs/dmt-2/log.jsonl | grep -o "\"$source\":{\"conversations\":[0-9]*,\"tokens\":[0-9]*" |
        awk -F: '{ s += $NF } END { print s + 0 }')
    got=$(grep -o '"run":"dmt-2","stage":"general","source":"'$source'","asked":{[^}]*},"realised":{[^}]*}' all.json)
    asked=$(echo "$got" | sed 's/.*"asked":{"rows":[0-9]*,"tokens":\([0-9]*\).*/\1/')
    realised=$(echo "$got" | sed 's/.*"realised":{"rows":[0-9]*,"tokens":\([0-9]*\).*/\1/')
    # One epoch trains on what was asked, to the token.
    if [ "$tokens" != "$realised" ] || [ "$asked" != "$realised" ] || [ "$tokens" = 0 ]; then
        echo "FAILED: $source: $tokens tokens in the log, $asked asked, $realised realised in the report"
        failed=1
    fi
done

# a run that is there twice
cp -r runs/dmt-1 runs/dmt-3
says "a copied run counts once" 0 "dmt-3: is the same run as dmt-1" "$pumice" report runs --output twice.html --json
check "over two runs" sh -c 'grep -o "\"setting\":\"dmt, k=1/4\",\"ability\":\"math\"[^}]*}" out | grep -qF "\"n\":2"'
check "the page says so" grep -q 'dmt-3: is the same run as dmt-1' twice.html
check "and lists it" grep -q '"copy_of":"dmt-1"' out
rm -r runs/dmt-3

# bad input
says "no run" 1 "data: is no run" "$pumice" report data
says "a file" 1 "data/math.jsonl: is a file, not a folder" "$pumice" report data/math.jsonl
says "no folder" 1 "nowhere: there is no such folder" "$pumice" report nowhere
says "no run among others" 1 "data: is no run" "$pumice" report runs/dmt-1 data --output x.html
check "and nothing is written" test ! -e x.html
says "several without --output" 2 "--output" "$pumice" report runs/dmt-1 runs/dmt-2
says "no folder named" 2 "missing" "$pumice" report
says "a flag that is none" 2 "did you mean --output" "$pumice" report runs --outptu x
echo "mine" >mine.html
says "someone else's file" 1 "mine.html: is there and is no report of ours" "$pumice" report runs --output mine.html
check "which stays" grep -q mine mine.html
says "a folder in the way" 1 "is a folder" "$pumice" report runs --output data
says "nowhere to write" 1 "no/such/folder" "$pumice" report runs --output no/such/folder.html
says "help" 0 "example: pumice report" "$pumice" report --help

# without gnuplot: the tables, and a sentence
mkdir -p bin
says "no gnuplot" 0 "gnuplot is not installed" env PATH="$work/bin" "$pumice" report runs --output bare.html
check "the page says so" grep -q 'There are no pictures: gnuplot is not installed' bare.html
check "and has its tables" grep -q '<h2 id="abilities">' bare.html
if command -v gnuplot >/dev/null; then check "with it there are pictures" grep -q '<svg ' all.html; fi

# going, broken off, torn
"$pumice" train tiny.json --set output_dir=runs/going num_train_epochs=400 >/dev/null 2>going.err &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    sleep 0.5
    if [ -s runs/going/log.jsonl ]; then break; fi
done
says "a run that is going" 0 "is still going: step" "$pumice" report runs/going
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
printf '{"step":99999,"sta' >>runs/going/log.jsonl
says "a run that was broken off" 0 "broken off" "$pumice" report runs/going --output going.html
says "half a line" 0 "half a line" "$pumice" report runs/going --output going.html
mkdir -p fresh && cp runs/dmt-1/pumice_config.json fresh/
says "a run that has not begun" 0 "has not begun" "$pumice" report fresh
says "a run that begins" 0 "is still going" flock fresh/.lock "$pumice" report fresh
check "of which nothing else is said" sh -c '! grep -q "not begun" out err'

# many
for i in $(seq 1 33); do
    for seed in 1 2 3; do fake_run "many/$i-$seed" dmt "$(awk -v i="$i" 'BEGIN { print 1 / i }')" $seed 12; done
done
says "99 runs" 0 "many.html" "$pumice" report many --output many.html
check "33 settings" test "$(grep -c '<details><summary>dmt, k=\|<details><summary>k=' many.html)" = 33
exit "$failed"
