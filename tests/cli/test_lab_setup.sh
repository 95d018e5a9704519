#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154
# SPDX-License-Identifier: MIT
#
# tools/vendor-lab's setting up, with packages and compilers that only pretend: a step that fails leaves no folder that would
# pass for a whole one, and the next try goes through.
. "$(dirname "$0")/tools.sh"

keys=no
for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do [ ! -r $file ] || keys=yes; done
if [ $keys = no ]; then
    echo "Debian's keys are not here: nothing can be set up"
    exit 0
fi
mkdir "$work/bin"
stub() { # stub NAME: a program, from stdin
    { echo '#!/bin/sh' && cat; } >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}
for name in apt-get python3 cmake ninja xz; do stub $name </dev/null; done
stub dpkg <<<'[ "$1" != --print-architecture ] || echo amd64'
stub tar <<<'mkdir -p "$4/src/intel/dev"'
stub cp <<<'case "$BROKEN" in ?*) case "$*" in *"$BROKEN"*) echo "cp: no room for $BROKEN" >&2 && exit 1 ;; esac ;; esac
exec /bin/cp "$@"'
stub cc <<<'while [ "$1" != -o ]; do shift; done
case "$2" in *"${LACKING:-nothing}"*) exit 0 ;; esac
echo made >"$2"'
/bin/cp "$work/bin/cc" "$work/bin/aarch64-linux-gnu-gcc-12"
stub dpkg-deb <<'STUB' # every package holds all of it
[ "$1" = -x ] || { echo 99-1 && exit; }
usr=$3/usr libraries=$3/usr/lib/machine
mkdir -p "$libraries" "$usr/bin" "$usr/include/drm" "$usr/include/libdrm" "$usr/share/vulkan/explicit_layer.d"
for name in lib/machine/libvulkan_radeon.so lib/machine/libvulkan_intel.so lib/machine/libvulkan_intel_hasvk.so \
    lib/machine/libvulkan_nouveau.so lib/machine/libvulkan_freedreno.so lib/machine/libvulkan_asahi.so \
    lib/machine/libvulkan_panfrost.so lib/machine/ld-linux.so.1 lib/machine/libvulkan.so.1 lib/machine/libdrm.so.2 \
    lib/machine/libstdc++.so.6 lib/machine/libc.so.6 lib/machine/libm.so.6 lib/machine/libdl.so.2 lib/machine/libpthread.so.0 \
    lib/machine/librt.so.1 lib/machine/libcjson.so.1 lib/machine/libVkLayer_khronos_validation.so bin/qemu-aarch64 \
    include/drm/drm.h include/drm/asahi_drm.h include/xf86drm.h include/xf86drmMode.h \
    share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json; do
    echo '#!/bin/sh' >"$usr/$name"
    chmod +x "$usr/$name"
done
STUB

setup() { # setup WANT PART: the status, and a part of what is said
    local got=0
    PATH=$work/bin:$PATH XDG_CACHE_HOME=$work/cache tools/vendor-lab setup --devices mali-g610 >"$work/said" 2>&1 || got=$?
    if [ $got -ne "$1" ] || ! grep -q "$2" "$work/said"; then
        echo "failed: status $got, want $1; wanted \"$2\" in:"
        cat "$work/said"
        failed=1
    fi
}
lab=$work/cache/pumice/vendor-lab
BROKEN=libvulkan_nouveau setup 1 "cannot be copied"
check "no drivers where one could not be copied" [ ! -e "$lab" ]
BROKEN=asahi_drm.h setup 1 "cannot be copied"
LACKING=freedreno.so setup 1 "it would lack shim/freedreno.so"
check "no drivers without a shim" [ ! -e "$lab" ]
BROKEN=qemu-aarch64 setup 1 "cannot be copied"
check "the drivers are whole" [ -e "$lab/made-of" ]
check "Mali's are not there without qemu" [ ! -e "$lab-mali" ]
BROKEN=libcjson setup 1 "cannot be copied"
LACKING=panfrost.so setup 1 "it would lack shim/panfrost.so"
check "no Mali without its shim" [ ! -e "$lab-mali" ]
setup 0 "Mali's is ready"
check "the folder for Mali" [ -e "$lab-mali/recipe" ]
exit $failed
