# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# fake_runs.sh: folders as `pumice train` leaves them, made in no time, for tests that want many. Sourced.

# fake_run FOLDER STRATEGY K SEED STEPS: two stages of STEPS steps, sources math, code and "a<b>&c", evaluations.
fake_run() {
    mkdir -p "$1"
    cat >"$1/pumice_config.json" <<END_OF_CONFIG
{
  "output_dir": "$1", "seed": $4, "strategy": "$2", "dmt_k": $3, "specialized": ["code", "math"], "general": ["a<b>&c"],
  "sources": { "math": { "path": ["/data/math.jsonl"] }, "code": { "path": ["/data/code.jsonl"] }, "a<b>&c": { "path": ["/data/c.jsonl"] } },
  "learning_rate": 2e-05, "num_train_epochs": 3, "model_name_or_path": "/models/a-model-with-quite-a-long-name-that-does-not-break.gguf"
}
END_OF_CONFIG
    cat >"$1/pumice_plan.json" <<END_OF_PLAN
{"stages":[{"name":"specialized","rows":1300,"steps_per_epoch":10,"steps":$5,"sources":[{"name":"code","available":500,"rows":500,"tokens":35000,"trained_tokens":15000},
{"name":"math","available":800,"rows":800,"tokens":65000,"trained_tokens":35000}]},{"name":"general","rows":860,"steps_per_epoch":10,"steps":$5,
"sources":[{"name":"a<b>&c","available":860,"rows":860,"tokens":90000,"trained_tokens":60000}]}],"device":"llvmpipe (LLVM 19.1.7, 512 bits)","driver":"llvmpipe Mesa 26.1.6","precision":"f32","matmul_precision":"f32"}
END_OF_PLAN
    printf '{"state":"done","steps":%d,"hash":"%016x"}\n' $((2 * $5)) $((2 * $5 * 7919 + $4)) >"$1/pumice_outcome.json"
    for stage in 1-specialized 2-general; do
        echo "{\"step\":0,\"epoch\":0,\"source\":\"math\",\"row\":$4}" >"$1/manifest-$stage.jsonl"
    done
    awk -v steps="$5" -v k="$3" -v strategy="$2" -v seed="$4" 'BEGIN {
        srand(seed * 1000 + 17)
        for (n = 1; n <= 2 * steps; n++) {
            two = n > steps; at = (two ? n - steps : n) / steps
            math = two ? 1.2 + (strategy == "dmt" ? 0.1 : 0.5) * at : 3 * exp(-4 * at) + 1; code = math * 0.6
            general = two ? 2 * exp(-2 * at) + 0.5 : 2.5
            printf "{\"step\":%d,\"stage\":\"%s\",\"epoch\":%.3f,\"loss\":%.6f,\"grad_norm\":%.6f,\"learning_rate\":%.6g,\"conversations\":16,\"tokens\":%d,\"trained_tokens\":%d,\"seconds\":%.6f,\"tokens_per_second\":1,\"sources\":{",
                n, two ? "general" : "specialized", at * 3, (two ? general : (math + code) / 2) * (0.95 + 0.1 * rand()), (1 - at * 0.9) * (0.5 + rand()), 2e-5 * (1 - at), 2000, 800, 10 + 2 * rand()
            if (!two || strategy == "dmt") {
                printf "\"code\":{\"conversations\":%d,\"tokens\":%d,\"trained_tokens\":%d,\"loss\":%.6f},", two ? 1 : 6, two ? 100 : 800, two ? 40 : 300, code * (0.9 + 0.2 * rand())
                printf "\"math\":{\"conversations\":%d,\"tokens\":%d,\"trained_tokens\":%d,\"loss\":%.6f}%s", two ? 1 : 10, two ? 100 : 1200, two ? 60 : 500, math * (0.9 + 0.2 * rand()), two ? "," : ""
            }
            if (two) printf "\"a<b>&c\":{\"conversations\":14,\"tokens\":1800,\"trained_tokens\":700,\"loss\":%.6f}", general * (0.9 + 0.2 * rand())
            printf "},\"hash\":\"%016x\"}\n", n * 7919 + seed
            if (n % int(steps / 3) == 0) {
                kept = two ? (strategy == "dmt" ? 0.9 - 0.1 * at + 0.05 * k : 0.9 - 0.4 * at) : at
                printf "{\"step\":%d,\"stage\":\"%s\",\"eval\":{", n, two ? "general" : "specialized"
                printf "\"math\":{\"loss\":%.6f,\"score\":%.4f},", math, 0.5 * kept + 0.04 * rand()
                printf "\"code\":{\"loss\":%.6f,\"score\":%.4f,\"chance\":0.25},", code, 0.3 + 0.4 * kept + 0.04 * rand()
                printf "\"a<b>&c\":{\"loss\":%.6f}}}\n", general
            }
        }
    }' >"$1/log.jsonl"
}
