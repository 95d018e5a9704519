// SPDX-License-Identifier: MIT
//
// safetensors.h: reading and writing the safetensors format (huggingface/safetensors, README "Format"): 8 bytes length
// of the header, little-endian; the header, a JSON object name -> {dtype, shape, data_offsets}, with strings about the
// file under "__metadata__"; then the tensors' bytes without holes.
//
// The reader refuses, with one sentence, whatever the reference implementation refuses, and more: a header longer than
// the file, offsets outside of the file, overlaps and holes, shape times type unequal to the bytes, names twice,
// tensors of more than TENSOR_RANK dimensions. Opening is O(n log n) in the number of tensors, finding O(log n).
#ifndef PUMICE_SAFETENSORS_H
#define PUMICE_SAFETENSORS_H

#include "base.h"
#include "formats/tensor.h"

struct safetensors;

// Opens one file, or a folder that holds model.safetensors or model.safetensors.index.json with the files it names
// (all of them are opened; each tensor of the index must be in the file it says). NULL
// with the reason.
struct safetensors *safetensors_open(const char *path, struct error *e);
void safetensors_close(struct safetensors *s); // NULL is fine

size_t safetensors_count(const struct safetensors *s);
// Tensor i in the order of file and offset. The view belongs to s.
const struct tensor_view *safetensors_at(const struct safetensors *s, size_t i);
// The tensor of that name, or NULL.
const struct tensor_view *safetensors_find(const struct safetensors *s, const char *name);
// A string of "__metadata__" (of the first file), or NULL.
const char *safetensors_metadata(const struct safetensors *s, const char *key);

// Writing: open with the list of all tensors, append their bytes in that order in pieces of any size, finish. The file
// has its name only after finish: until then it is `path`.tmp. After any failure (a full disk, say) call abort: the
// temporary file is removed.
struct safetensors_entry {
    const char *name;
    enum dtype dtype; // one of safetensors' own: not a block type
    int rank;
    uint64_t shape[TENSOR_RANK]; // (rank) outermost first
};

// Sorts by size of element, widest first, and keeps the order otherwise: so every tensor starts aligned, which
// safetensors_writer_open asserts (readers in Python need it).
void safetensors_entries_sort(struct safetensors_entry *entries, size_t count);

struct safetensors_writer;

// `metadata` is a list key, value, key, value, ..., NULL, or NULL for none; "format": "pt" is added unless it is there.
// Entries and metadata are used during this call only. Names must be different (else an error). NULL with the reason.
struct safetensors_writer *safetensors_writer_open(const char *path, const struct safetensors_entry *entries,
    size_t count, const char *const *metadata, struct error *e);
// The next bytes. -1 with the reason; then only abort is left.
int safetensors_writer_append(struct safetensors_writer *w, const void *data, size_t bytes, struct error *e);
// All bytes must have come (asserted). fsync, rename, fsync of the folder. Frees w, in failure too (then the temporary
// file is gone and nothing stands under `path` that was not there before).
int safetensors_writer_finish(struct safetensors_writer *w, struct error *e);
// Gives up: removes the temporary file and frees w. NULL is fine.
void safetensors_writer_abort(struct safetensors_writer *w);

#endif
