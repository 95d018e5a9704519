#!/bin/sh
# SPDX-License-Identifier: MIT
#
# pumice select memory on a tiny model: the same numbers shared and alone, in one go and after a stop; what is written; what
# is said of bad input.
. "$(dirname "$0")/tiny.sh"
mkdir "$work/configs" && cp "$(dirname "$0")"/../../configs/memory-*.json "$work/configs"
cd "$work"
check 'training' "$pumice" train tiny.json --set num_train_epochs=1 save_strategy=no save_steps=0

cat >templates.json <<END
{ "letter": { "question": "A letter in {subject}?", "templates": ["Some letter of {subject} is", "Some letter of {subject}:", "{subject} has"] },
  "word": ["The word {subject} comes before"] }
END
: >facts.jsonl
for subject in plums apples pears figs nuts kiwis; do
    echo "{\"subject\": \"$subject\", \"relation\": \"letter\", \"object\": \"e\", \"synonyms\": [\"a\"]}"
    echo "{\"subject\": \"$subject\", \"relation\": \"word\", \"object\": \"t\"}"
    echo "{\"subject\": \"$subject\", \"relation\": \"letter\", \"object\": \"unheard of\"}"
done >facts.jsonl
select_memory() { # select_memory OUTPUT [options]
    output=$1
    shift
    "$pumice" select memory --model run --facts facts.jsonl --templates templates.json --output "$output" --samples 2 \
        --temperature 1 --max-new-tokens 6 --stop '\n' "$@"
}

check 'a selection' select_memory shared
check 'alone, one at a time' select_memory alone --alone --batch 1
check 'three at a time' select_memory three --batch 3
for other in alone three; do
    cmp -s shared/levels.jsonl $other/levels.jsonl || { echo "FAILED: levels differ from $other's"; failed=1; }
done
[ "$(grep -c '"object":"unheard of".*"hits":0,"samples":6,"share":0,"level":0' shared/levels.jsonl)" = 6 ] ||
    { echo "FAILED: levels of what is never said"; failed=1; }
grep -q '"object":"e".*"hits":[1-9]' shared/levels.jsonl || { echo "FAILED: nothing was ever said"; failed=1; }
grep -q '"facts":18' shared/summary.json || grep -q '"facts":	18' shared/summary.json || { echo "FAILED: the summary"; failed=1; }
[ "$(cat shared/test-*.jsonl | wc -l)" = 3 ] || { echo "FAILED: a quarter of 6 subjects with 2 facts and of 6 with 1 are tests"; failed=1; }

# A stop in the middle of a line: the torn line is dropped, the rest is asked again, the numbers are the same.
mkdir stopped
head -c $(($(wc -c <shared/recall.jsonl) - 200)) shared/recall.jsonl >stopped/recall.jsonl
says 'going on' 0 'known from an earlier call: ' select_memory stopped
cmp -s shared/levels.jsonl stopped/levels.jsonl || { echo "FAILED: levels differ after a stop"; failed=1; }
says 'nothing asked twice' 0 '"known":18' select_memory stopped --json
says 'other settings' 1 'made with other settings' select_memory stopped --seed 43
says 'another seed' 0 '' select_memory seed --seed 43
! cmp -s shared/levels.jsonl seed/levels.jsonl || { echo "FAILED: the seed changes nothing"; failed=1; }
mkdir foreign && echo x >foreign/levels.jsonl
says "another's folder" 1 "another's levels.jsonl" select_memory foreign
[ "$(cat foreign/levels.jsonl)" = x ] || { echo "FAILED: foreign file overwritten"; failed=1; }
mkdir notes && printf 'my own notes' >notes/recall.jsonl # without a line's end
says "another's recall.jsonl" 1 'made with other settings (my own notes, now' select_memory notes
[ "$(cat notes/recall.jsonl)" = 'my own notes' ] || { echo "FAILED: foreign recall.jsonl overwritten"; failed=1; }
mkdir torn && head -c 20 shared/recall.jsonl >torn/recall.jsonl
says 'a torn first line' 0 '"known":0' select_memory torn --json
cmp -s shared/recall.jsonl torn/recall.jsonl || { echo "FAILED: a torn first line is not begun again"; failed=1; }
says "a run's folder" 1 'run: holds what is no selection' select_memory run
[ ! -e run/recall.jsonl ] && [ ! -e run/summary.json ] || { echo "FAILED: a run's folder is filled"; failed=1; }
rm run/pumice_config.json && says "without its config" 1 '(log.jsonl)' select_memory run
echo '{"key": 3}' >>stopped/recall.jsonl
says 'a broken line' 1 'recall.jsonl:20: it is no fact' select_memory stopped

# ctrl-C: said at once, nothing half written, and the same command goes on.
"$pumice" select memory --model run --facts facts.jsonl --templates templates.json --output broken --samples 30 \
    --temperature 1 --max-new-tokens 6 --alone --batch 1 >/dev/null 2>broken.err &
pid=$!
for _ in $(seq 240); do
    sleep 0.25
    if [ "$(wc -l 2>/dev/null <broken/recall.jsonl)" -gt 1 ]; then break; fi
done
kill -INT "$pid"
got=0
wait "$pid" || got=$?
[ "$got" = 130 ] || { echo "FAILED: ctrl-C gives $got"; failed=1; }
grep -q 'stopping when' broken.err && grep -q 'interrupted: [1-9][0-9]* of 18 facts known; the same command goes on' broken.err ||
    { echo "FAILED: what is said on ctrl-C"; cat broken.err; failed=1; }
[ ! -e broken/levels.jsonl ] || { echo "FAILED: results of an interrupted call"; failed=1; }

# Subsets: written where there are enough facts, said where not.
says 'too few facts' 1 'level 0 has too few facts for 60 rows: letter has' select_memory shared --size 2 60 --test 0 --relations letter
[ -s shared/level-0-2.jsonl ] && [ ! -e shared/level-0-60.jsonl ] || { echo "FAILED: subsets of level 0"; failed=1; }
[ -z "$(ls shared/test-* 2>/dev/null)" ] || { echo "FAILED: tests of another split stay"; failed=1; }
says 'another size' 1 'has too few' select_memory shared --size 3 --test 0 --relations letter
[ -s shared/level-0-3.jsonl ] && [ "$(head -n 2 shared/level-0-3.jsonl)" = "$(cat shared/level-0-2.jsonl)" ] ||
    { echo "FAILED: subsets are not nested"; failed=1; }
[ "$(wc -l <shared/level-0-2.jsonl)" = 2 ] || { echo "FAILED: rows of a subset"; failed=1; }
# A call that breaks off among its files: none of them is believed by a later call of an earlier split.
says 'a first split' 1 'level 4 has too few facts' select_memory split --relations letter --test 0.5 --size 2
mkdir split/level-0-5.jsonl # cannot be written
says 'broken off' 1 'level-0-5.jsonl' select_memory split --relations letter --test 0 --size 3 5
[ -s split/level-0-3.jsonl ] || { echo "FAILED: nothing was written before"; failed=1; }
rmdir split/level-0-5.jsonl
says 'the first split again' 1 'level-0-3.jsonl: removed' select_memory split --relations letter --test 0.5 --size 2
[ ! -e split/level-0-3.jsonl ] && ! grep -q level-0-3 split/summary.json || { echo "FAILED: rows of a broken off call stay"; failed=1; }

# Rows are made of the question: another one makes all of them anew.
sed -i 's/A letter in/Which letter is in/' templates.json
says 'another question' 1 'level-0-2.jsonl: removed' select_memory split --relations letter --test 0.5 --size 1
sed -i 's/Which letter is in/A letter in/' templates.json

says 'far too many' 1 'level 4 has too few facts for 4294967295 rows: letter has 0 of 4294967295' select_memory split --relations letter --size 4294967295

says 'a subset trains' 0 '' "$pumice" tokenize --model run --data shared/level-0-2.jsonl --chat-template qa --show
grep -q '<|question|> A letter in .*? <|answer|>.*unheard of' "$work/out" || { echo "FAILED: the row's text"; cat "$work/out"; failed=1; }
says 'out of domain' 0 'ood-0.jsonl' select_memory ood --relations word --test 1
says 'scores of two files' 0 '"mean"' "$pumice" score --model run --data ood/ood-*.jsonl --metric contains --chat-template qa --each --json

# The configs: what they name is what a selection writes; a level without tests, which has no file, stops none of them.
mkdir -p runs/memory
cp ood/ood-0.jsonl runs/memory/test-0.jsonl
for rows in level-1-4 level-1-60 level-2-240 level-2-1920; do cp ood/ood-0.jsonl runs/memory/$rows.jsonl; done
for size in 60 240 1920; do
    says "the config of $size rows" 0 "eval.level4: is left out, there is no $(pwd -P)/runs/memory/test-4.jsonl" \
        "$pumice" plan configs/memory-$size.json --set model_name_or_path=../run
    grep -q 'eval.level0' "$work/err" && { echo "FAILED: level 0's tests are left out"; failed=1; }
done
check "the demo's config" "$pumice" plan configs/memory-demo.json --set model_name_or_path=../run

says 'no such relation' 1 'did you mean letter' select_memory shared --relations leter
says 'no method' 2 'did you mean memory' "$pumice" select memori
says 'help' 0 'select METHOD --help' "$pumice" select --help
says 'help of a method' 0 'example: pumice select memory' "$pumice" select memory --help
says 'no facts' 2 'are needed' "$pumice" select memory --model run
says 'no size' 1 'it is a number of rows' select_memory shared --size many
echo '{"subject": "plums", "relation": "letter"}' >facts.jsonl
says 'facts without objects' 1 'it has no "object"' select_memory other
says 'facts without objects, strictly' 1 'facts.jsonl:1: it has no "object"' select_memory other --strict
for i in 1 2 3 4 5 6; do echo '{"subject": "plums", "relation": "letter"}'; done >facts.jsonl
echo '{"subject": plums}' >>facts.jsonl
echo '{"subject": "plums", "relation": "letter", "object": "e"}' >>facts.jsonl
says 'more than five bad facts' 0 'skipped: 2 more' select_memory other --test 0
says 'of how many' 0 '7 of 8 facts skipped' select_memory other --test 0
sed 1,6d facts.jsonl >bad.jsonl && mv bad.jsonl facts.jsonl
says 'a place once' 0 'facts.jsonl:1: at column 13: expected a value' select_memory other --test 0
rm -r other
says 'no templates' 1 'nothing.json' "$pumice" select memory --model run --facts facts.jsonl --templates nothing.json --output other
[ ! -e other ] || { echo "FAILED: a folder for nothing"; failed=1; }
exit $failed
