// SPDX-License-Identifier: MIT
#include "formats/events.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "events.out.tfevents."

struct events {
    char *path;
    FILE *file;
    struct text event; // the message being made
};

// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78); events are small, so bit by bit will do.
static uint32_t crc32c(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0x82f63b78 & (0 - (crc & 1)));
    }
    return ~crc;
}

// TFRecord stores checksums rotated and shifted, so that a checksum of data that hold checksums is no trivial one.
static uint32_t masked(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

// Protocol buffers: a field is a tag (number, wire type) and a value.

static void add_varint(struct text *t, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        text_add(t, &byte, 1);
        value >>= 7;
    } while (value);
}

static void add_field_varint(struct text *t, uint32_t field, uint64_t value)
{
    add_varint(t, field << 3);
    add_varint(t, value);
}

static void add_field_double(struct text *t, uint32_t field, double value)
{
    add_varint(t, field << 3 | 1);
    text_add(t, &value, sizeof value);
}

static void add_field_float(struct text *t, uint32_t field, float value)
{
    add_varint(t, field << 3 | 5);
    text_add(t, &value, sizeof value);
}

static void add_field_bytes(struct text *t, uint32_t field, const void *data, size_t bytes)
{
    add_varint(t, field << 3 | 2);
    add_varint(t, bytes);
    text_add(t, data, bytes);
}

// Begins an Event: wall_time = 1, step = 2.
static void begin_event(struct events *w, int64_t step)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    w->event.bytes = 0;
    add_field_double(&w->event, 1, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    add_field_varint(&w->event, 2, (uint64_t)step);
}

static int write_error(const struct events *w, struct error *e)
{
    return error_set(e, "%s: cannot be written (%s)", w->path, strerror(errno));
}

static int write_event(struct events *w, struct error *e)
{
    uint64_t length = w->event.bytes;
    uint32_t length_crc = masked(crc32c(&length, sizeof length)), data_crc = masked(crc32c(w->event.data, length));
    bool good =
        fwrite(&length, sizeof length, 1, w->file) == 1 && fwrite(&length_crc, sizeof length_crc, 1, w->file) == 1 &&
        fwrite(w->event.data, 1, length, w->file) == length && fwrite(&data_crc, sizeof data_crc, 1, w->file) == 1;
    return good ? 0 : write_error(w, e);
}

// The time for a new file's name: now, or a second after the latest name in the folder.
static long long name_time(const char *folder)
{
    long long latest = (long long)time(NULL);
    DIR *dir = opendir(folder);
    if (!dir) return latest;
    for (struct dirent *d; (d = readdir(dir));) {
        if (strncmp(d->d_name, PREFIX, strlen(PREFIX)) != 0) continue;
        long long there = strtoll(d->d_name + strlen(PREFIX), NULL, 10);
        if (there >= latest && there < 9999999999) latest = there + 1;
    }
    closedir(dir);
    return latest;
}

struct events *events_open(const char *folder, int64_t first_step, struct error *e)
{
    char host[256] = "";
    if (folder_make(folder, e)) return NULL;
    if (gethostname(host, sizeof host - 1) != 0 || !*host || strchr(host, '/')) strcpy(host, "localhost");
    struct events *w = mem_zero(1, sizeof *w);
    char *name = mem_format(PREFIX "%010lld.%s.pumice", name_time(folder), host);
    w->path = path_join(folder, name);
    free(name);
    w->file = fopen(w->path, "wbxe");
    int status = w->file ? 0 : write_error(w, e);
    if (status == 0) {
        begin_event(w, 0);
        add_field_bytes(&w->event, 3, "brain.Event:2", 13); // file_version
        status = write_event(w, e);
    }
    if (status == 0) {
        static const uint8_t start[] = {1 << 3, 1}; // SessionLog: status = 1 is START
        begin_event(w, first_step);
        add_field_bytes(&w->event, 7, start, sizeof start); // session_log
        status = write_event(w, e);
    }
    if (status == 0) status = events_flush(w, e);
    if (status == 0) return w;
    events_close(w, NULL);
    return NULL;
}

int events_scalar(struct events *w, const char *tag, int64_t step, double value, struct error *e)
{
    struct text point = {0}, summary = {0};
    add_field_bytes(&point, 1, tag, strlen(tag)); // Value: tag = 1, simple_value = 2
    add_field_float(&point, 2, (float)value);
    add_field_bytes(&summary, 1, point.data, point.bytes); // Summary: value = 1
    begin_event(w, step);
    add_field_bytes(&w->event, 5, summary.data, summary.bytes); // summary
    text_free(&point);
    text_free(&summary);
    return write_event(w, e);
}

int events_flush(struct events *w, struct error *e)
{
    return fflush(w->file) == 0 ? 0 : write_error(w, e);
}

int events_close(struct events *w, struct error *e)
{
    if (!w) return 0;
    int status = w->file && fclose(w->file) != 0 ? write_error(w, e) : 0;
    text_free(&w->event);
    free(w->path);
    free(w);
    return status;
}
