#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The shaders that come compiled (cooperative matrices, bfloat16) are those of today's sources, and valid SPIR-V.
set -eu
cd "$(dirname "$0")/../.."
tools/prebuilt --check
