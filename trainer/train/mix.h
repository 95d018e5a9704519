// SPDX-License-Identifier: MIT
//
// mix.h: how many rows each source of a stage gives. Pure arithmetic; which rows they are is drawn afterwards (draw.h).
//
// Without `mix_rows` every amount speaks for itself:
//   x from 0 to 1     floor(available * x + 1e-9)       n above 1          n whole passes over what is available
//   {"rows": n}       n, which must be there            {"at_most": n}     the lesser of n and what is available
//
// With `mix_rows` the stage draws exactly so many rows in all (Song et al., "Dynamics of instruction fine-tuning",
// arXiv 2310.19651, whose volumes are equal shares of ten abilities, and whose compositions cap some of them and spread
// what that frees):
//   {"share": x}      floor(mix_rows * x + 1e-9), which must be there
//   {"rows": n}       n, which must be there
//   a fraction x, {"at_most": n}   as above, but only as the most the source may give.
// What shares and rows leave is spread over the abilities of the other sources as evenly as their most allows: every
// ability gets the same, but those that have less give all they have. The rows that cannot be divided go one each to the
// first abilities that have more, in the order of the mix. The sources of one ability divide its part in the same way.
// A source without an ability is one of its own. A larger mix_rows never takes fewer rows of a source without a share,
// as long as only one source has a share, so the rows of a smaller volume are among those of a larger one.
#ifndef PUMICE_MIX_H
#define PUMICE_MIX_H

#include "train/config.h"

// rows (mix of the stage): the counts. available (sources of the config): the good rows that each has. 0, or -1 with the
// reason: more rows asked for than there are, no rows at all, or more than an epoch can hold.
int mix_count(uint32_t *rows, const struct config *c, const struct config_stage *stage, const uint32_t *available,
    struct error *e);

// Divides `total`, at most the sum of most (count), into given (count): equal parts, but none above its most; what is
// left goes one each to the first that have room.
void mix_spread(uint64_t *given, const uint64_t *most, size_t count, uint64_t total);

#endif
