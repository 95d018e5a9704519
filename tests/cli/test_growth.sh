#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The ten small abilities and the configs that use them: the same files every time, right answers, nothing tested that is
# trained; volumes, compositions and shares as planned; a checkpoint and an evaluation each epoch, with scores and chance.
. "$(dirname "$0")/tiny.sh"
repository=$(cd "$(dirname "$0")/../.." && pwd)
cd "$work"
data=runs/abilities-data
names='role letter category plural sequence compare logic add sort reverse'

same() { # same WHAT WANT GOT
    [ "$2" = "$3" ] && return
    echo "FAILED: $1: got $3, want $2"
    failed=1
}

# ---- the data
check "the data are written" "$build/abilities-data" $data
"$build/abilities-data" again
check "twice the same" diff -r $data again
"$build/abilities-data" --seed 43 other
! cmp -s other/add.jsonl $data/add.jsonl || { echo "FAILED: another seed gives the same"; failed=1; }
says "too many rows" 1 "ask for fewer rows" "$build/abilities-data" --train 3000 other
says "no folder" 2 "usage" "$build/abilities-data"
says "no number" 2 "--train" "$build/abilities-data" --train many other
same "rows to train on" "1000 1000 1000 1042 1500 2000 2500 2000 4000 4000" \
    "$(for n in $names; do wc -l <$data/$n.jsonl; done | xargs)"
same "rows of the base" "10000 200" "$(wc -l <$data/base.jsonl) $(wc -l <$data/base_valid.jsonl)"
question='s/.*"user","content":"\([^"]*\)".*/\1/p' answer='s/.*"assistant","content":"\([^"]*\)".*/\1/p'
for n in $names; do
    same "rows of $n held out" "100 100" "$(wc -l <$data/${n}_test.jsonl) $(wc -l <$data/${n}_valid.jsonl)"
    cat $data/$n.jsonl $data/${n}_test.jsonl $data/${n}_valid.jsonl | sed -n "$question" | sort | uniq -d >twice
    same "questions of $n that are there twice" "" "$(head -n 1 twice)"
done
wrong() { # wrong NAME PROGRAM: prints what awk's PROGRAM, given question and answer, finds wrong
    cat $data/$1.jsonl $data/$1_test.jsonl >all
    sed -n "$question" all >questions
    sed -n "$answer" all | paste questions - | awk -F '\t' "$2" | head -n 1
}
same "a sum" "" "$(wrong add '{ split($1, n, /[+=]/); if (n[1] + n[2] != $2) print }')"
same "a sequence" "" "$(wrong sequence '{ split($1, n, " "); if (2 * n[3] - n[2] != $2 || n[3] - n[2] != n[2] - n[1]) print }')"
same "a comparison" "" \
    "$(wrong compare '{ split($1, n, /[ ,]/); t = n[2] == ">" ? n[1] + 0 > n[3] + 0 : n[1] + 0 < n[3] + 0
        if ((t ? "true" : "false") != $2) print }')"
same "a conclusion" "" "$(wrong logic '{ gsub(/[.?]/, "", $1); split($1, w, " ")
    if (w[4] != w[6] || (w[2] == w[10] && w[8] == w[12] ? "yes" : "no") != $2) print }')"
same "a reversed word" "" "$(wrong reverse '{ w = substr($1, 9, 4); r = ""; for (i = 4; i; i--) r = r substr(w, i, 1)
    if (r != $2) print }')"
same "a sorted word" "" "$(wrong sort '{ w = substr($1, 6, 4); ok = length($2) == 4
    for (i = 1; i <= 4; i++) ok = ok && index($2, substr(w, i, 1)) && (i == 1 || substr($2, i, 1) > substr($2, i - 1, 1))
    if (!ok) print }')"

# ---- the configs, on a model of random weights
mkdir configs
for c in growth growth-compositions code-share repeat; do cp "$repository/configs/$c.json" configs; done
init='init={"architectures":["LlamaForCausalLM"],"hidden_size":48,"num_hidden_layers":2,"num_attention_heads":3,"intermediate_size":96,"max_position_embeddings":256,"tie_word_embeddings":true,"tokenizer":"bytes"}'
counts() { # counts CONFIG SET...: rows of every source
    config=$1
    shift
    "$pumice" plan "configs/$config.json" --json --set sweep=null model_name_or_path=null "$init" eval=null "$@" 2>err |
        tr '{' '\n' | sed -n 's/.*"available":[0-9]*,"rows":\([0-9]*\),.*/\1/p' | xargs
}
for volume in 10:1 40:4 160:16 640:64 2560:256 10000:1000; do
    each=${volume#*:}
    same "volume $volume" "$(for n in $names; do echo "$each"; done | xargs)" "$(counts growth mix_rows=${volume%:*})"
done
caps='stages.0.mix.role={"at_most":64} stages.0.mix.letter={"at_most":64} stages.0.mix.category={"at_most":1000}'
# shellcheck disable=SC2086 # caps are words
{
    same "baseline" "1000 1000 1000 1000 1000 1000 1000 1000 1000 1000" "$(counts growth-compositions mix_rows=10000)"
    # 10000 - 64 - 64 - 1000 - 1042 = 7830 = 6 * 1305
    same "reconstruct" "64 64 1000 1042 1305 1305 1305 1305 1305 1305" "$(counts growth-compositions mix_rows=10000 $caps)"
    same "maximum" "64 64 1000 1042 1500 2000 2500 2000 4000 4000" "$(counts growth-compositions $caps)"
}
for share in 0:0:4000 0.25:1000:3000 0.5:2000:2000 1:4000:0; do
    same "share of code" "$(echo "${share#*:}" | tr : ' ')" "$(counts code-share "stages.0.mix.code.share=${share%%:*}")"
done
says "a share without so many rows" 1 "asks for 9000 rows of source \"code\" (the share 1 of mix_rows), which has 8000" \
    "$pumice" plan configs/code-share.json --set sweep=null model_name_or_path=null "$init" stages.0.mix_rows=9000 stages.0.mix.code.share=1
says "mix_rows without so many rows" 1 "is to draw 30000 rows (mix_rows), but its sources give 20042 at most" \
    "$pumice" plan configs/growth.json --set sweep=null model_name_or_path=null "$init" mix_rows=30000
same "runs of a sweep" "6 3 4 15" "$(for c in growth growth-compositions code-share; do
    "$pumice" sweep configs/$c.json --list --set model_name_or_path=null "$init" 2>err | wc -l
done | xargs) $("$pumice" sweep configs/repeat.json --list 2>err | wc -l)"
for run in 8192:1 512:16 128:64; do
    steps=$("$pumice" plan configs/repeat.json --json --set sweep=null "sources.text.max_rows=${run%:*}" "num_train_epochs=${run#*:}" 2>err |
        sed -n 's/.*"steps":\([0-9]*\),.*/\1/p')
    same "steps of $run" 256 "$steps"
done
says "a metric that does not fit" 1 'eval sort: sort: none of its 100 rows can be scored; the first: '$work/$data/sort_valid.jsonl':1: it has no messages with "choices"' \
    "$pumice" plan configs/growth.json --set sweep=null model_name_or_path=null "$init" eval.sort.metric=choice

# ---- a run: a checkpoint and an evaluation each epoch
few=$(for n in $names; do echo "eval.$n.max_rows=8"; done)
# shellcheck disable=SC2086 # few is words
check "a run" "$pumice" train configs/growth.json --set sweep=null model_name_or_path=null "$init" mix_rows=40 num_train_epochs=3 \
    train_batch_size=16 $few
same "checkpoints" "checkpoint-3 checkpoint-6 checkpoint-9" "$(cd runs/growth && echo checkpoint-*)"
grep '"eval":' runs/growth/log.jsonl >evals || true
same "evaluations" "0 3 6 9" "$(sed 's/{"step":\([0-9]*\),.*/\1/' evals | xargs)"
for n in role:0.3333333333333333 letter:0.3333333333333333 category:0.25 compare:0.5 logic:0.5; do
    same "chance of ${n%:*}" 4 "$(grep -cE "\"${n%:*}\":\{\"loss\":[0-9.]+,\"score\":[0-9.e-]+,\"chance\":${n#*:}\}" evals)"
done
for n in plural sequence add sort reverse; do
    same "score of $n" 4 "$(grep -cE "\"$n\":\{\"loss\":[0-9.]+,\"score\":[0-9.e-]+\}" evals)"
done
rates=$(sed -n 's/.*"learning_rate":\([^,]*\),.*/\1/p' runs/growth/log.jsonl | awk '{ printf "%s%.6g", s, $1; s = " " }')
same "rates" "0.001 0.0009 0.0008 0.0007 0.0006 0.0005 0.0004 0.0003 0.0002" "$rates"
# shellcheck disable=SC2086 # few is words
says "other abilities would draw other rows" 1 "have changed since the run began" "$pumice" train configs/growth.json --resume \
    --set sweep=null model_name_or_path=null "$init" mix_rows=40 num_train_epochs=3 train_batch_size=16 \
    $few sources.role.ability=letter
says "a score with its chance" 0 '"chance":0.5' "$pumice" score --model runs/growth --data $data/logic_test.jsonl --max-rows 6 \
    --metric true_false --max-new-tokens 4 --chat-template none --json
says "no such metric" 2 "did you mean true_false" "$pumice" score --model runs/growth --data $data/logic_test.jsonl --metric true_fals
exit $failed
