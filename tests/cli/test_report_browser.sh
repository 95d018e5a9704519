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

# Its options; a profile of its own, no network, and not the drivers that tests may run on.
chrome() {
    env -u LD_PRELOAD timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$work/profile" --enable-logging=stderr "$@"
}

# Pages stand inside another one as text, so that they are measured at a telephone's width whatever the window's; what is
# found goes to the title.
begin_probe() {
    cat <<'END'
<!DOCTYPE html><html><head><meta charset="utf-8"><script>
var errors = 0, found = [];
window.addEventListener("error", function () { errors++; }, true);
function measure(page) {
    var small = 0, wide = 0, pictures = page.querySelectorAll("svg"), root = page.documentElement;
    pictures.forEach(function (s) { var b = s.getBoundingClientRect(); if (b.width < 100 || b.height < 50) small++; });
    if (root.scrollWidth > root.clientWidth) wide++;
    page.querySelectorAll("h1,h2,h3,p,figure,ul,details,.box").forEach(function (e) {
        if (e.getBoundingClientRect().right > root.clientWidth + 1) wide++; });
    return "pictures " + pictures.length + " small " + small + " wide " + wide;
}
window.addEventListener("load", function () {
    var texts = document.querySelectorAll("script.page");
    texts.forEach(function (text, i) {
        var frame = document.createElement("iframe");
        frame.style.cssText = "width:390px;height:844px;border:0";
        frame.onload = function () {
            found[i] = measure(frame.contentDocument);
            document.title = found.join(", ") + ", errors " + errors;
        };
        frame.srcdoc = text.textContent;
        document.body.appendChild(frame);
    });
});
</script></head><body>
END
}

want=
add() { # add NAME RUN...: the report of the runs, to the probe
    name=$1
    shift
    "$build/pumice" report "$@" --output "$name.html" >/dev/null
    pictures=$(grep -c '<svg ' "$name.html" || true)
    [ "$pictures" -gt 0 ] || { echo "FAILED: $name has no picture"; failed=1; }
    want="${want}pictures $pictures small 0 wide 0, "
    echo '<script type="text/plain" class="page">' >>probe.html
    cat "$name.html" >>probe.html
    echo '</script>' >>probe.html
}

fake_run alone dmt 0.25 1 30
for seed in 1 2 3; do
    fake_run "several/multi_task-$seed" multi_task 0.25 $seed 30
    fake_run "several/mixed-$seed" mixed_sequential 0.25 $seed 30
    for k in 0.00390625 0.0625 1; do fake_run "several/dmt-$k-$seed" dmt $k $seed 30; done
done
for i in $(seq 1 12); do fake_run "many/$i" dmt "$(awk -v i="$i" 'BEGIN { print 1 / i }')" 1 6; done
begin_probe >probe.html
add alone alone
add several several
add many many
echo '</body></html>' >>probe.html

chrome --virtual-time-budget=10000 --dump-dom "file://$work/probe.html" >dom 2>log || { tail -n 3 log; failed=1; }
title=$(sed -n 's/.*<title>\(pictures [^<]*\)<\/title>.*/\1/p' dom | head -n 1)
if [ "$title" != "${want}errors 0" ]; then
    echo "FAILED: found \"$title\", wanted \"${want}errors 0\""
    failed=1
fi
chrome --window-size=390,844 --screenshot="$work/several.png" "file://$work/several.html" >/dev/null 2>>log || failed=1
[ -s several.png ] || { echo "FAILED: no screenshot"; failed=1; }
if grep 'CONSOLE' log; then
    echo "FAILED: ^ is what the console says"
    failed=1
fi
[ "$failed" != 0 ] || echo "$title"
exit "$failed"
