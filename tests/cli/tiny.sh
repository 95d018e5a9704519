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
