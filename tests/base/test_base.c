// SPDX-License-Identifier: MIT
#include "base.h"
#include "test.h"

#include <sys/wait.h>
#include <unistd.h>

static void names(void)
{
    const char *const keys[] = {"learning_rate", "lr_end", "seed", NULL};
    CHECK_STRING(nearest_name("learning_rat", keys), "learning_rate");
    CHECK_STRING(nearest_name("sead", keys), "seed");
    CHECK(nearest_name("banana_split", keys) == NULL);
}

static void paths(void)
{
    char *p;
    CHECK_STRING(p = path_join("a", "b"), "a/b");
    free(p);
    CHECK_STRING(p = path_join("a/", "b"), "a/b");
    free(p);
    CHECK_STRING(p = path_join("a", "/b"), "/b");
    free(p);
    CHECK_STRING(p = path_folder("a/b"), "a");
    free(p);
    CHECK_STRING(p = path_folder("b"), ".");
    free(p);
    CHECK_STRING(p = path_folder("/b"), "/");
    free(p);
    CHECK_STRING(p = path_folder("a/b/"), "a");
    free(p);
}

static void files(void)
{
    char folder[] = "/tmp/pumice-test-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    struct error e = {0};
    char *deep = path_join(folder, "x/y"), *path = path_join(deep, "f");
    CHECK(folder_make(deep, &e) == 0);
    CHECK(file_write_atomic(path, "one", 3, &e) == 0);
    CHECK(file_write_atomic(path, "other", 5, &e) == 0);
    struct file_map f;
    CHECK(file_map(&f, path, &e) == 0 && f.bytes == 5 && memcmp(f.data, "other", 5) == 0);
    file_unmap(&f);
    CHECK(file_map(&f, deep, &e) == -1);
    CHECK_ERROR(e, "not a regular file");
    CHECK(file_write_atomic("/nowhere/at/all", "x", 1, &e) == -1);
    CHECK_ERROR(e, "/nowhere/at/all");
    CHECK(folder_remove(folder, &e) == 0 && !folder_exists(folder));
    free(deep), free(path);
}

// Two processes that write one file again and again: none fails, and what is there is one of theirs, whole.
static void two_writers(void)
{
    enum { TIMES = 100, BYTES = 20000 };
    static char data[BYTES];
    char folder[] = "/tmp/pumice-test-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    struct error e = {0};
    char *path = path_join(folder, "f");
    pid_t child = fork();
    memset(data, child ? 'a' : 'b', sizeof data);
    int failed = 0;
    for (int i = 0; i < TIMES; i++) failed += file_write_atomic(path, data, child ? BYTES : BYTES / 2, &e) != 0;
    if (child == 0) _exit(failed != 0);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_SAY(failed == 0, "%d of %d: %s", failed, TIMES, e.text);
    struct file_map f;
    CHECK(file_map(&f, path, &e) == 0);
    char first = f.bytes ? *(const char *)f.data : 0;
    CHECK(f.bytes == (first == 'a' ? BYTES : BYTES / 2));
    for (size_t i = 0; i < f.bytes; i++) failed += ((const char *)f.data)[i] != first;
    CHECK(failed == 0);
    file_unmap(&f);
    CHECK(folder_remove(folder, &e) == 0);
    free(path);
}

static void hashes(void)
{
    // Published test vectors of FNV-1a 64.
    CHECK(fnv1a(FNV_START, "", 0) == UINT64_C(0xcbf29ce484222325));
    CHECK(fnv1a(FNV_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    CHECK(fnv1a(FNV_START, "foobar", 6) == UINT64_C(0x85944171f73967e8));
}

// Kilobytes of files that are in this process's memory.
static unsigned long file_kilobytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssFile: %lu kB", &kilobytes) == 1) break;
    if (file) fclose(file);
    return kilobytes;
}

// Code that is given back still runs, and does not stay.
static void code(void)
{
    CHECK(code_pages_release(SIZE_MAX) == 0);
    unsigned long before = file_kilobytes();
    int released = code_pages_release(0);
    unsigned long after = file_kilobytes();
    CHECK_SAY(before == 0 || (released > 0 && after < before), "%d mappings, %lu kB, then %lu", released, before, after);
    hashes();
}

int main(void)
{
    names();
    paths();
    files();
    two_writers();
    hashes();
    code();
    return test_end();
}
