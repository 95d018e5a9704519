#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every kernel compiles on the vendors' compilers, to the validation layer's content, and keeps its registers in registers.
exec tools/vendor-lab --check --program "$1/pumice"
