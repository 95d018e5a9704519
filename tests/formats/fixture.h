// SPDX-License-Identifier: MIT
//
// fixture.h: a folder of its own for a test of files, and files with given bytes in it.
#ifndef PUMICE_FIXTURE_H
#define PUMICE_FIXTURE_H

#include "base.h"
#include "test.h"

#include <unistd.h>

struct fixture {
    char folder[32];
    char path[128]; // of the file at hand
};

static inline void fixture_open(struct fixture *f)
{
    strcpy(f->folder, "/tmp/pumice-test-XXXXXX");
    CHECK(mkdtemp(f->folder) != NULL);
}

static inline void fixture_close(struct fixture *f)
{
    struct error e = {0};
    CHECK_SAY(folder_remove(f->folder, &e) == 0, "%s", e.text);
}

// The path of that name in the folder, valid until the next call.
static inline const char *fixture_path(struct fixture *f, const char *name)
{
    snprintf(f->path, sizeof f->path, "%s/%s", f->folder, name);
    return f->path;
}

// Writes a file and returns its path. Removed first: cutting an old one to nothing makes some file systems write it to
// the disk, and tests write thousands.
static inline const char *fixture_write(struct fixture *f, const char *name, const void *data, size_t bytes)
{
    unlink(fixture_path(f, name));
    FILE *file = fopen(f->path, "wb");
    CHECK(file && fwrite(data, 1, bytes, file) == bytes);
    if (file) fclose(file);
    return f->path;
}

#endif
