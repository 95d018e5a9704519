// SPDX-License-Identifier: MIT
//
// devices: what the Vulkan loader offers, what each can do, and which one would be used.
#include "commands/common.h"
#include "commands/list.h"
#include "train/tuning.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

static cJSON *describe(const struct gpu_info *d)
{
    char text[64];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "index", d->index);
    cJSON_AddStringToObject(o, "name", d->name);
    cJSON_AddStringToObject(o, "driver", d->driver);
    cJSON_AddStringToObject(o, "type", gpu_type_name(d->type));
    snprintf(text, sizeof text, "%u.%u.%u", d->api_version >> 22 & 0x7f, d->api_version >> 12 & 0x3ff, d->api_version & 0xfff);
    cJSON_AddStringToObject(o, "api", text);
    cJSON_AddNumberToObject(o, "memory_bytes", (double)d->heap_bytes);
    cJSON_AddBoolToObject(o, "unified_memory", d->unified);
    cJSON_AddNumberToObject(o, "max_allocation_bytes", (double)d->max_allocation);
    cJSON_AddNumberToObject(o, "max_storage_buffer_range", (double)d->max_range);
    cJSON_AddNumberToObject(o, "max_shared_bytes", d->max_shared);
    cJSON_AddNumberToObject(o, "max_workgroup_invocations", d->max_invocations);
    cJSON_AddNumberToObject(o, "subgroup_size", d->subgroup_size);
    cJSON_AddBoolToObject(o, "float16", d->float16);
    cJSON_AddBoolToObject(o, "storage16", d->storage16);
    cJSON_AddItemToObject(o, "matrix_units", device_matrices(d));
    cJSON *quirks = cJSON_AddArrayToObject(o, "quirks");
    for (int i = 0; i < 8 && d->quirks[i]; i++) cJSON_AddItemToArray(quirks, cJSON_CreateString(d->quirks[i]));
    return o;
}

int command_devices(const struct command *c, int argc, char **argv)
{
    bool json = false;
    const char *wanted = NULL;
    const struct option options[] = {{"device", OPTION_TEXT, &wanted, "DEVICE", "mark what this choice would take (default: auto)"},
        {"json", OPTION_FLAG, &json, NULL, "one JSON object on stdout"}, {0}};
    int status = options_parse(c, options, argc, argv, NULL, 0, 0);
    if (status >= 0) return status;
    static struct gpu_info devices[GPU_MAX_DEVICES];
    struct error e = {0};
    struct text products = {0}; // what was chosen for them on that device
    int count = gpu_list_devices(devices, GPU_MAX_DEVICES, e.text, sizeof e.text), chosen = -1;
    if (count > 0) {
        struct gpu *gpu = gpu_open(&(struct gpu_options){.device = wanted}, e.text, sizeof e.text);
        if (!gpu) return fail(&e);
        chosen = gpu_info(gpu)->index;
        struct limits limits = limits_of(gpu_info(gpu));
        struct choices *choices = device_choices(gpu, &limits);
        tuning_print(&products, choices, choices);
        choices_free(choices);
        gpu_close(gpu);
    }
    if (json) {
        cJSON *out = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(out, "devices");
        for (int i = 0; i < count; i++) {
            cJSON *o = describe(&devices[i]);
            cJSON_AddBoolToObject(o, "chosen", i == chosen);
            if (i == chosen) cJSON_AddStringToObject(o, "products", products.bytes ? products.data : "not tried yet");
            cJSON_AddItemToArray(list, o);
        }
        print_json(out);
    }
    if (count == 0) {
        device_missing(&e);
        status = fail(&e);
        return json ? STATUS_DONE : status;
    }
    for (int i = 0; !json && i < count; i++) {
        const struct gpu_info *d = &devices[i];
        printf("%c %d  %s\n     %s, %s, %.1f GB%s, subgroup %u, shared %u KiB\n", i == chosen ? '*' : ' ', d->index, d->name,
            gpu_type_name(d->type), d->driver, (double)d->heap_bytes * 1e-9, d->unified ? " unified" : "", d->subgroup_size,
            d->max_shared / 1024);
        cJSON *matrices = device_matrices(d);
        printf("     matrix units:%s", d->matrix_count ? "" : " none");
        for (const cJSON *m = matrices->child; m; m = m->next) printf(" %s", m->valuestring);
        printf("\n");
        cJSON_Delete(matrices);
        if (i == chosen) printf("     products tried: %s\n", products.bytes ? products.data : "none yet");
        for (int k = 0; k < 8 && d->quirks[k]; k++) printf("     quirk: %s\n", d->quirks[k]);
    }
    if (!json) printf("* is what --device %s takes%s\n", wanted ? wanted : "auto", devices[chosen].type == GPU_SOFTWARE ? " (a software device: it computes on the CPU)" : "");
    text_free(&products);
    return STATUS_DONE;
}
