// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

int error_set(struct error *e, const char *format, ...)
{
    if (!e) return -1;
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    return -1;
}

int error_prefix(struct error *e, const char *format, ...)
{
    if (!e) return -1;
    struct error old = *e;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof e->text) snprintf(e->text + n, sizeof e->text - (size_t)n, "%s", old.text);
    return -1;
}

static void *checked(void *p, size_t bytes)
{
    if (p || !bytes) return p;
    fprintf(stderr, "pumice: out of memory (%zu bytes asked for)\n", bytes);
    exit(1);
}

void *mem_alloc(size_t bytes)
{
    return checked(malloc(bytes), bytes);
}

void *mem_zero(size_t count, size_t bytes)
{
    return checked(calloc(count, bytes), count && bytes ? 1 : 0);
}

void *mem_resize(void *p, size_t bytes)
{
    return checked(realloc(p, bytes), bytes);
}

char *mem_string(const char *s)
{
    return mem_string_n(s, strlen(s));
}

char *mem_string_n(const char *s, size_t bytes)
{
    char *copy = mem_alloc(bytes + 1);
    memcpy(copy, s, bytes);
    copy[bytes] = 0;
    return copy;
}

char *mem_format(const char *format, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&out, format, args);
    va_end(args);
    return checked(n < 0 ? NULL : out, 1);
}

void text_add(struct text *t, const void *data, size_t bytes)
{
    if (t->bytes + bytes + 1 > t->capacity) {
        size_t capacity = t->capacity ? t->capacity : 64;
        while (t->bytes + bytes + 1 > capacity) capacity *= 2;
        t->data = mem_resize(t->data, capacity);
        t->capacity = capacity;
    }
    if (bytes) memcpy(t->data + t->bytes, data, bytes);
    t->bytes += bytes;
    t->data[t->bytes] = 0;
}

void text_print(struct text *t, const char *format, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&out, format, args);
    va_end(args);
    checked(n < 0 ? NULL : out, 1);
    text_add(t, out, (size_t)n);
    free(out);
}

void text_free(struct text *t)
{
    free(t->data);
    *t = (struct text){0};
}

int file_map(struct file_map *f, const char *path, struct error *e)
{
    *f = (struct file_map){(const uint8_t *)"", 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set(e, "%s: cannot be opened (%s)", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(e, "%s: is not a regular file", path);
    }
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            close(fd);
            return error_set(e, "%s: cannot be mapped into memory (%s)", path, strerror(errno));
        }
        f->data = p;
        f->bytes = (size_t)st.st_size;
    }
    close(fd);
    return 0;
}

void file_unmap(struct file_map *f)
{
    if (f->bytes) munmap((void *)(uintptr_t)f->data, f->bytes);
    *f = (struct file_map){(const uint8_t *)"", 0};
}

void file_pages_release(const void *data, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)data / page * page;
    madvise((void *)first, (uintptr_t)data + bytes - first, MADV_DONTNEED);
}

#define COMPILER_BYTES (16u << 20) // of code: what runs all the time, a driver or a C library, has less

int code_pages_release(size_t least)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[4352], path[2];
    unsigned long first = 0, end = 0, kilobytes;
    int released = 0;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long a, b;
        char rights[5];
        int words = sscanf(line, "%lx-%lx %4s %*s %*s %*s %1s", &a, &b, rights, path);
        if (words >= 3) {
            bool code = words == 4 && path[0] == '/' && strcmp(rights, "r-xp") == 0;
            first = a;
            end = code && b - a >= least ? b : a;
        } else if (end > first && sscanf(line, "Anonymous: %lu kB", &kilobytes) == 1) {
            // Pages of its own would be lost: what a loader or a debugger wrote.
            if (kilobytes == 0 && madvise((void *)first, end - first, MADV_DONTNEED) == 0) released++;
            end = first;
        }
    }
    if (file) fclose(file);
    return released;
}

void mem_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    code_pages_release(COMPILER_BYTES);
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool folder_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int folder_make(const char *path, struct error *e)
{
    if (folder_exists(path)) return 0;
    char *parent = path_folder(path);
    int status = 0;
    if (strcmp(parent, path) != 0 && strcmp(parent, ".") != 0) status = folder_make(parent, e);
    free(parent);
    if (status) return status;
    if (mkdir(path, 0777) != 0 && !(errno == EEXIST && folder_exists(path)))
        return error_set(e, "%s: the folder cannot be made (%s)", path, strerror(errno));
    return 0;
}

char *path_join(const char *a, const char *b)
{
    if (b[0] == '/') return mem_string(b);
    size_t n = strlen(a);
    return mem_format("%s%s%s", a, n && a[n - 1] == '/' ? "" : "/", b);
}

char *path_folder(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--; // "a/b/" is the folder a/b, which lies in a
    while (n > 0 && path[n - 1] != '/') n--;
    if (n == 0) return mem_string(".");
    while (n > 1 && path[n - 1] == '/') n--;
    return mem_string_n(path, n);
}

int folder_sync(const char *path, struct error *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return error_set(e, "%s: cannot be opened (%s)", path, strerror(errno));
    // Some file systems refuse fsync on folders with EINVAL; they give no stronger promise to ask for.
    int status = fsync(fd) == 0 || errno == EINVAL ? 0 : error_set(e, "%s: fsync failed (%s)", path, strerror(errno));
    close(fd);
    return status;
}

// An empty file that is this process's alone until it is closed or renamed: another that writes the same file, a cache's say,
// waits, and then finds the name gone or taken anew. A name of each process's own would stay where one was killed.
static int temporary_open(const char *path)
{
    for (int rounds = 0;; rounds++) {
        struct stat mine, there;
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return -1;
        int lock;
        do lock = flock(fd, LOCK_EX);
        while (lock != 0 && errno == EINTR);
        bool locks = lock == 0; // not on every file system
        bool same = fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
        bool ours = same || !locks || rounds == 100; // numbers of files that change from call to call say nothing
        if (ours && ftruncate(fd, 0) == 0) return fd;
        int why = errno;
        close(fd);
        errno = why;
        if (ours) return -1;
    }
}

int file_write_atomic(const char *path, const void *data, size_t bytes, struct error *e)
{
    char *temporary = mem_format("%s.tmp", path), *folder = path_folder(path);
    int status = 0, fd = temporary_open(temporary);
    if (fd < 0) {
        status = error_set(e, "%s: cannot be written (%s)", temporary, strerror(errno));
    } else {
        for (size_t done = 0; done < bytes && status == 0;) {
            ssize_t n = write(fd, (const char *)data + done, bytes - done);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) status = error_set(e, "%s: cannot be written (%s)", temporary, strerror(errno));
            else done += (size_t)n;
        }
        if (status == 0 && fsync(fd) != 0) status = error_set(e, "%s: fsync failed (%s)", temporary, strerror(errno));
        if (status == 0 && rename(temporary, path) != 0)
            status = error_set(e, "%s: cannot be renamed to %s (%s)", temporary, path, strerror(errno));
        if (status != 0) unlink(temporary);
        close(fd); // now that the name is free; what it could say, fsync has said
        if (status == 0) status = folder_sync(folder, e);
    }
    free(temporary);
    free(folder);
    return status;
}

int folder_remove(const char *path, struct error *e)
{
    DIR *dir = opendir(path);
    if (!dir) return errno == ENOENT ? 0 : error_set(e, "%s: cannot be opened (%s)", path, strerror(errno));
    int status = 0;
    for (struct dirent *d; status == 0 && (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
        char *child = path_join(path, d->d_name);
        struct stat st;
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode)) status = folder_remove(child, e);
        else if (unlink(child) != 0) status = error_set(e, "%s: cannot be removed (%s)", child, strerror(errno));
        free(child);
    }
    closedir(dir);
    if (status == 0 && rmdir(path) != 0)
        status = error_set(e, "%s: cannot be removed (%s)", path, strerror(errno));
    return status;
}

uint64_t fnv1a(uint64_t hash, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t memory_peak(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu kB", &kilobytes) == 1) break;
    if (file) fclose(file);
    return kilobytes * 1024;
}

uint64_t memory_total(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[128], n = strlen(a), m = strlen(b);
    if (n >= 128 || m >= 128) return 128;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

const char *nearest_name(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t least = (strlen(word) + 2) / 3 + 1;
    for (; *names; names++) {
        size_t d = edit_distance(word, *names);
        if (d < least) least = d, best = *names;
    }
    return best;
}

const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    flockfile(stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(args);
}
