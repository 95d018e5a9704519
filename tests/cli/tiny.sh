# SPDX-License-Identifier: MIT
#
# tiny.sh: for tests of the program: a folder of its own ($work), small data sets, a config of a tiny model from random
# weights. Sourced with the build folder as $1.
set -eu
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pumice=$build/pumice
failed=0
export XDG_CACHE_HOME="$work/cache"

check() { # check WHAT COMMAND...: the command must succeed
    what=$1
    shift
    if ! "$@" >/dev/null 2>&1; then
        echo "FAILED: $what"
        failed=1
    fi
}

says() { # says WHAT STATUS PART COMMAND...: exit status and a part of its messages
    what=$1 want=$2 part=$3
    shift 3
    got=0
    "$@" >"$work/out" 2>"$work/err" || got=$?
    if [ "$got" != "$want" ] || ! grep -qF -- "$part" "$work/err" "$work/out"; then
        echo "FAILED: $what: status $got, want $want; wanted \"$part\" in:"
        cat "$work/err"
        failed=1
    fi
}

# survives FOLDER OVERRIDE...: a run of tiny.json there that is killed with -9 at random instants and resumed, in the end, has the
# bits of one that is not stopped, in FOLDER-whole. A run that ends before any kill hit it is made again and killed sooner.
survives() {
    folder=$1
    shift
    "$pumice" train tiny.json --set "output_dir=$folder-whole" "$@" >/dev/null 2>whole.err || { cat whole.err; exit 1; }
    kills=0 rounds=0 most=1
    while [ ! -f "$folder/model.safetensors" ]; do
        rounds=$((rounds + 1))
        [ "$rounds" -le 40 ] || { echo "FAILED: no end after 40 rounds and $kills kills"; cat killed.err; exit 1; }
        "$pumice" train tiny.json --set "output_dir=$folder" "$@" --resume >killed.out 2>killed.err &
        pid=$!
        # while it loads, steps, saves; later rounds get longer so that the test ends on slow machines too
        sleep "$(awk -v r="$rounds" -v s="$(date +%N)" -v most="$most" 'BEGIN { srand(s + r); print most * (0.05 + rand() * (1 + r * 0.6)) }')"
        kill -9 "$pid" 2>/dev/null || true
        ended=0
        wait "$pid" 2>/dev/null || ended=$?
        if [ "$ended" = 137 ]; then # else it had ended by itself: a signal to what nobody has waited for yet succeeds too
            kills=$((kills + 1))
        elif [ "$kills" = 0 ]; then
            rm -rf "$folder"
            most=$(awk -v most="$most" 'BEGIN { print most / 2 }')
        fi
    done
    echo "killed $kills times"
    for run in "$folder" "$folder-whole"; do
        grep '"loss"' "$run/log.jsonl" | grep -v '"eval"' | sed 's/.*"step":\([0-9]*\),.*"hash":"\([0-9a-f]*\)".*/\1 \2/' >"$run.steps"
    done
    if ! cmp -s "$folder.steps" "$folder-whole.steps"; then
        echo "FAILED: the logs differ"
        diff "$folder.steps" "$folder-whole.steps" | head
        failed=1
    fi
    check "same model" cmp "$folder/model.safetensors" "$folder-whole/model.safetensors"
    check "same manifests" cmp "$folder/manifest-2-general.jsonl" "$folder-whole/manifest-2-general.jsonl"
}

"$build/demo-data" --train 12 --test 6 "$work/data" >/dev/null 2>&1
cat >"$work/tiny.json" <<END
{
  "init": { "architectures": ["LlamaForCausalLM"], "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3,
            "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 96, "max_position_embeddings": 512,
            "tie_word_embeddings": true, "tokenizer": "bytes" },
  "output_dir": "run",
  "sources": { "math": "data/math.jsonl", "code": "data/code.jsonl", "general": "data/general.jsonl" },
  "strategy": "dmt", "specialized": ["code", "math"], "general": ["general"], "dmt_k": 0.25,
  "num_train_epochs": 2, "train_batch_size": 4, "max_length": 300, "learning_rate": 1e-3, "save_total_limit": 2,
  "save_strategy": "steps", "save_steps": 3, "dropout": 0.1
}
END
