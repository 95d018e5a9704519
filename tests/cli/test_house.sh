#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The house's floors: arrows point down only, every file stays in its place and short, every source has its licence line.
set -eu
cd "$(dirname "$0")/../.."
bad=0

no() { # no PATTERN WHAT PATH...: the pattern must stand in none of the paths
    pattern=$1 what=$2
    shift 2
    if grep -rsnE --include='*.[ch]' --include='*.comp' --include='*.glsl' "$pattern" "$@"; then
        echo "^ $what"
        bad=1
    fi
}

no '\b(Vk[A-Z][a-zA-Z]+|vk[A-Z][a-zA-Z]+|VK_[A-Z]+_|volk)\b' 'Vulkan is known below runtime/ only' trainer
no '\b([Tt]okens?|[Aa]ttention|[Aa]dapters?)\b' 'the runtime knows no mathematics and no language models' runtime
no '#include "(shaders/)?args\.h"' 'args.h belongs to graph/ and the shaders' trainer/commands trainer/data trainer/formats \
    trainer/model trainer/study trainer/main.c trainer/base.c trainer/base.h
no '#include "(trainer/|graph/|model/|data/|train/|study/|commands/|base\.h)' 'the runtime is the lowest floor' runtime
no '#include "(graph|model|data|train|study|commands)/' 'formats are leaves' trainer/formats
no '#include "(graph|model|train|study|commands)/' 'data knows no model' trainer/data
no '#include "(model|data|train|study|commands|formats)/' 'the graph knows no files and no rows' trainer/graph
no '#include "(data|train|study|commands)/' 'models know no rows and no runs' trainer/model
no '#include "(study|commands)/' 'training knows no studies and no commands' trainer/train
no '#include "commands/' 'studies know no commands' trainer/study
no 'getenv\("PUMICE' 'no environment variables of ours' trainer runtime
no '\b(TODO|FIXME|XXX)\b' 'nothing is left undone in a comment' trainer runtime shaders

for f in $(git ls-files '*.c' '*.h' '*.comp' '*.glsl' 2>/dev/null); do
    head -n 3 "$f" | grep -q 'SPDX-License-Identifier: MIT' || { echo "$f: no SPDX line"; bad=1; }
    lines=$(wc -l <"$f")
    case $f in
    *_tables.h | shaders/prebuilt/*) continue ;; # generated
    *.comp | *.glsl) most=250 ;;
    *) most=720 ;;
    esac
    [ "$lines" -le "$most" ] || { echo "$f: $lines lines, at most $most"; bad=1; }
done
for entry in $(git ls-files 2>/dev/null | cut -d/ -f1 | sort -u); do
    case $entry in
    CMakeLists.txt | shaders | runtime | trainer | configs | tests | tools | README.md | .*) ;;
    *) echo "top level holds $entry"; bad=1 ;;
    esac
done
[ "$bad" = 0 ] && echo "the house stands"
exit "$bad"
