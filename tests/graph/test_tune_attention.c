// SPDX-License-Identifier: MIT
//
// Attention on matrix units tried on the device: right as it is, in each storage and with dropout's place; wrong in one number,
// caught; a pipeline that the driver refuses, for attention and for products, is not used and ends nothing; programs then
// take the scalar kernels. Skipped where there are no matrix units.
#include "kernel_run.h"

#include "graph/coopmat.h"
#include "graph/tune.h"

#include <string.h>
#define VK_NO_PROTOTYPES
#include <volk.h>

static struct limits limits;
static const uint32_t all = 1u << ATTENTION_FORWARD | 1u << ATTENTION_DQ | 1u << ATTENTION_DKV;
static struct error e;

static int try_shape(struct attention_shape s, uint32_t kernels, void (*change)(struct call *c))
{
    s.products = limits.products;
    return tune_attention_try(run_gpu(), &limits, &s, kernels, change, &e);
}

static void test_right(void)
{
    CHECK_SAY(try_shape((struct attention_shape){32, false, false, 0}, all, NULL) == TUNE_RIGHT, "%s", e.text);
    CHECK_SAY(try_shape((struct attention_shape){32, true, true, 0}, all, NULL) == TUNE_RIGHT, "%s", e.text);
    CHECK_SAY(try_shape((struct attention_shape){64, true, false, 0}, 1u << ATTENTION_FORWARD, NULL) == TUNE_RIGHT, "%s", e.text);
}

// ---- one wrong number ------------------------------------------------------------------------------------------------

static const char *of; // the kernels' names begin so
static bool is_of(const struct call *c)
{
    return strncmp(c->kernel, of, strlen(of)) == 0 && strstr(c->kernel, "coopmat");
}

static void fewer_groups(struct call *c)
{
    if (is_of(c)) c->groups_x--;
}

static void wider_scale(struct call *c)
{
    struct attention_args *a = (struct attention_args *)(void *)c->args;
    if (is_of(c)) a->scale *= 1.05f;
}

static void narrower_window(struct call *c)
{
    struct attention_args *a = (struct attention_args *)(void *)c->args;
    if (is_of(c)) a->window = 66;
}

static void other_head(struct call *c)
{
    struct attention_args *a = (struct attention_args *)(void *)c->args;
    if (is_of(c)) a->offset_k -= 8;
}

static void test_wrong(void)
{
    static const char *const kernels[] = {"attention_forward", "attention_dq", "attention_dkv"};
    static void (*const changes[])(struct call *) = {fewer_groups, wider_scale, narrower_window, other_head};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 4; i++) {
            of = kernels[k];
            CHECK_SAY(try_shape((struct attention_shape){32, i % 2, false, 0}, all, changes[i]) == TUNE_WRONG, "%s: change %d", of, i);
        }
}

// ---- refused ---------------------------------------------------------------------------------------------------------

static PFN_vkCreateComputePipelines make;
static int refuse_after;

static VkResult VKAPI_CALL refuse(VkDevice device, VkPipelineCache cache, uint32_t count,
    const VkComputePipelineCreateInfo *info, const VkAllocationCallbacks *allocator, VkPipeline *pipeline)
{
    if (refuse_after-- <= 0) return VK_ERROR_UNKNOWN;
    return make(device, cache, count, info, allocator, pipeline);
}

static void test_refused(void)
{
    struct choices *met = choices_new(), *choices = choices_new();
    const struct attention_shape shape = {48, false, false, limits.products};
    const struct matmul_shape product = {.m = 24, .n = 40, .k = 56};
    struct matmul_variant plain, first;
    CHECK(matmul_find(&limits, &product, "plain", &plain));
    matmul_candidates(&limits, &product, &first, 1);
    choices_meet_attention(met, &shape, ATTENTION_FORWARD);
    choices_meet(met, &product, &first);
    make = vkCreateComputePipelines;
    vkCreateComputePipelines = refuse;
    refuse_after = 1; // probe_fill's is there
    CHECK(tune_try(run_gpu(), &limits, &product, &plain, 0, NULL, &e) == TUNE_REFUSED);
    refuse_after = 0;
    struct tune_report r;
    struct error reason = {0};
    CHECK(tune(choices, run_gpu(), &limits, met, false, &r, &reason) == -1 && reason.device); // no product at all
    choices_free(met);
    met = choices_new();
    choices_meet_attention(met, &shape, ATTENTION_FORWARD);
    CHECK(tune(choices, run_gpu(), &limits, met, false, &r, &e) == 0 && r.attentions == 1);
    vkCreateComputePipelines = make;
    CHECK(tune_try(run_gpu(), &limits, &product, &plain, 0, NULL, &e) == TUNE_RIGHT);

    // What was found is not tried again, and holds for all three kernels; other heads are other heads.
    CHECK(tune(choices, run_gpu(), &limits, met, false, &r, &e) == 0 && r.attentions == 0);
    const struct attention_choice *c = choices_find_attention(choices, &shape, 1u << ATTENTION_FORWARD);
    CHECK(c && !c->right && !choices_find_attention(choices, &shape, all));
    struct limits with = limits;
    with.choices = choices;
    for (uint32_t head = 48; head <= 64; head += 16) {
        struct call call = {.kernel = "attention_dq", .constants = {0, 0, head, 0}, .constant_count = 4};
        attention_variant(&with, &call, ATTENTION_DQ, 100, 2, 1, head);
        CHECK((strstr(call.kernel, "coopmat") == NULL) == (head == 48));
        if (head == 48) CHECK_STRING(call.why, "matrix units are wrong or refused on this device");
    }
    choices_free(met);
    choices_free(choices);
}

int main(void)
{
    if (!run_open()) return 77;
    limits = limits_of(gpu_info(run_gpu()));
    bool any = false;
    for (enum products products = PRODUCTS_FP16; products <= PRODUCTS_BF16; products++) {
        if (!products_can(gpu_info(run_gpu()), products)) continue;
        any = true;
        limits.products = products;
        test_right();
        test_wrong();
        test_refused();
    }
    CHECK(run_validation_messages() == 0);
    run_close();
    if (!any) printf("skipped: there is nothing to run\n");
    return any ? test_end() : 77;
}
