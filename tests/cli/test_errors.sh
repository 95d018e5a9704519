#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Bad input: each a sentence that names what, where and what to try, exit status 1 (2 for wrong usage), nothing half written.
. "$(dirname "$0")/tiny.sh"
cd "$work"

# usage
says "no command" 2 "usage" "$pumice"
says "unknown command" 2 "did you mean train" "$pumice" trian
says "unknown flag" 2 "did you mean --device" "$pumice" train tiny.json --devcie 0
says "no config" 2 "missing" "$pumice" train
says "a key without a value" 2 "--set wants KEY=VALUE" "$pumice" plan tiny.json --set seed=1 dmt_k
says "an axis without values" 2 "--axis wants KEY=V" "$pumice" sweep tiny.json --axis seed
says "help" 0 "example: pumice plan" "$pumice" plan --help
says "the keys of a config" 0 "  learning_rate *: number from 0 [2e-5]" "$pumice" plan --keys
check "and what they mean" grep -qx "      peak rate" out
says "no config to plan" 2 "missing" "$pumice" plan
says "where the keys are" 0 "pumice plan --keys" "$pumice" train --help
for long in train sweep eval score generate bench diff "select memory"; do
    # shellcheck disable=SC2086
    says "$long at full speed" 0 "--full-speed" "$pumice" $long --help
done

# config
says "missing config" 1 "nothing.json" "$pumice" plan nothing.json
printf '{\n  "output_dir": "x",\n  "seed": ,\n}' >broken.json
says "broken JSON" 1 "broken.json:3:" "$pumice" plan broken.json
says "unknown key" 1 "learning_rate" "$pumice" plan tiny.json --set learning_rat=1
says "unknown value" 1 "cosine" "$pumice" plan tiny.json --set lr_scheduler_type=cosin
says "out of range" 1 "train_batch_size" "$pumice" plan tiny.json --set train_batch_size=0
says "unknown source" 1 "maths" "$pumice" plan tiny.json --set 'specialized=["code","maths"]'

says "a slip in init" 1 "hidden_size" "$pumice" plan tiny.json --set init.hiden_size=8

# data
says "missing data" 1 "data/nothing.jsonl" "$pumice" plan tiny.json --set sources.math.path=data/nothing.jsonl
check "of a config without a why" sh -c '! grep -q why err'
sed '1s/{/{ "why": "first make the data", /' tiny.json >explained.json
says "missing data with a why" 1 'nothing.jsonl: cannot be opened (No such file or directory); the "why" in explained.json may say how it is made' \
    "$pumice" plan explained.json --set sources.math.path=data/nothing.jsonl
says "a missing model with a why" 1 'fetches a small one); the "why" in explained.json may say' "$pumice" plan explained.json \
    --set init=null model_name_or_path=nowhere
printf '{"messages":[{"role":"user","content":"hello"}]}\n' >data/silent.jsonl
says "nothing to train" 1 "silent.jsonl:1" "$pumice" plan tiny.json --set sources.math.path=data/silent.jsonl
: >data/empty.jsonl
says "an empty file" 1 "empty.jsonl" "$pumice" plan tiny.json --set sources.math.path=data/empty.jsonl
{ cat data/math.jsonl; echo '{"messages": [}'; } >data/one.jsonl
says "a broken row is skipped and named" 0 "one.jsonl:13" "$pumice" plan tiny.json --set sources.math.path=data/one.jsonl
says "strict stops at it" 1 "one.jsonl:13" "$pumice" plan tiny.json --set sources.math.path=data/one.jsonl strict=true
says "too long rows" 1 "max_length" "$pumice" plan tiny.json --set max_length=8
says "a replay of less than a row" 0 "stage general: nothing of math is drawn: 0.05 of its 12 rows is less than one row" "$pumice" plan tiny.json \
    --set dmt_k=0.05 --json
for few in '1:mix_rows, 2, leaves no row for it' '{"share":0.4}:0.4 of mix_rows, 2, is less than one row'; do
    says "few rows: $few" 0 "stage a: nothing of general is drawn: ${few##*:}" "$pumice" plan tiny.json --set \
        "stages=[{\"name\":\"a\",\"mix\":{\"math\":1,\"code\":1,\"general\":${few%:*}},\"mix_rows\":2}]" \
        strategy=null specialized=null general=null dmt_k=null
done
says "nothing is said of a replay" 0 "general" "$pumice" plan tiny.json
check "that is one" test ! -s err
says "more rows than there are" 1 "12" "$pumice" plan tiny.json --set \
    'stages=[{"name":"a","mix":{"math":{"rows":13}}}]' strategy=null specialized=null general=null dmt_k=null

# models
says "missing model" 1 "no such model" "$pumice" plan tiny.json --set init=null model_name_or_path=nowhere
mkdir -p bad
printf '{"architectures":["BertModel"]}' >bad/config.json
says "unknown architecture" 1 "BertModel" "$pumice" plan tiny.json --set init=null model_name_or_path=bad
"$pumice" train tiny.json --set output_dir=made max_steps=1 save_strategy=no save_steps=0 >/dev/null 2>made.err || { cat made.err; exit 1; }
cp -r made cut && head -c 60000 made/model.safetensors >cut/model.safetensors
says "truncated safetensors" 1 "cut/model.safetensors" "$pumice" eval --model cut --data data/math_test.jsonl
cp -r made lying && sed 's/"vocab_size":[^,]*/"vocab_size":300/' made/config.json >lying/config.json
says "wrong shapes" 1 "shape" "$pumice" eval --model lying --data data/math_test.jsonl
cp -r made mute && printf '{"model":{"type":"Unigram","vocab":[]}}' >mute/tokenizer.json
says "unknown tokenizer" 1 "Unigram" "$pumice" eval --model mute --data data/math_test.jsonl
printf 'GGUF\003\000\000\000' >short.gguf
says "truncated GGUF" 1 "short.gguf" "$pumice" eval --model short.gguf --data data/math_test.jsonl
says "no model at all" 1 "neither" "$pumice" eval --model data/math.jsonl --data data/math_test.jsonl

# devices
for command in devices "train tiny.json" "generate --model made --prompt x"; do
    # shellcheck disable=SC2086 # words
    says "no driver: $command" 3 "; install a Vulkan driver" env VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere "$pumice" $command
done
says "no such device" 1 "nosuchdevice" "$pumice" train tiny.json --device nosuchdevice
says "no such device to plan for" 1 "nosuchdevice" "$pumice" plan tiny.json --device nosuchdevice
says "no such precision" 1 "f32" "$pumice" train tiny.json --precision f33
says "what this version does not train" 1 "finetuning_type" "$pumice" plan tiny.json --set finetuning_type=lora
says "a model that does not fit" 1 "does not fit" "$pumice" plan tiny.json --set \
    'init={"architectures":["LlamaForCausalLM"],"hidden_size":8192,"num_hidden_layers":200,"num_attention_heads":64,"intermediate_size":28672,"tokenizer":"bytes"}' precision=f32

# a config that cannot be trained leaves no folder, which report would show as a run
for bad in strict=true micro_batch_tokens=16; do
    says "nothing to train with $bad" 1 "" "$pumice" train tiny.json --set output_dir=nothing sources.math.path=data/one.jsonl "$bad"
    check "leaves nothing with $bad" test ! -e nothing
done
mkdir nothing
says "nothing to go on with" 1 "data/nothing.jsonl" "$pumice" train tiny.json --resume --set output_dir=nothing sources.math.path=data/nothing.jsonl
check "no run in a folder that was there" test -z "$(ls nothing)"

# folders: what cannot be one is found before models and devices are looked for
for folder in data/math.jsonl data/math.jsonl/a/b; do
    says "a file as folder: $folder" 1 "$folder: cannot be a folder: $work/data/math.jsonl is a file" env VK_DRIVER_FILES=/nowhere \
        VK_ICD_FILENAMES=/nowhere "$pumice" train tiny.json --set init=null model_name_or_path=nowhere "output_dir=$folder"
done
says "a sweep's" 1 "cannot be a folder" env VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere "$pumice" sweep tiny.json \
    --axis seed=1,2 --set output_dir=data/math.jsonl/a
mkdir half && : >half/seed=2
says "one run's" 1 "run seed=2: $work/half/seed=2: cannot be a folder" "$pumice" sweep tiny.json --axis seed=1,2 --set output_dir=half
check "and the others are not begun" test ! -e half/seed=1
says "a selection's" 1 "cannot be a folder" "$pumice" select memory --model nowhere --facts x --templates x --output data/math.jsonl/a
mkdir -p taken && echo keep >taken/model.safetensors
says "a folder with other files" 1 "taken" "$pumice" train tiny.json --set output_dir=taken
check "which are left alone" grep -q keep taken/model.safetensors
says "a run that is done" 1 "output_dir" "$pumice" train tiny.json --set output_dir=made
"$pumice" train tiny.json --set output_dir=busy num_train_epochs=400 >/dev/null 2>busy.err &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    sleep 0.5
    if [ -s busy/log.jsonl ]; then break; fi
done
says "a folder in use" 1 "in use" "$pumice" train tiny.json --set output_dir=busy num_train_epochs=400 --resume
kill -9 "$pid"
wait "$pid" 2>/dev/null || true

# A full disk: a file system of 2 MiB, room for the first checkpoints but not for all. (A limit on file sizes would hit the
# software driver's own memory files.) It takes root to mount one.
mkdir full
if mount -t tmpfs -o size=2m tmpfs full 2>/dev/null; then
    trap 'umount "$work/full"; rm -rf "$work"' EXIT
    says "no room for a single model" 1 "full/large: its disk has 2.1 MB left, and 1" "$pumice" train tiny.json --set output_dir=full/large \
        init.hidden_size=96 init.intermediate_size=384
    says "no room for a sweep" 1 "full/many: its disk has" "$pumice" sweep tiny.json --set output_dir=full/many --axis seed=1,2,3,4,5
    says "no room for all checkpoints" 1 "full/run: its disk has" "$pumice" train tiny.json --set output_dir=full/run save_steps=1 save_total_limit=0
    # Somebody else fills the disk while it runs.
    ( while ! ls -d full/run/checkpoint-* >/dev/null 2>&1; do sleep 0.05; done; head -c 4000000 /dev/zero >full/filler 2>/dev/null ) &
    says "a full disk" 1 "full/" "$pumice" train tiny.json --set output_dir=full/run save_steps=1 save_total_limit=1 num_train_epochs=200
    wait
    check "and left nothing half written" test -z "$(find full -name '*.tmp' -o -path full/run/model.safetensors)"
    newest=$(ls -d full/run/checkpoint-* | sort -t- -k2 -n | tail -n 1)
    check "the newest checkpoint is whole" "$pumice" eval --model "$newest" --data data/math_test.jsonl
    rm full/filler
    # not a byte left
    head -c 4000000 /dev/zero >full/rest 2>/dev/null || true
    says "a disk without room" 1 "full/more: its disk is full" env VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere "$pumice" train \
        tiny.json --set output_dir=full/more
    mount -o remount,ro full
    says "a disk that is read only" 1 "full/more: cannot be written to: $work/full: Read-only file system" env VK_DRIVER_FILES=/nowhere \
        VK_ICD_FILENAMES=/nowhere "$pumice" train tiny.json --set output_dir=full/more
else
    echo "not root: a full disk is not tried"
fi
exit "$failed"
