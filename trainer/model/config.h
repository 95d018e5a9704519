// SPDX-License-Identifier: MIT
//
// config.h (model): what a checkpoint says of itself, whatever its format, as the numbers a forward graph is built from.
#ifndef PUMICE_MODEL_CONFIG_H
#define PUMICE_MODEL_CONFIG_H

#include "base.h"

struct cJSON;
struct gguf;

enum family { FAMILY_LLAMA, FAMILY_MISTRAL, FAMILY_QWEN2, FAMILY_COUNT };

struct model_config {
    enum family family;
    uint32_t hidden, layers, heads, kv_heads, head_dim, feed_forward, vocabulary; // C L H G D F V
    uint32_t max_positions, window; // window: sliding attention, 0 none
    float norm_epsilon, initializer_range;
    double rope_theta;
    bool tied;     // the head is the embedding table
    bool qkv_bias;
    // Rotary scaling: none, linear (frequencies / factor), or llama3 (Llama 3.1: by wavelength).
    enum { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 } rope_type;
    double rope_factor, rope_low, rope_high, rope_original;
    int32_t bos, eos, pad; // -1: none stated
};

// From Hugging Face's config.json (already parsed; `name` stands in errors). Unknown architectures, features that change
// the forward pass and are not supported, and missing or impossible numbers are refused by name.
int model_config_json(struct model_config *c, const struct cJSON *json, const char *name, struct error *e);
int model_config_gguf(struct model_config *c, const struct gguf *g, const char *name, struct error *e);
// As config.json for transformers. cJSON_Delete.
struct cJSON *model_config_to_json(const struct model_config *c);

// Cosines, then sines of position * frequency, as rope's table: out [positions, D] f32 from doubles.
void model_rope_table(float *out, const struct model_config *c, uint64_t positions);

#endif
