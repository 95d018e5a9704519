// SPDX-License-Identifier: MIT
//
// Preloaded by tools/with-driver where a driver comes with a C library newer than the system's. A driver cannot be
// loaded into a process with an older C library, so whenever this process starts a program that uses Vulkan, the
// program is started through the driver's ld.so instead, which lies beside this library with all it needs. Every other
// program (shell, ctest, timeout) runs on the system's own libraries, and only hands this library on to its children.
//
// What uses Vulkan is what mentions libvulkan.so in its file: programs that link it or, like ours, open it by name.
// No heap memory is used: these functions also run in a new process between fork and exec.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 8192 };

// What to start in place of a program that uses Vulkan.
struct command {
    char file[PATH_MAX];                // the program
    char loader[PATH_MAX];              // the driver's ld.so
    char libraries[PATH_MAX];           // where ld.so looks first
    char *arguments[ARGUMENTS_MAX + 8]; // ld.so's, then the program's
};

typedef int exec_function(const char *, char *const[], char *const[]);
typedef int spawn_function(
    pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[], char *const[]);

static char own_folder[PATH_MAX];
static exec_function *real_execve, *real_execvpe;
static spawn_function *real_spawn, *real_spawnp;

__attribute__((constructor)) static void find_functions(void)
{
    Dl_info here;
    if (dladdr((void *)own_folder, &here) && strlen(here.dli_fname) < sizeof own_folder) {
        strcpy(own_folder, here.dli_fname);
        *strrchr(own_folder, '/') = 0;
    }
    *(void **)&real_execve = dlsym(RTLD_NEXT, "execve");
    *(void **)&real_execvpe = dlsym(RTLD_NEXT, "execvpe");
    *(void **)&real_spawn = dlsym(RTLD_NEXT, "posix_spawn");
    *(void **)&real_spawnp = dlsym(RTLD_NEXT, "posix_spawnp");
}

static bool uses_vulkan(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    bool found = false;
    struct stat status;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > SELFMAG) {
        size_t size = (size_t)status.st_size;
        void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (bytes != MAP_FAILED) {
            found = memcmp(bytes, ELFMAG, SELFMAG) == 0 && memmem(bytes, size, "libvulkan.so", 12) != NULL;
            munmap(bytes, size);
        }
    }
    close(file);
    return found;
}

// The file that a name stands for: itself, or, to be searched for as execvp does, in the folders of PATH.
static bool find_program(char file[PATH_MAX], const char *name, bool search)
{
    if (!search || strchr(name, '/')) {
        return snprintf(file, PATH_MAX, "%s%s", strchr(name, '/') ? "" : "./", name) < PATH_MAX;
    }
    const char *folder = getenv("PATH");
    while (folder) {
        size_t length = strcspn(folder, ":");
        if (snprintf(file, PATH_MAX, "%.*s/%s", length ? (int)length : 1, length ? folder : ".", name) < PATH_MAX &&
            access(file, X_OK) == 0) {
            return true;
        }
        folder = folder[length] ? folder + length + 1 : NULL;
    }
    return false;
}

static const char *find_variable(char *const environment[], const char *name)
{
    size_t length = strlen(name);
    for (; environment && *environment; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return *environment + length + 1;
        }
    }
    return "";
}

// If the program uses Vulkan, writes the command that starts it on the driver's libraries and returns true.
static bool command_make(
    struct command *command, const char *name, bool search, char *const arguments[], char *const environment[])
{
    if (!find_program(command->file, name, search) || access(command->file, X_OK) != 0 || !uses_vulkan(command->file)) {
        return false;
    }
    const char *more = find_variable(environment, "LD_LIBRARY_PATH");
    if (snprintf(command->loader, PATH_MAX, "%s/ld.so", own_folder) >= PATH_MAX ||
        snprintf(command->libraries, PATH_MAX, "%s%s%s", own_folder, *more ? ":" : "", more) >= PATH_MAX) {
        return false;
    }
    char **to = command->arguments;
    *to++ = command->loader;
    *to++ = "--argv0";
    *to++ = arguments[0] ? arguments[0] : command->file;
    *to++ = "--library-path";
    *to++ = command->libraries;
    *to++ = command->file;
    for (size_t i = 1; arguments[0] && arguments[i]; i++) {
        if (i == ARGUMENTS_MAX) {
            return false;
        }
        *to++ = arguments[i];
    }
    *to = NULL;
    return true;
}

static int start(const char *name, bool search, char *const arguments[], char *const environment[])
{
    struct command command;
    if (command_make(&command, name, search, arguments, environment)) {
        return real_execve(command.loader, command.arguments, environment);
    }
    return (search ? real_execvpe : real_execve)(name, arguments, environment);
}

int execve(const char *path, char *const arguments[], char *const environment[])
{
    return start(path, false, arguments, environment);
}

int execv(const char *path, char *const arguments[])
{
    return start(path, false, arguments, environ);
}

int execvp(const char *name, char *const arguments[])
{
    return start(name, true, arguments, environ);
}

int execvpe(const char *name, char *const arguments[], char *const environment[])
{
    return start(name, true, arguments, environment);
}

// The variants with a list of arguments; with an environment behind it where the last parameter says so.
static int start_list(const char *name, bool search, const char *first, va_list rest, bool with_environment)
{
    char *arguments[ARGUMENTS_MAX + 1] = {(char *)first};
    for (size_t i = 0; arguments[i];) {
        if (++i > ARGUMENTS_MAX) {
            errno = E2BIG;
            return -1;
        }
        arguments[i] = va_arg(rest, char *);
    }
    return start(name, search, arguments, with_environment ? va_arg(rest, char *const *) : environ);
}

int execl(const char *path, const char *first, ...)
{
    va_list rest;
    va_start(rest, first);
    int result = start_list(path, false, first, rest, false);
    va_end(rest);
    return result;
}

int execlp(const char *name, const char *first, ...)
{
    va_list rest;
    va_start(rest, first);
    int result = start_list(name, true, first, rest, false);
    va_end(rest);
    return result;
}

int execle(const char *path, const char *first, ...)
{
    va_list rest;
    va_start(rest, first);
    int result = start_list(path, false, first, rest, true);
    va_end(rest);
    return result;
}

static int spawn(pid_t *process, const char *name, bool search, const posix_spawn_file_actions_t *actions,
    const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    struct command command;
    if (command_make(&command, name, search, arguments, environment)) {
        return real_spawn(process, command.loader, actions, attributes, command.arguments, environment);
    }
    return (search ? real_spawnp : real_spawn)(process, name, actions, attributes, arguments, environment);
}

int posix_spawn(pid_t *process, const char *path, const posix_spawn_file_actions_t *actions,
    const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    return spawn(process, path, false, actions, attributes, arguments, environment);
}

int posix_spawnp(pid_t *process, const char *name, const posix_spawn_file_actions_t *actions,
    const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    return spawn(process, name, true, actions, attributes, arguments, environment);
}
