#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A sweep's runs are those of `pumice train`, to the bit, whatever they share with the runs before them; finished ones are
# skipped, broken ones go on, failed ones are named while the others are made; what is wrong is found before anything runs.
. "$(dirname "$0")/tiny.sh"
cd "$work"

sed -e 's/"output_dir": "run"/"output_dir": "grid"/' -e 's/"save_steps": 3/"save_steps": 2/' tiny.json | sed '$d' >grid.json
cat >>grid.json <<'END'
  , "max_steps": 3, "eval": { "math": { "path": "data/math_test.jsonl", "metric": "numeric", "max_new_tokens": 4 }, "code": "data/code_test.jsonl" },
  "sweep": { "why": "the first run diverges: what it leaves in shared memory must not reach those after it",
             "rate": { "too much": { "learning_rate": 1e6, "weight_decay": 1e6 }, "dmt": {}, "mixed": { "strategy": "mixed_sequential", "dropout": 0 } },
             "seed": [2] }
}
END
hashes() { grep -h '"hash"' "$1/log.jsonl" | sed 's/.*"step":\([0-9]*\),.*"hash":"\([0-9a-f]*\)".*/\1 \2/'; }
same() { # same A B: the same run, as far as bits go
    hashes "$1" >a.steps
    hashes "$2" >b.steps
    grep -h '"eval"' "$1/log.jsonl" >a.evals
    grep -h '"eval"' "$2/log.jsonl" >b.evals
    cmp a.steps b.steps && cmp a.evals b.evals && cmp "$1/model.safetensors" "$2/model.safetensors" &&
        cmp "$1/manifest-2-general.jsonl" "$2/manifest-2-general.jsonl"
}

# what is wrong is found first
says "a sweep is no run" 1 "pumice sweep" "$pumice" train grid.json
says "but its base is one" 0 "stage" "$pumice" plan grid.json --set sweep=null
says "no sweep" 1 'holds no "sweep"' "$pumice" sweep tiny.json
says "a key that does not exist" 1 'did you mean "dmt_k"' "$pumice" sweep grid.json --axis dmt_q=0,1
says "a source that does not exist" 1 'did you mean "math"' "$pumice" sweep grid.json --axis sources.mth.max_rows=1,2
says "a wrong value names its run" 1 "run rate=too-much,seed=2,adam_beta1=2" "$pumice" sweep grid.json --axis adam_beta1=0,2
says "an axis without values" 1 "has no values" "$pumice" sweep grid.json --axis seed=
says "the same run twice" 1 "two runs" "$pumice" sweep grid.json --axis seed=1,1
says "missing data of one run" 1 "data/no.jsonl" "$pumice" sweep grid.json --axis sources.math.path=data/math.jsonl,data/no.jsonl
says "too few rows in one run" 1 "seed=1,stages.0.mix.math=rows-99" "$pumice" sweep grid.json --set strategy=null specialized=null general=null \
    dmt_k=null 'stages=[{"name":"a","mix":{"math":1}}]' 'sweep={"seed":[1]}' --axis 'stages.0.mix.math=1,{"rows":99}'
check "and nothing was made" test ! -e grid
says "the list" 0 "waiting  rate=dmt,seed=2  {\"seed\":2}" "$pumice" sweep grid.json --list

# the runs
says "a run that diverges is named" 1 "1 of 3 runs failed: rate=too-much,seed=2: it diverged" "$pumice" sweep grid.json
check "the others are done" test "$(grep -c '^"rate=.*,done,' grid/results.csv)" = 4
tr -d ' \n\t' <grid/results.json >results.flat
check "results as JSON" grep -qF '{"name":"rate=mixed,seed=2","axes":{"rate":"mixed","seed":2},"asked":true,"state":"done","seconds":' results.flat
"$pumice" train grid.json --set sweep=null output_dir=alone seed=2 >/dev/null 2>alone.err || { cat alone.err; exit 1; }
check "the same run as train's" same grid/rate=dmt,seed=2 alone
"$pumice" train grid/rate=mixed,seed=2/pumice_config.json --set "output_dir=$work/mixed" >/dev/null 2>mixed.err || { cat mixed.err; exit 1; }
check "its config is one that train takes" same grid/rate=mixed,seed=2 mixed

# again: nothing is made
touch before
says "a second call" 1 "3 runs, 2 finished, 1 failed, in " "$pumice" sweep grid.json
check "without a score of what diverged" sh -c 'grep "^rate=too-much\|^\"rate=too-much" grid/results.csv >lost.csv && ! grep -q ",failed,[0-9]*,[a-z]*,,[0-9]" lost.csv'
check "and with those of the others" grep -q '^"rate=dmt.*,done,[0-9]*,[a-z]*,[0-9.]*,[0-9]' grid/results.csv
check "nor in the table" sh -c 'grep "^too much" out && ! grep "^too much.*%" out'
check "which makes nothing" test -z "$(find grid -name log.jsonl -newer before)"
says "more values" 0 "2 runs, 1 finished" "$pumice" sweep grid.json --axis seed=2,3 --set 'sweep.rate={"dmt":{}}' --json
check "make only the new run" test "$(find grid -name log.jsonl -newer before)" = grid/rate=dmt,seed=3/log.jsonl
says "another base" 1 "run rate=dmt,seed=2: " "$pumice" sweep grid.json --set 'sweep.rate={"dmt":{}}' train_batch_size=3
mv grid/rate=dmt,seed=2/model.safetensors kept
says "a model that was taken away" 1 "run rate=dmt,seed=2: is finished, but its model.safetensors is gone" "$pumice" sweep grid.json
says "which the list says" 0 "lost     rate=dmt,seed=2" "$pumice" sweep grid.json --list
mv kept grid/rate=dmt,seed=2/model.safetensors
says "other rows" 1 "data of stage" sh -c 'cp data/math.jsonl saved; sed 1d saved >data/math.jsonl; "$@"' - "$pumice" sweep grid.json --set \
    'sweep.rate={"dmt":{}}'
cp saved data/math.jsonl

# what a run began from
cp -r alone base
based() { "$pumice" sweep grid.json --set init=null model_name_or_path=base output_dir=based 'sweep={"seed":[1]}' max_steps=1 eval=null "$@"; }
says "a sweep from a model" 0 "1 run, 0 finished" based
cp mixed/model.safetensors base/model.safetensors
says "another model of that name" 1 "run seed=1: " based --axis seed=1,2
says "and which" 1 "began with another model than the one at $(pwd -P)/base now" based --axis seed=1,2
check "nothing is made of it" test ! -e based/seed=2
says "nor does a run go on" 1 "began with another model" "$pumice" train based/seed=1/pumice_config.json --resume
grep -v '"model"' based/seed=1/pumice_plan.json >older
sed '$!N; s/,\n}$/\n}/; P; D' older >based/seed=1/pumice_plan.json
says "runs of older versions do" 0 "2 runs, 1 finished" based --axis seed=1,2
says "on --resume too" 0 "going on after step" "$pumice" train based/seed=1/pumice_config.json --resume
cp alone/model.safetensors base/model.safetensors

says "a folder of a run" 1 "another output_dir" "$pumice" sweep grid.json --set output_dir=alone
exit "$failed"
