// SPDX-License-Identifier: MIT
//
// model.h: a checkpoint on disk, its weights by name, and its forward pass as a graph.
//
// Projections that read the same input are one weight: q, k and v stacked by rows, gate and up likewise. Files know the
// parts; `struct model_weight` says which.
#ifndef PUMICE_MODEL_H
#define PUMICE_MODEL_H

#include "graph/record.h"
#include "model/config.h"

struct cJSON;
struct gguf;

// A part of a stacked weight, as files name it.
struct model_part {
    char hf[96], gguf[64];
    uint64_t first_row, rows;
    uint32_t permuted_heads; // GGUF's llama interleaves the rows of each q and k head: this many heads; 0: not permuted
};
struct model_weight {
    char name[64];
    uint64_t rows, columns;
    bool matrix; // else a vector (norm, bias)
    int part_count;
    struct model_part parts[3];
};

struct model {
    struct model_config config;
    char *path;            // folder or file it was opened from; NULL: random weights
    struct cJSON *json;    // config.json as it was, or NULL
    struct gguf *gguf;     // open file, or NULL
    struct safetensors *safetensors; // likewise
    struct model_weight *weights;    // (weight_count), in the graph's order of weights
    int weight_count;
};

// A Hugging Face folder, a .gguf file, or a hub id ("HuggingFaceTB/SmolLM2-135M") found in the local Hugging Face cache.
// Checks that every weight is there with the right shape and a readable type. -1 with a sentence.
int model_open(struct model *m, const char *path, struct error *e);
// Random weights for config.json's numbers: normal(0, initializer_range), norms 1, biases 0.
int model_open_init(struct model *m, const struct cJSON *config, const char *name, struct error *e);
// SmolLM2-135M's shapes with random weights: the model of commands that need none of their own (bench, kernels).
void model_open_builtin(struct model *m);
#define MODEL_BUILTIN "SmolLM2-135M (random weights)"
void model_close(struct model *m);

// Builds the forward pass. graph_init has been called. LOSS: training and evaluation; LOGITS: generation (the caller has
// set cache_slots and cache_capacity). positions: rows of the rotary table.
enum model_use { MODEL_LOSS, MODEL_LOGITS };
void model_graph(const struct model *m, struct graph *g, enum model_use use, uint64_t positions);
// Writes the rotary table of a replay.
void model_fill_tables(const struct model *m, struct replay *r, const struct graph *g);

// Streams the weights to the engine, a few megabytes at a time. `seed` is used by random weights. `progress` (or NULL) is
// called with the share done.
int model_load(const struct model *m, struct engine *engine, uint64_t seed, struct error *e);
// Where the weights that are saved come from: rows [first, first + rows) of a part, tightly, in the order of Hugging Face (of a
// vector's part its one row). Parts are asked for in order, each from its first row to its last, once. -1 with the reason.
struct model_source {
    int (*read)(void *context, int weight, int part, uint64_t first, uint64_t rows, float *out, struct error *e);
    void *context;
};
struct model_engine { // of an engine; the context of model_engine_read
    const struct model *model;
    struct engine *engine;
};
int model_engine_read(void *context, int weight, int part, uint64_t first, uint64_t rows, float *out, struct error *e);
// Writes model.safetensors and config.json into an existing folder, in Hugging Face names; bf16 or f32.
int model_write(const struct model *m, const struct model_source *source, const char *folder, bool bf16, struct error *e);
int model_save(const struct model *m, struct engine *engine, const char *folder, bool bf16, struct error *e);

// Part `part` of weight `w` in the row-major order of Hugging Face, rows [first, first + rows) of the part, into out with
// leading dimension ld.
int model_read(const struct model *m, int weight, int part, uint64_t first, uint64_t rows, float *out, uint64_t ld,
    struct error *e);
// The same, tightly, for a vector's part too. What is read is the model's file: there are no random weights.
int model_read_part(const struct model *m, int weight, int part, uint64_t first, uint64_t rows, float *out, struct error *e);
// 16 hexadecimal digits that tell the weights of a file from others of their shape, and from themselves after training: a
// hash of the first and the last row of each weight, so that it costs as little for a large file as for a small one.
int model_fingerprint(char out[17], const struct model *m, struct error *e);
// A part's shape: of a vector one row.
void model_part_shape(const struct model_weight *w, int part, uint64_t *rows, uint64_t *columns);
uint64_t model_parameters(const struct model *m);

#endif
