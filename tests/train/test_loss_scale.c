// SPDX-License-Identifier: MIT
//
// Dynamic loss scaling: what skipped and finite steps do to the scale, and its ends.
#include "test.h"

#include "train/loss_scale.h"

// `count` finite steps.
static void good(struct loss_scale *s, int count)
{
    for (int i = 0; i < count; i++) {
        CHECK(loss_scale_step(s, false));
        CHECK(loss_scale_valid(s));
    }
}

int main(void)
{
    struct loss_scale s = loss_scale_start();
    CHECK(s.scale == 65536 && s.good == 0 && loss_scale_valid(&s));
    good(&s, 1999);
    CHECK(s.scale == 65536);
    good(&s, 1);
    CHECK(s.scale == 131072 && s.good == 0);
    good(&s, 1999);
    CHECK(loss_scale_step(&s, true) && s.scale == 65536 && s.good == 0); // one step short: halved, and counted anew
    good(&s, 1999);
    CHECK(s.scale == 65536);
    good(&s, 20 * 2000);
    CHECK(s.scale == 0x1p24 && loss_scale_valid(&s));
    for (int i = 0; i < 24; i++) CHECK(loss_scale_step(&s, true) && loss_scale_valid(&s));
    CHECK(s.scale == 1);
    CHECK(!loss_scale_step(&s, true) && s.scale == 1); // no lower
    good(&s, 2000);
    CHECK(s.scale == 2);

    struct loss_scale none = {0};
    CHECK(loss_scale_step(&none, true) && loss_scale_step(&none, false) && none.scale == 0 && none.good == 0);
    CHECK(loss_scale_valid(&none));
    const struct loss_scale bad[] = {{3, 0}, {0.5, 0}, {0x1p25, 0}, {-2, 0}, {NAN, 0}, {INFINITY, 0}, {2, 2000}, {0, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_SAY(!loss_scale_valid(&bad[i]), "%zu", i);
    return test_end();
}
