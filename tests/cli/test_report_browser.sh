#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Reports in a browser: no script error, every picture has a size, nothing sticks out at a telephone's width.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
. "$here/fake_runs.sh"
browser=
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then browser=$name && break; fi
done
[ -n "$browser" ] || { echo "skipped: there is no chromium"; exit 77; }
command -v gnuplot >/dev/null || { echo "skipped: there is no gnuplot, and so there are no pictures"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0

chrome() { # its options; a profile of its own, no network
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$work/profile" --enable-logging=stderr "$@"
}

# Measures itself and writes what it finds into the title.
probe='<script>
var errors = 0;
window.addEventListener("error", function () { errors++; }, true);
window.addEventListener("load", function () {
    var frame = document.createElement("iframe");
    frame.style.cssText = "width:390px;height:844px;border:0;position:absolute;left:0;top:0";
    frame.onload = function () {
        var page = frame.contentDocument, small = 0, pictures = page.querySelectorAll("svg");
        pictures.forEach(function (s) { var b = s.getBoundingClientRect(); if (b.width < 100 || b.height < 50) small++; });
        var root = page.documentElement, wide = root.scrollWidth - root.clientWidth;
        page.querySelectorAll("h1,h2,h3,p,figure,ul,details,.box").forEach(function (e) {
            if (e.getBoundingClientRect().right > root.clientWidth + 1) wide = Math.max(wide, 1); });
        document.title = "pictures " + pictures.length + " small " + small + " wide " + wide + " errors " + errors;
    };
    frame.srcdoc = document.getElementById("page").textContent;
    document.body.appendChild(frame);
});
</script>'

look() { # look NAME RUN...: the report of the runs, looked at
    name=$1
    shift
    "$build/pumice" report "$@" --output "$name.html" >/dev/null
    pictures=$(grep -c '<svg ' "$name.html" || true)
    # The page stands inside another as text, so that it is measured at a telephone's width whatever the window's.
    {
        echo "<!DOCTYPE html><html><head><meta charset=\"utf-8\">$probe</head><body><template></template><script type=\"text/plain\" id=\"page\">"
        sed 's/<\/script/<\\\/script/g' "$name.html"
        echo '</script></body></html>'
    } >"$name-probe.html"
    chrome --virtual-time-budget=10000 --dump-dom "file://$work/$name-probe.html" >"$name.dom" 2>"$name.log" || { tail -n 3 "$name.log"; failed=1; }
    title=$(sed -n 's/.*<title>\(pictures [^<]*\)<\/title>.*/\1/p' "$name.dom" | head -n 1)
    if [ "$title" != "pictures $pictures small 0 wide 0 errors 0" ] || [ "$pictures" -eq 0 ]; then
        echo "FAILED: $name: found \"$title\", wanted $pictures pictures, none small, nothing wide, no error"
        failed=1
    fi
    chrome --window-size=390,844 --screenshot="$work/$name.png" "file://$work/$name.html" >/dev/null 2>"$name.log" || failed=1
    if grep -q 'CONSOLE' "$name.log"; then
        echo "FAILED: $name: the console says:"
        grep CONSOLE "$name.log" | head -n 5
        failed=1
    fi
    [ -s "$name.png" ] || { echo "FAILED: $name: no screenshot"; failed=1; }
}

fake_run alone dmt 0.25 1 30
for seed in 1 2 3; do
    fake_run "several/multi_task-$seed" multi_task 0.25 $seed 30
    fake_run "several/mixed-$seed" mixed_sequential 0.25 $seed 30
    for k in 0.00390625 0.0625 1; do fake_run "several/dmt-$k-$seed" dmt $k $seed 30; done
done
for i in $(seq 1 12); do fake_run "many/$i" dmt "$(awk -v i="$i" 'BEGIN { print 1 / i }')" 1 6; done
look alone alone
look several several
look many many
exit "$failed"
