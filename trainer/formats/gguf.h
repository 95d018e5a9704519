// SPDX-License-Identifier: MIT
//
// gguf.h: reading GGUF files, versions 2 and 3, little-endian (ggml-org/ggml, docs/gguf.md): magic, version, counts;
// metadata (key, type, value); tensor descriptions; padding to general.alignment; tensor data.
//
// Every length is checked against the file before it is used. Keys and tensor names must be different, tensors must
// start aligned, end inside the file and not overlap. One part of a split model is refused with the way to merge.
#ifndef PUMICE_GGUF_H
#define PUMICE_GGUF_H

#include "base.h"
#include "formats/tensor.h"

struct gguf;

struct gguf *gguf_open(const char *path, struct error *e); // NULL with the reason
void gguf_close(struct gguf *g);                           // NULL is fine
void gguf_pages_release(const struct gguf *g); // of the file, from RAM; what is read again is fetched again

size_t gguf_count(const struct gguf *g);
// Tensor i in the order of the file. The view belongs to g; its shape is outermost first (ne reversed).
const struct tensor_view *gguf_at(const struct gguf *g, size_t i);
// The tensor of that name, or NULL.
const struct tensor_view *gguf_find(const struct gguf *g, const char *name);

// Metadata. Each accessor gives the key's value, or `fallback` when the key is absent; -1 with a sentence when the
// value is of a kind that cannot be meant or is out of range: integers of all widths, bools, and floats with a whole
// value are integers; every number is a float; integers 0 and 1 are bools.
bool gguf_has(const struct gguf *g, const char *key);
// -1 with a sentence when the key is absent.
int gguf_need(const struct gguf *g, const char *key, struct error *e);
int gguf_u32(uint32_t *out, const struct gguf *g, const char *key, uint32_t fallback, struct error *e);
int gguf_i32(int32_t *out, const struct gguf *g, const char *key, int32_t fallback, struct error *e);
int gguf_u64(uint64_t *out, const struct gguf *g, const char *key, uint64_t fallback, struct error *e);
int gguf_f32(float *out, const struct gguf *g, const char *key, float fallback, struct error *e);
int gguf_bool(bool *out, const struct gguf *g, const char *key, bool fallback, struct error *e);
// Ends with a 0 and belongs to g; a string with a 0 inside is an error.
int gguf_text(const char **out, const struct gguf *g, const char *key, const char *fallback, struct error *e);

// Strings of an array: any bytes, not ended by 0, not checked for UTF-8; they point into the file.
struct gguf_string {
    const char *data; // (bytes)
    uint64_t bytes;
};

// Arrays: *out and *count; NULL and 0 when the key is absent or the array is empty. -1 with a sentence for another
// kind. The strings belong to g. Numbers are converted (element by element as above) into new memory that the caller
// frees.
int gguf_strings(const struct gguf_string **out, size_t *count, const struct gguf *g, const char *key, struct error *e);
int gguf_i32s(int32_t **out, size_t *count, const struct gguf *g, const char *key, struct error *e);
int gguf_f32s(float **out, size_t *count, const struct gguf *g, const char *key, struct error *e);

#endif
