// SPDX-License-Identifier: MIT
#include "model/config.h"
#include "formats/gguf.h"

#include <cjson/cJSON.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *architecture, *type; // config.json's architectures[0] and model_type
    const char *gguf;                // general.architecture
} families[FAMILY_COUNT] = {
    [FAMILY_LLAMA] = {"LlamaForCausalLM", "llama", "llama"},
    [FAMILY_MISTRAL] = {"MistralForCausalLM", "mistral", "mistral"},
    [FAMILY_QWEN2] = {"Qwen2ForCausalLM", "qwen2", "qwen2"},
};

static int check(const struct model_config *c, const char *name, struct error *e)
{
    const struct {
        const char *what;
        uint32_t value, most;
    } sizes[] = {{"hidden_size", c->hidden, 1 << 20}, {"num_hidden_layers", c->layers, 4096},
        {"num_attention_heads", c->heads, 4096}, {"num_key_value_heads", c->kv_heads, 4096}, {"head_dim", c->head_dim, 256},
        {"intermediate_size", c->feed_forward, 1 << 22}, {"vocab_size", c->vocabulary, 1 << 24},
        {"max_position_embeddings", c->max_positions, 1 << 28}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value == 0 || sizes[i].value > sizes[i].most)
            return error_set(e, "%s: %s is %u; it must be from 1 to %u", name, sizes[i].what, sizes[i].value, sizes[i].most);
    if (c->heads % c->kv_heads)
        return error_set(e, "%s: %u attention heads cannot share %u key-value heads evenly", name, c->heads, c->kv_heads);
    const int eights[] = {0, 5, 4}; // of sizes: head_dim last, as it may follow from the first
    for (size_t i = 0; i < sizeof eights / sizeof *eights; i++)
        if (sizes[eights[i]].value % 8)
            return error_set(e, "%s: %s is %u; it must be a multiple of 8%s", name, sizes[eights[i]].what, sizes[eights[i]].value,
                i == 2 ? " (hidden_size / num_attention_heads where the config does not say it)" : "");
    if (!(c->norm_epsilon > 0 && c->norm_epsilon < 1)) return error_set(e, "%s: rms_norm_eps is out of range", name);
    if (!(c->rope_theta > 1)) return error_set(e, "%s: rope_theta is out of range", name);
    return 0;
}

// ---- config.json ---------------------------------------------------------------------------------------------------

static int number(double *out, const cJSON *json, const char *key, double fallback, const char *name, struct error *e)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    *out = fallback;
    if (!item || cJSON_IsNull(item)) return isnan(fallback) ? error_set(e, "%s: the key \"%s\" is missing", name, key) : 0;
    if (!cJSON_IsNumber(item)) return error_set(e, "%s: \"%s\" must be a number", name, key);
    *out = item->valuedouble;
    return 0;
}

static int whole(uint32_t *out, const cJSON *json, const char *key, double fallback, const char *name, struct error *e)
{
    double x;
    if (number(&x, json, key, fallback, name, e)) return -1;
    if (!(x >= 0 && x <= 4294967295.0) || x != floor(x)) return error_set(e, "%s: \"%s\" must be a whole number", name, key);
    *out = (uint32_t)x;
    return 0;
}

static int token(int32_t *out, const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    if (cJSON_IsArray(item)) item = cJSON_GetArrayItem(item, 0); // several ends: the first is the tokenizer's
    *out = cJSON_IsNumber(item) ? item->valueint : -1;
    return 0;
}

static int rope_json(struct model_config *c, const cJSON *json, const char *name, struct error *e)
{
    // transformers 5 writes "rope_parameters" with rope_theta inside; before it was "rope_scaling" beside rope_theta.
    const cJSON *rope = cJSON_GetObjectItemCaseSensitive(json, "rope_parameters");
    if (!cJSON_IsObject(rope)) rope = cJSON_GetObjectItemCaseSensitive(json, "rope_scaling");
    const cJSON *inner = cJSON_GetObjectItemCaseSensitive(rope, "rope_theta");
    if (number(&c->rope_theta, inner ? rope : json, "rope_theta", 10000, name, e)) return -1;
    if (!cJSON_IsObject(rope)) return 0;
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(rope, "rope_type");
    if (!type) type = cJSON_GetObjectItemCaseSensitive(rope, "type");
    const char *kind = cJSON_IsString(type) ? type->valuestring : "default";
    if (strcmp(kind, "default") == 0) return 0;
    if (strcmp(kind, "linear") == 0) {
        c->rope_type = ROPE_LINEAR;
        return number(&c->rope_factor, rope, "factor", NAN, name, e);
    }
    if (strcmp(kind, "llama3") != 0)
        return error_set(e, "%s: the rotary scaling \"%s\" is not supported; default, linear and llama3 are", name, kind);
    c->rope_type = ROPE_LLAMA3;
    return number(&c->rope_factor, rope, "factor", NAN, name, e) || number(&c->rope_low, rope, "low_freq_factor", NAN, name, e) ||
            number(&c->rope_high, rope, "high_freq_factor", NAN, name, e) ||
            number(&c->rope_original, rope, "original_max_position_embeddings", NAN, name, e)
        ? -1 : 0;
}

int model_config_json(struct model_config *c, const cJSON *json, const char *name, struct error *e)
{
    *c = (struct model_config){.rope_factor = 1};
    if (!cJSON_IsObject(json)) return error_set(e, "%s: is not a JSON object", name);
    const cJSON *architecture = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "architectures"), 0);
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "model_type");
    int family = -1;
    for (int i = 0; i < FAMILY_COUNT; i++)
        if ((cJSON_IsString(architecture) && strcmp(architecture->valuestring, families[i].architecture) == 0) ||
            (!architecture && cJSON_IsString(type) && strcmp(type->valuestring, families[i].type) == 0))
            family = i;
    if (family < 0)
        return error_set(e, "%s: the architecture \"%s\" is not supported; these are: LlamaForCausalLM, MistralForCausalLM, "
            "Qwen2ForCausalLM", name, cJSON_IsString(architecture) ? architecture->valuestring
            : cJSON_IsString(type) ? type->valuestring : "(none stated)");
    c->family = (enum family)family;
    double epsilon, range;
    if (whole(&c->hidden, json, "hidden_size", NAN, name, e) || whole(&c->layers, json, "num_hidden_layers", NAN, name, e) ||
        whole(&c->heads, json, "num_attention_heads", NAN, name, e) ||
        whole(&c->kv_heads, json, "num_key_value_heads", c->heads, name, e) ||
        whole(&c->head_dim, json, "head_dim", c->heads ? c->hidden / c->heads : 0, name, e) ||
        whole(&c->feed_forward, json, "intermediate_size", NAN, name, e) ||
        whole(&c->vocabulary, json, "vocab_size", NAN, name, e) ||
        whole(&c->max_positions, json, "max_position_embeddings", 2048, name, e) ||
        number(&epsilon, json, "rms_norm_eps", 1e-6, name, e) || number(&range, json, "initializer_range", 0.02, name, e) ||
        rope_json(c, json, name, e))
        return -1;
    c->norm_epsilon = (float)epsilon;
    c->initializer_range = (float)range;
    const cJSON *tied = cJSON_GetObjectItemCaseSensitive(json, "tie_word_embeddings");
    c->tied = cJSON_IsTrue(tied);
    c->qkv_bias = family == FAMILY_QWEN2;
    const cJSON *bias = cJSON_GetObjectItemCaseSensitive(json, "attention_bias");
    const cJSON *mlp_bias = cJSON_GetObjectItemCaseSensitive(json, "mlp_bias");
    if ((family != FAMILY_QWEN2 && cJSON_IsTrue(bias)) || cJSON_IsTrue(mlp_bias))
        return error_set(e, "%s: biases in all projections (attention_bias, mlp_bias) are not supported", name);
    const cJSON *act = cJSON_GetObjectItemCaseSensitive(json, "hidden_act");
    if (cJSON_IsString(act) && strcmp(act->valuestring, "silu") != 0)
        return error_set(e, "%s: hidden_act \"%s\" is not supported; silu is", name, act->valuestring);
    const cJSON *window = cJSON_GetObjectItemCaseSensitive(json, "sliding_window");
    const cJSON *use = cJSON_GetObjectItemCaseSensitive(json, "use_sliding_window");
    if (cJSON_IsNumber(window) && !(window->valuedouble >= 0 && window->valuedouble <= UINT32_MAX))
        return error_set(e, "%s: sliding_window is %g; it is a number of tokens, or null", name, window->valuedouble);
    if (cJSON_IsNumber(window) && (family == FAMILY_MISTRAL || cJSON_IsTrue(use)) && window->valuedouble >= 1)
        c->window = (uint32_t)window->valuedouble;
    if (c->window && family == FAMILY_QWEN2)
        return error_set(e, "%s: use_sliding_window, which Qwen2 applies to some layers only, is not supported", name);
    token(&c->bos, json, "bos_token_id");
    token(&c->eos, json, "eos_token_id");
    token(&c->pad, json, "pad_token_id");
    return check(c, name, e);
}

static void add_token(cJSON *json, const char *key, int32_t id)
{
    if (id >= 0) cJSON_AddNumberToObject(json, key, id);
    else cJSON_AddNullToObject(json, key);
}

cJSON *model_config_to_json(const struct model_config *c)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "architectures", cJSON_CreateStringArray(&families[c->family].architecture, 1));
    cJSON_AddStringToObject(json, "model_type", families[c->family].type);
    cJSON_AddNumberToObject(json, "hidden_size", c->hidden);
    cJSON_AddNumberToObject(json, "intermediate_size", c->feed_forward);
    cJSON_AddNumberToObject(json, "num_hidden_layers", c->layers);
    cJSON_AddNumberToObject(json, "num_attention_heads", c->heads);
    cJSON_AddNumberToObject(json, "num_key_value_heads", c->kv_heads);
    cJSON_AddNumberToObject(json, "head_dim", c->head_dim);
    cJSON_AddNumberToObject(json, "vocab_size", c->vocabulary);
    cJSON_AddNumberToObject(json, "max_position_embeddings", c->max_positions);
    char epsilon[32]; // the shortest decimal that is the same float, not the float's digits as a double
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(epsilon, sizeof epsilon, "%.*g", digits, (double)c->norm_epsilon);
        if (strtof(epsilon, NULL) == c->norm_epsilon) break;
    }
    cJSON_AddNumberToObject(json, "rms_norm_eps", strtod(epsilon, NULL));
    cJSON_AddNumberToObject(json, "rope_theta", c->rope_theta);
    if (c->rope_type != ROPE_PLAIN) {
        cJSON *rope = cJSON_AddObjectToObject(json, "rope_scaling");
        cJSON_AddStringToObject(rope, "rope_type", c->rope_type == ROPE_LINEAR ? "linear" : "llama3");
        cJSON_AddNumberToObject(rope, "factor", c->rope_factor);
        if (c->rope_type == ROPE_LLAMA3) {
            cJSON_AddNumberToObject(rope, "low_freq_factor", c->rope_low);
            cJSON_AddNumberToObject(rope, "high_freq_factor", c->rope_high);
            cJSON_AddNumberToObject(rope, "original_max_position_embeddings", c->rope_original);
        }
    }
    if (c->family == FAMILY_MISTRAL) {
        if (c->window) cJSON_AddNumberToObject(json, "sliding_window", c->window);
        else cJSON_AddNullToObject(json, "sliding_window");
    }
    cJSON_AddStringToObject(json, "hidden_act", "silu");
    if (c->family == FAMILY_LLAMA) {
        cJSON_AddBoolToObject(json, "attention_bias", false);
        cJSON_AddBoolToObject(json, "mlp_bias", false);
    }
    cJSON_AddBoolToObject(json, "tie_word_embeddings", c->tied);
    cJSON_AddNumberToObject(json, "initializer_range", 0.02);
    add_token(json, "bos_token_id", c->bos);
    add_token(json, "eos_token_id", c->eos);
    add_token(json, "pad_token_id", c->pad);
    cJSON_AddBoolToObject(json, "use_cache", true);
    return json;
}

// ---- GGUF ------------------------------------------------------------------------------------------------------------

// GGUF keeps llama3's scaling as a vector of divisors; config.json needs its four parameters. All of Meta's models use
// low 1, high 4 and 8,192 original positions; the factor is the largest divisor. Another vector is refused.
static int rope_gguf(struct model_config *c, const struct gguf *g, const char *arch, const char *name, struct error *e)
{
    char key[128];
    const char *type;
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    if (gguf_text(&type, g, key, "none", e)) return -1;
    if (strcmp(type, "linear") == 0) {
        float factor;
        snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
        if (gguf_f32(&factor, g, key, 1, e)) return -1;
        c->rope_type = ROPE_LINEAR;
        c->rope_factor = factor;
    } else if (strcmp(type, "none") != 0) {
        return error_set(e, "%s: the rotary scaling \"%s\" is not supported", name, type);
    }
    const struct tensor_view *t = gguf_find(g, "rope_freqs.weight");
    if (!t) return 0;
    if (tensor_count(t) != c->head_dim / 2)
        return error_set(e, "%s: rope_freqs.weight has %llu elements, not head_dim / 2 = %u", name,
            (unsigned long long)tensor_count(t), c->head_dim / 2);
    float divisor[128] = {0}, most = 1;
    if (tensor_read_f32(divisor, t, 0, c->head_dim / 2, e)) return -1;
    for (uint32_t i = 0; i < c->head_dim / 2; i++)
        if (divisor[i] > most) most = divisor[i];
    struct model_config plain = *c;
    plain.rope_type = ROPE_LLAMA3;
    plain.rope_factor = most;
    plain.rope_low = 1;
    plain.rope_high = 4;
    plain.rope_original = 8192;
    struct model_config unscaled = *c;
    float scaled[2 * 256], bare[2 * 256]; // sines at position 1 are nearly the frequencies: compare through asin
    model_rope_table(scaled, &plain, 2);
    model_rope_table(bare, &unscaled, 2);
    uint32_t D = c->head_dim;
    for (uint32_t i = 0; i < D / 2; i++) {
        double want = atan2((double)bare[D + D / 2 + i], (double)bare[D + i]) / (double)divisor[i];
        double got = atan2((double)scaled[D + D / 2 + i], (double)scaled[D + i]);
        if (fabs(got - want) > 1e-3 * want) return error_set(e, "%s: rope_freqs.weight is not Llama 3's rotary scaling", name);
    }
    *c = plain;
    return 0;
}

int model_config_gguf(struct model_config *c, const struct gguf *g, const char *name, struct error *e)
{
    *c = (struct model_config){.rope_factor = 1, .initializer_range = 0.02f};
    const char *arch;
    if (gguf_need(g, "general.architecture", e) || gguf_text(&arch, g, "general.architecture", "", e))
        return error_prefix(e, "%s: ", name);
    int family = -1;
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (strcmp(arch, families[i].gguf) == 0) family = i;
    if (family < 0)
        return error_set(e, "%s: the architecture \"%s\" is not supported; these are: llama, mistral, qwen2", name, arch);
    c->family = (enum family)family;
    float theta;
    const struct {
        const char *key;
        uint32_t *out, fallback; // fallback 0: needed
    } sizes[] = {{"embedding_length", &c->hidden, 0}, {"block_count", &c->layers, 0}, {"attention.head_count", &c->heads, 0},
        {"attention.head_count_kv", &c->kv_heads, UINT32_MAX}, {"attention.key_length", &c->head_dim, UINT32_MAX},
        {"feed_forward_length", &c->feed_forward, 0}, {"context_length", &c->max_positions, 2048}};
    char key[128];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, sizes[i].key);
        if ((!sizes[i].fallback && gguf_need(g, key, e)) || gguf_u32(sizes[i].out, g, key, sizes[i].fallback, e))
            return error_prefix(e, "%s: ", name);
    }
    if (c->kv_heads == UINT32_MAX) c->kv_heads = c->heads;
    if (c->head_dim == UINT32_MAX) c->head_dim = c->heads ? c->hidden / c->heads : 0;
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    if (gguf_f32(&c->norm_epsilon, g, key, 1e-6f, e)) return error_prefix(e, "%s: ", name);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    if (gguf_f32(&theta, g, key, 10000, e)) return error_prefix(e, "%s: ", name);
    c->rope_theta = theta;
    const struct tensor_view *table = gguf_find(g, "token_embd.weight");
    if (!table || table->rank != 2) return error_set(e, "%s: has no token_embd.weight matrix", name);
    c->vocabulary = (uint32_t)table->shape[0];
    c->tied = gguf_find(g, "output.weight") == NULL;
    c->qkv_bias = family == FAMILY_QWEN2;
    if (gguf_i32(&c->bos, g, "tokenizer.ggml.bos_token_id", -1, e) || gguf_i32(&c->eos, g, "tokenizer.ggml.eos_token_id", -1, e) ||
        gguf_i32(&c->pad, g, "tokenizer.ggml.padding_token_id", -1, e))
        return error_prefix(e, "%s: ", name);
    uint32_t experts;
    snprintf(key, sizeof key, "%s.expert_count", arch);
    if (gguf_u32(&experts, g, key, 0, e)) return error_prefix(e, "%s: ", name);
    if (experts) return error_set(e, "%s: mixtures of experts are not supported", name);
    return check(c, name, e) || rope_gguf(c, g, arch, name, e) ? -1 : 0;
}

// ---- rotary table ------------------------------------------------------------------------------------------------

void model_rope_table(float *out, const struct model_config *c, uint64_t positions)
{
    const double pi = 3.14159265358979323846;
    uint32_t D = c->head_dim;
    for (uint32_t i = 0; i < D / 2; i++) {
        double frequency = pow(c->rope_theta, -2.0 * i / D);
        if (c->rope_type == ROPE_LINEAR) frequency /= c->rope_factor;
        if (c->rope_type == ROPE_LLAMA3) {
            // Wavelengths above original / low are stretched by the factor, those below original / high stay, between
            // them the two are mixed (transformers, modeling_rope_utils.py, _compute_llama3_parameters).
            double wavelength = 2 * pi / frequency;
            double mix = (c->rope_original / wavelength - c->rope_low) / (c->rope_high - c->rope_low);
            mix = mix < 0 ? 0 : mix > 1 ? 1 : mix;
            frequency = (1 - mix) * frequency / c->rope_factor + mix * frequency;
        }
        for (uint64_t p = 0; p < positions; p++) {
            out[p * D + i] = (float)cos((double)p * frequency);
            out[p * D + D / 2 + i] = (float)sin((double)p * frequency);
        }
    }
}
