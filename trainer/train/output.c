// SPDX-License-Identifier: MIT
#include "train/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct output {
    int lock; // the descriptor that holds it
};

enum output_name output_name(const char *name, uint64_t *step)
{
    static const char prefix[] = "checkpoint-";
    if (strcmp(name, "model.tmp") == 0) return OUTPUT_TEMPORARY;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return OUTPUT_OTHER;
    const char *digits = name + sizeof prefix - 1;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 19 || (n > 1 && *digits == '0')) return OUTPUT_OTHER; // 19 digits fit; as we write them only
    const char *end = digits + n;
    if (strcmp(end, ".tmp") == 0) return OUTPUT_TEMPORARY;
    enum output_name kind = *end == 0 ? OUTPUT_CHECKPOINT : strcmp(end, ".old") == 0 ? OUTPUT_REPLACED : OUTPUT_OTHER;
    if (step && kind != OUTPUT_OTHER) *step = strtoull(digits, NULL, 10);
    return kind;
}

static int take_lock(struct output *o, const char *folder, struct error *e)
{
    char *path = path_join(folder, OUTPUT_LOCK), holder[300] = "";
    int status = 0;
    o->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (o->lock < 0) {
        status = error_set(e, "%s: cannot be opened (%s); output_dir must be writable", path, strerror(errno));
    } else if (flock(o->lock, LOCK_EX | LOCK_NB) == 0) {
        char host[256] = "";
        gethostname(host, sizeof host - 1);
        int n = snprintf(holder, sizeof holder, "process %ld on %s\n", (long)getpid(), host);
        if (ftruncate(o->lock, 0) != 0 || pwrite(o->lock, holder, (size_t)n, 0) != n)
            status = error_set(e, "%s: cannot be written (%s)", path, strerror(errno));
    } else if (errno == EWOULDBLOCK) {
        ssize_t n = pread(o->lock, holder, sizeof holder - 1, 0);
        holder[n > 0 ? n : 0] = 0;
        holder[strcspn(holder, "\n")] = 0;
        status = error_set(e, "%s: in use by %s; wait until it is done, stop it, or choose another output_dir", folder,
            *holder ? holder : "another process");
    } else {
        say("%s: cannot be locked (%s): take care that no other process uses this output_dir", path, strerror(errno));
    }
    free(path);
    return status;
}

// What the finished model would replace, apart from what cannot be there without these.
static bool is_model_file(const char *name)
{
    static const char *const names[] = {
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    size_t n = strlen(name);
    return n > 12 && strcmp(name + n - 12, ".safetensors") == 0;
}

// Looks at what the folder holds: a run that has begun, a model that is none of ours.
static int look(const char *folder, bool resume, bool *resumable, struct error *e)
{
    char *checkpoint = NULL, *model = NULL, *log = path_join(folder, OUTPUT_LOG);
    struct stat st;
    bool logged = stat(log, &st) == 0, lines = logged && st.st_size > 0;
    free(log);
    DIR *dir = opendir(folder);
    if (!dir) return error_set(e, "%s: cannot be read (%s)", folder, strerror(errno));
    for (struct dirent *d; (d = readdir(dir));) {
        enum output_name kind = output_name(d->d_name, NULL);
        char **first = kind == OUTPUT_CHECKPOINT || kind == OUTPUT_REPLACED ? &checkpoint
                       : is_model_file(d->d_name)                           ? &model
                                                                            : NULL;
        if (first && !*first) *first = mem_string(d->d_name);
    }
    closedir(dir);
    *resumable = checkpoint != NULL;
    int status = 0;
    if (!resume && (checkpoint || lines))
        status = error_set(e, "%s: holds another run (%s); use --resume to go on with it, or another output_dir",
            folder, checkpoint ? checkpoint : OUTPUT_LOG);
    else if (model && !checkpoint && !logged)
        status = error_set(e,
            "%s: holds a model that is not of this run (%s), which the finished model would replace; "
            "use another output_dir",
            folder, model);
    free(checkpoint);
    free(model);
    return status;
}

struct output *output_open(const char *folder, bool resume, bool *resumable, struct error *e)
{
    struct output *o = mem_alloc(sizeof *o);
    o->lock = -1;
    *resumable = false;
    if (folder_make(folder, e) == 0 && take_lock(o, folder, e) == 0 && look(folder, resume, resumable, e) == 0)
        return o;
    output_close(o);
    return NULL;
}

void output_close(struct output *o)
{
    if (!o) return;
    if (o->lock >= 0) close(o->lock); // the file stays: removing it would let two processes hold two of them
    free(o);
}

// The folder, or the nearest one above it of which something is there. The caller frees.
static char *first_there(const char *folder)
{
    struct stat st;
    char *at = mem_string(folder);
    while (lstat(at, &st) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        char *above = path_folder(at);
        bool top = strcmp(above, at) == 0;
        free(at);
        at = above;
        if (top) break;
    }
    return at;
}

int output_check(const char *folder, uint64_t bytes, struct error *e)
{
    struct stat st;
    struct statvfs disk;
    char *there = first_there(folder);
    int status = 0;
    if (stat(there, &st) != 0 || (S_ISDIR(st.st_mode) && access(there, W_OK | X_OK) != 0))
        status = error_set(e, "%s: cannot be written to: %s: %s; choose another folder", folder, there, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        status = error_set(e, "%s: cannot be a folder: %s is a file; choose another folder", folder, there);
    else if (statvfs(there, &disk) == 0 && disk.f_blocks) { // some file systems count nothing
        double left = (double)(geteuid() ? disk.f_bavail : disk.f_bfree) * (double)disk.f_frsize, unit = bytes < 1000000000 ? 1e6 : 1e9;
        if (left <= 0)
            status = error_set(e, "%s: its disk is full; make room, or choose another folder", folder);
        else if (left < (double)bytes)
            status = error_set(e, "%s: its disk has %.1f %s left, and %.1f will be written; make room, or choose another folder", folder,
                left / unit, unit > 1e6 ? "GB" : "MB", (double)bytes / unit);
    }
    free(there);
    return status;
}

bool output_in_use(const char *folder)
{
    char *path = path_join(folder, OUTPUT_LOCK);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    // A shared lock is refused by a holder, and by no one else who asks this; it is given back at once.
    bool used = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) close(fd);
    free(path);
    return used;
}

// The first of the names (NULL ended) that is a file in the folder, or is none.
static const char *first_name(const char *folder, const char *const *names, bool there)
{
    for (; *names; names++) {
        char *path = path_join(folder, *names);
        bool is = file_exists(path);
        free(path);
        if (is == there) break;
    }
    return *names;
}

bool output_is_run(const char *folder)
{
    return first_name(folder, (const char *const[]){OUTPUT_CONFIG, OUTPUT_LOG, NULL}, true) != NULL;
}

const char *output_holds(const char *folder)
{
    return first_name(folder,
        (const char *const[]){OUTPUT_CONFIG, OUTPUT_LOG, OUTPUT_GRID, "model.safetensors", "config.json", NULL}, true);
}

const char *output_lacks(const char *folder)
{
    return first_name(folder, (const char *const[]){"model.safetensors", "config.json", NULL}, false);
}
