// SPDX-License-Identifier: MIT
//
// builtin.c: the one model that needs no file: the numbers of HuggingFaceTB/SmolLM2-135M (Allal et al. 2025).
#include "model/model.h"

#include <cjson/cJSON.h>

#include <assert.h>

static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 576, \"num_hidden_layers\": 30,"
                             "\"num_attention_heads\": 9, \"num_key_value_heads\": 3, \"intermediate_size\": 1536,"
                             "\"vocab_size\": 49152, \"max_position_embeddings\": 8192, \"rms_norm_eps\": 1e-5,"
                             "\"rope_theta\": 100000, \"tie_word_embeddings\": true, \"initializer_range\": 0.041666666666666664}";

void model_open_builtin(struct model *m)
{
    struct error e = {0};
    cJSON *json = cJSON_Parse(config);
    assert(json);
    int status = model_open_init(m, json, MODEL_BUILTIN, &e);
    assert(status == 0);
    (void)status;
    cJSON_Delete(json);
}
