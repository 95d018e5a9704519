#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The abilities lab: its rows are those its results were made with, every reference is right when worked out again from
# the question, nothing tested is trained; its configs plan what they say.
. "$(dirname "$0")/tools.sh"

data=$work/data
"$build/lab-data" "$data"
"$build/lab-data" --seed 42 "$work/again"
"$build/lab-data" --seed 1 --math 100 "$work/other"
"$build/lab-data" --math 100 "$work/fewer"
check "the same numbers, the same files" diff -r "$data" "$work/again"
check "another seed, other rows" [ "$(cmp -s "$data/math_test.jsonl" "$work/other/math_test.jsonl" || echo differ)" = differ ]
check "other sizes, the same rows to test with" cmp "$data/math_test.jsonl" "$work/fewer/math_test.jsonl"
check "and the same first rows" diff <(head -n 100 "$data/math.jsonl") "$work/fewer/math.jsonl"
check "the rows of the reported results" [ "$(cd "$data" && cat code.jsonl code_pretrain.jsonl code_test.jsonl general.jsonl \
    general_pretrain.jsonl general_test.jsonl math.jsonl math_pretrain.jsonl math_test.jsonl | cksum)" = "742594493 1330142" ]

# question, tab, answer
pairs() {
    sed 's/^{"messages": \[{"role": "user", "content": "\(.*\)"}, {"role": "assistant", "content": "\(.*\)"}\]}$/\1\t\2/' "$1"
}
for ability in math code general; do
    for part in '' _test _pretrain; do pairs "$data/$ability$part.jsonl" >"$work/$ability$part.pairs"; done
    cat "$work/$ability.pairs" "$work/${ability}_test.pairs" "$work/${ability}_pretrain.pairs" >"$work/$ability.all"
    check "$ability in one form" [ "$(awk -F '\t' 'NF != 2 || /[{}]/' "$work/$ability.all" | wc -l)" -eq 0 ]
    check "no question of $ability twice" [ -z "$(cut -f 1 "$work/$ability.all" | sort | uniq -d)" ]
    check "no $ability row beyond 80 bytes" [ "$(awk 'length > 80' "$work/$ability.all" | wc -l)" -eq 0 ]
done
cat "$work/math.pairs" "$work/math_pretrain.pairs" | cut -f 2 | sort -u >"$work/trained"
check "no tested problem is trained, whatever its words" [ -z "$(cut -f 2 "$work/math_test.pairs" | sort | comm -12 - "$work/trained")" ]
check "200 different problems tested" [ "$(cut -f 2 "$work/math_test.pairs" | sort -u | wc -l)" -eq 200 ]
check "rows" [ "$(cat "$data"/{math,code,general}{,_pretrain,_test}.jsonl | wc -l)" -eq $((2048 + 1536 + 1024 + 1536 + 2048 + 2048 + 3 * 200)) ]

wrong() { # wrong ABILITY PROGRAM: rows whose answer is not what the program makes of the question, in `result`
    awk -F '\t' "$2"' { if (result != $2) print $1 " gives " result ", not " $2 }' "$work/$1.all"
}
bad=$(wrong math '{
    split($1, w, /[ ,.]+/)
    result = ""; sum = w[3]
    for (i = 4; i <= 6; i += 2) {
        plus = w[i] == "gets" || w[i] == "buys"; if (!plus && w[i] != "eats" && w[i] != "gave") result = result w[i]
        next_sum = plus ? sum + w[i + 1] : sum - w[i + 1]
        if (next_sum < 0 || next_sum > 9) result = result "out of range "
        result = result sum (plus ? "+" : "-") w[i + 1] "=" next_sum " "
        sum = next_sum
    }
    result = result "#### " sum }')
check "math's answers: $bad" [ -z "$bad" ]
bad=$(wrong code '{
    split($1, w, "\047")
    s = w[2]; n = length(s); operation = substr($1, n + 3)
    if (operation == "[::-1]") { result = ""; for (i = n; i > 0; i--) result = result substr(s, i, 1) }
    else if (operation == "*2") result = s s
    else if (operation == "[1:]") result = substr(s, 2)
    else if (operation == "[:-1]") result = substr(s, 1, n - 1)
    else if (operation == "[:2]") result = substr(s, 1, 2)
    else if (operation == "[-1]") result = substr(s, n)
    else if (operation == ".upper()") result = toupper(s)
    else if (operation == "+\047!\047") result = s "!"
    else result = "what is " operation
    result = "\047" result "\047" }')
check "code's answers: $bad" [ -z "$bad" ]
check "code is about four letters" [ -z "$(cut -f 1 "$work/code.all" | grep -vE "^'[a-z]{4}'")" ]
# Which kind a word is of follows from the answers, which must not contradict one another.
bad=$(awk -F '\t' '/^What is/ {
        n = split(tolower($2), w, /(, |\.)/)
        for (i = 1; i < n; i++) { split(w[i], x, " is "); print x[1] "\t" x[2] }
    }' "$work/general.all" | sort -u >"$work/kinds"; cut -f 1 "$work/kinds" | uniq -d)
check "a word is of one kind: $bad" [ -z "$bad" ]
check "32 words of 4 kinds" [ "$(wc -l <"$work/kinds") $(cut -f 2 "$work/kinds" | sort -u | wc -l)" = "32 4" ]
bad=$(wrong general '
    BEGIN { while ((getline line < "'"$work/kinds"'") > 0) { split(line, x, "\t"); kind[x[1]] = x[2] } }
    function capital(s) { return toupper(substr(s, 1, 1)) substr(s, 2) }
    {
        split($1, w, /(, |: |[ ?.])/)
        if ($1 ~ /^What/) result = capital(w[3]) " is " kind[w[3]] ", " w[7] " is " kind[w[7]] "."
        else if ($1 ~ /^List/) result = "1 " w[2] " 2 " w[3] " 3 " w[4]
        else if ($1 ~ /^Say/) result = w[4] " and " w[2]
        else if ($1 ~ /^Put/) result = w[4] ", " w[2] ", " w[6]
        else if ($1 ~ /^Greet/) result = "Hello " w[2] ", hello " w[4] "!"
        else result = "what?"
    }')
check "general's answers: $bad" [ -z "$bad" ]

check "too many rows are refused" [ "$(status "$build/lab-data" --math 100000 "$work/d")" -eq 1 ]
check "no folder is wrong usage" [ "$(status "$build/lab-data")" -eq 2 ]
check "a number that is none" [ "$(status "$build/lab-data" --math x "$work/d")" -eq 2 ]

# tools/lab's table: means and deviations over seeds; of the last evaluation, and of the last one of an earlier stage
cat >"$work/results.csv" <<'END'
run,seed,method,state,step,stage,math_loss,math_score,code_loss,code_score,general_loss,general_score,train_loss,seconds,steps,hash,asked
"seed=1,method=a","1","a, b",done,1,one,1,0.5,1,0.25,1,0,1,1,2,x,true
"seed=1,method=a","1","a, b",done,2,two,1,0.1,1,0.25,1,0.8,1,1,2,x,true
"seed=1,method=c","1","c",done,2,one,1,0.5,1,0.5,1,0.5,1,1,2,x,true
"seed=2,method=a","2","a, b",done,1,one,1,0.7,1,0.25,1,0,1,1,2,y,true
"seed=2,method=a","2","a, b",done,2,two,1,0.3,1,0.25,1,0.6,1,1,2,y,true
"seed=2,method=c","2","c",waiting,,,,,,,,,,0,0,,true
"seed=3,method=c","3","c",done,2,one,1,0.9,1,0.9,1,0.9,1,1,2,x,false
END
check "the table" diff - <(tools/lab --table "$work/results.csv") <<'END'
score in %                   math            code            general       runs
a, b                         20.0 (14.1)     25.0 ( 0.0)     70.0 (14.1)   2
   before the last stage     60.0 (14.1)     25.0 ( 0.0)      0.0 ( 0.0)   2
c                            50.0            50.0            50.0          1
END
# Columns of earlier grids' axes, which are empty in the runs asked for, are no groups.
cat >"$work/results.csv" <<'END'
run,method,seed,learning_rate,state,step,stage,math_loss,math_score,code_loss,code_score,general_loss,general_score,train_loss,seconds,steps,hash,asked
method=a,a,,,done,2,one,1,0.5,1,0.25,1,0,1,1,2,x,true
method=b,b,,,done,2,one,1,0.7,1,0.5,1,1,1,1,2,y,true
"method=a,seed=1",a,1,0.001,done,2,one,1,0.9,1,0.9,1,0.9,1,1,2,z,false
END
check "the table after another grid" diff - <(tools/lab --table "$work/results.csv") <<'END'
score in %                   math            code            general       runs
a                            50.0            25.0             0.0          1
b                            70.0            50.0           100.0          1
END
# Two axes beside the seed are a group together.
sed -i 's/,,,done/,,1e-3,done/' "$work/results.csv"
check "groups of two axes" [ "$(tools/lab --table "$work/results.csv" | awk 'NR > 1 { print $1, $2 }' | tr '\n' ';')" = "a, 1e-3;b, 1e-3;" ]

# --fresh: another base model makes all labs anew, not only those asked for.
tree=$work/tree
mkdir -p "$tree"/{tools,build,configs,runs}
cp tools/lab "$tree/tools"
printf '#!/bin/sh\n' | tee "$tree/tools/setup" "$tree/build/pumice" "$tree/build/lab-data" >"$tree/tools/with-driver"
chmod +x "$tree"/tools/* "$tree"/build/*
mkdir -p "$tree"/runs/lab-{base,data,short,strategies,amount,ratio,rate}
"$tree/tools/lab" --short --fresh --driver system >/dev/null 2>&1 || true # there are no results
check "--fresh removes the results of all labs" [ "$(ls "$tree/runs")" = lab-data ]

# The configs: what each sweep holds, and what its runs are by `plan`.
mkdir -p "$work/configs" "$work/runs"
mv "$data" "$work/runs/lab-data"
for lab in pretrain short strategies amount ratio rate; do cp "configs/lab-$lab.json" "$work/configs"; done
cd "$work/configs"
pumice=$build/pumice
rows() { # rows CONFIG SET...: the rows and steps of each stage, and the rows of each source
    "$pumice" plan "$@" --json 2>/dev/null | tr '{' '\n' |
        sed -n 's/.*"name":"\([^"]*\)","rows":\([0-9]*\),.*"steps":\([0-9]*\),.*/\1 \2 \3/p; s/.*"name":"\([^"]*\)",.*"available":[0-9]*,"rows":\([0-9]*\),.*/\1 \2/p' | tr '\n' ';'
}
check "the base model's plan" [ "$(rows lab-pretrain.json)" = "pretrain 5120 640;math 1536;code 1536;general 2048;" ]
check "a base model" "$pumice" train lab-pretrain.json --set max_steps=1 eval=null 2>"$work/base.err"
for each in short:3 strategies:24 amount:60 ratio:39 rate:12; do
    lab=lab-${each%:*}.json runs=${each#*:}
    check "$runs runs of $lab" [ "$("$pumice" sweep "$lab" --list 2>/dev/null | wc -l)" -eq "$runs" ]
done
dmt() { rows "lab-$1.json" --set sweep=null strategy=dmt dmt_k="$2"; }
all="specialized 3072 384;code 1024;math 2048;general"
check "k = 1/256" [ "$(dmt strategies 0.00390625)" = "$all 2060 258;general 2048;code 4;math 8;" ]
check "k = 1/64" [ "$(dmt strategies 0.015625)" = "$all 2096 262;general 2048;code 16;math 32;" ]
check "k = 1/16" [ "$(dmt strategies 0.0625)" = "$all 2240 280;general 2048;code 64;math 128;" ]
check "k = 1/4" [ "$(dmt strategies 0.25)" = "$all 2816 352;general 2048;code 256;math 512;" ]
check "k = 1" [ "$(dmt strategies 1)" = "$all 5120 640;general 2048;code 1024;math 2048;" ]
check "the short cut" [ "$(dmt short 0.0625)" = "$all 2240 280;general 2048;code 64;math 128;" ]
one() { # one CONFIG LABEL: the plan of a sweep's variant
    stages=$(sed -n "s|^ *\"$2\": { \"stages\": \(.*\) },*\$|\1|p" "lab-$1.json")
    rows "lab-$1.json" --set sweep=null "stages=$stages"
}
check "math 1/64" [ "$(one amount 'math 1/64')" = "sft 32 4;math 32;" ]
check "code 1/256" [ "$(one amount 'code 1/256')" = "sft 4 1;code 4;" ]
check "mix 1/16" [ "$(one amount 'mix 1/16')" = "sft 320 40;math 128;code 64;general 128;" ]
check "G 1/4" [ "$(one ratio 'G 1/4')" = "sft 3584 448;math 2048;code 1024;general 512;" ]
check "C+M 1/16" [ "$(one ratio 'C+M 1/16')" = "sft 2240 280;math 128;code 64;general 2048;" ]
check "G 1/64, C+M 1/4" [ "$(one ratio 'G 1/64, C+M 1/4')" = "sft 800 100;math 512;code 256;general 32;" ]

[ $failed -eq 0 ] && echo "lab: all as promised"
exit $failed
