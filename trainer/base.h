// SPDX-License-Identifier: MIT
//
// base.h: the few things every part of the trainer uses: errors, memory, growable text, whole files, hashes.
//
// Three kinds of error exist (README, "Errors"). The user's: a function fills a `struct error` with one sentence that
// says what, where and what to try, and returns -1 or NULL; the command prints it and exits 1. Ours: assert. The
// driver's: the runtime prints call, result, last kernel and device, and exits 3.
#ifndef PUMICE_BASE_H
#define PUMICE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// What is wrong with the user's input, as one sentence without a final newline. Empty text: nothing is wrong.
struct error {
    char text[1024];
    bool device; // not the input but the lack of any usable device: the command exits 3 instead of 1
};

// Writes the sentence (printf style) and returns -1, so that `return error_set(e, ...)` reads well. `e` may be NULL.
int error_set(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Puts a context in front of the sentence already there ("config.json: " + text) and returns -1.
int error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

// malloc and friends that stop the program with a sentence when memory runs out; never return NULL for size > 0.
void *mem_alloc(size_t bytes);                  // uninitialised
void *mem_zero(size_t count, size_t bytes);     // zeroed, overflow checked
void *mem_resize(void *p, size_t bytes);        // realloc
char *mem_string(const char *s);                // strdup
char *mem_string_n(const char *s, size_t bytes); // strndup
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2))); // asprintf; the caller frees

// Makes room for at least one more element in a growable array: `p` has `count` of `*capacity` elements in use.
#define GROW(p, count, capacity)                                                                                       \
    ((count) < (capacity)                                                                                              \
            ? (void)0                                                                                                  \
            : (void)((capacity) = (capacity) ? 2 * (capacity) : 16, (p) = mem_resize((p), (capacity) * sizeof *(p))))

// Growable bytes, always ended by a 0 that `bytes` does not count; may hold 0 bytes inside. Start from {0}.
struct text {
    char *data; // (bytes + 1), owned
    size_t bytes, capacity;
};
void text_add(struct text *t, const void *data, size_t bytes);
void text_print(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *t); // and back to {0}

// A whole file, mapped read-only (empty files have data = "" and bytes = 0). 0, or -1 with the reason.
struct file_map {
    const uint8_t *data; // (bytes)
    size_t bytes;
};
int file_map(struct file_map *f, const char *path, struct error *e);
void file_unmap(struct file_map *f);
// Of a mapped file, never other memory: these bytes are not needed for now; their pages, whole ones, may leave the memory and are
// read again on the next use.
void file_pages_release(const void *data, size_t bytes);
// The same for the code of programs and libraries, as far as one mapping has `least` bytes of it or more: it is the files' own
// and comes back as it runs. Returns how many mappings were given back; 0 where the system does not tell them (/proc).
int code_pages_release(size_t least);
// Gives memory that was freed back to the system, where the C library keeps it (glibc), and the code of large libraries: drivers'
// compilers leave much behind, and are large themselves.
void mem_trim(void);

bool file_exists(const char *path);      // a regular file, or a link to one
bool folder_exists(const char *path);
// Makes a folder and those above it; an existing one is no error.
int folder_make(const char *path, struct error *e);
// `a/b`; when `b` is absolute, `b`. The caller frees.
char *path_join(const char *a, const char *b);
// The folder part of a path ("." when it has none). The caller frees.
char *path_folder(const char *path);

// Writes a file so that after a crash at any instant either the old or the whole new content is there: temporary name
// in the same folder, fsync, rename, fsync of the folder.
int file_write_atomic(const char *path, const void *data, size_t bytes, struct error *e);
// fsync of a folder, so that names made or renamed in it survive a power cut.
int folder_sync(const char *path, struct error *e);
// Removes a folder with all it holds; a missing one is no error.
int folder_remove(const char *path, struct error *e);

// FNV-1a, 64 bits. Start from FNV_START and chain.
#define FNV_START UINT64_C(0xcbf29ce484222325)
uint64_t fnv1a(uint64_t hash, const void *data, size_t bytes);

// The most memory this process has had in RAM so far, in bytes; 0 where the system does not say (no /proc).
uint64_t memory_peak(void);
// The machine's RAM, in bytes.
uint64_t memory_total(void);

// Seconds on a clock that only goes forward.
double clock_seconds(void);

// The element of `names` (NULL ended) that is nearest to `word` by edit distance, or NULL if none is near enough to be
// meant (more than a third of the letters differ).
const char *nearest_name(const char *word, const char *const *names);

// "" for one, else "s": say("%zu row%s", count, plural(count)).
const char *plural(uint64_t count);

// One line on stderr, for messages and warnings (never results). A newline is added.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
