// SPDX-License-Identifier: MIT
//
// Event files are read back here by a reader of our own, written from the formats' definitions.
#include "fixture.h"
#include "formats/events.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

static struct fixture fixture;

// CRC-32C by polynomial division, most significant bit first: unlike the writer's, which is reflected.
static uint32_t crc32c(const uint8_t *data, size_t bytes)
{
    uint32_t rest = 0xffffffff, reflected = 0;
    for (size_t i = 0; i < bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            uint32_t in = data[i] >> bit & 1, out = rest >> 31;
            rest = rest << 1 ^ (in ^ out ? 0x1edc6f41 : 0);
        }
    }
    for (int bit = 0; bit < 32; bit++) reflected |= (rest >> bit & 1) << (31 - bit);
    return ~reflected;
}

static uint32_t u32_at(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t mask(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

// The payload of the frame at *at, which moves behind it; its length in *bytes. NULL at the end or when it is wrong.
static const uint8_t *next_frame(size_t *bytes, const struct file_map *f, size_t *at)
{
    if (f->bytes - *at < 16) return NULL;
    const uint8_t *p = f->data + *at;
    *bytes = u32_at(p);
    CHECK(u32_at(p + 4) == 0 && u32_at(p + 8) == mask(crc32c(p, 8)));
    if (*bytes > f->bytes - *at - 16) return NULL;
    CHECK(u32_at(p + 12 + *bytes) == mask(crc32c(p + 12, *bytes)));
    *at += 16 + *bytes;
    return p + 12;
}

// The names of the event files, sorted; returns their number.
static int list(char names[8][300])
{
    int count = 0;
    DIR *dir = opendir(fixture.folder);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (d->d_name[0] == '.' || count == 8) continue;
        int at = count++;
        while (at > 0 && strcmp(names[at - 1], d->d_name) > 0) strcpy(names[at], names[at - 1]), at--;
        snprintf(names[at], 300, "%s", d->d_name);
    }
    if (dir) closedir(dir);
    return count;
}

// The next event must be: field 1, a wall time of about now; then exactly these bytes.
static void check_event(const struct file_map *f, size_t *at, const void *want, size_t want_bytes)
{
    size_t bytes = 0;
    const uint8_t *p = next_frame(&bytes, f, at);
    CHECK(p && bytes == 9 + want_bytes && p[0] == 0x09);
    if (!p || bytes != 9 + want_bytes) return;
    double wall, now = (double)time(NULL);
    memcpy(&wall, p + 1, 8);
    CHECK_SAY(wall > now - 60 && wall < now + 60, "wall time %.3f, now %.0f", wall, now);
    CHECK(memcmp(p + 9, want, want_bytes) == 0);
}

#define CHECK_EVENT(f, at, bytes) check_event(f, at, bytes, sizeof(bytes) - 1)

static void content(void)
{
    CHECK(crc32c((const uint8_t *)"123456789", 9) == 0xe3069283); // the published check value
    struct error e = {0};
    struct events *w = events_open(fixture.folder, 0, &e);
    CHECK_SAY(w != NULL, "%s", e.text);
    if (!w) return;
    CHECK(events_scalar(w, "train/loss", 1, 2.5, &e) == 0);
    CHECK(events_scalar(w, "x", 300, -INFINITY, &e) == 0);
    char tag[201] = "";
    memset(tag, 'l', 200);
    CHECK(events_scalar(w, tag, INT64_MAX, 1e-3, &e) == 0);
    CHECK(events_flush(w, &e) == 0);
    char names[8][300];
    CHECK(list(names) == 1);
    struct file_map f;
    char *path = path_join(fixture.folder, names[0]);
    CHECK(file_map(&f, path, &e) == 0);
    size_t at = 0, bytes;
    CHECK_EVENT(&f, &at,
        "\x10\x00\x1a\x0d"
        "brain.Event:2");
    CHECK_EVENT(&f, &at, "\x10\x00\x3a\x02\x08\x01");
    CHECK_EVENT(&f, &at,
        "\x10\x01\x2a\x13\x0a\x11\x0a\x0a"
        "train/loss\x15\x00\x00\x20\x40");
    CHECK_EVENT(&f, &at, "\x10\xac\x02\x2a\x0a\x0a\x08\x0a\x01x\x15\x00\x00\x80\xff");
    const uint8_t *p = next_frame(&bytes, &f, &at);
    CHECK(p && bytes == 9 + 10 + 3 + 3 + 3 + 200 + 5 && at == f.bytes);
    CHECK(
        p && memcmp(p + 9, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x2a\xd3\x01\x0a\xd0\x01\x0a\xc8\x01lll", 22) == 0);
    CHECK(p && memcmp(p + bytes - 6, "l\x15\x6f\x12\x83\x3a", 6) == 0);
    file_unmap(&f);
    CHECK(events_close(w, &e) == 0 && events_close(NULL, &e) == 0);
    free(path);
}

// A resumed run's file stands after all others and begins with the step from which it replaces.
static void resuming(void)
{
    struct error e = {0};
    char names[8][300], future[64];
    snprintf(future, sizeof future, "events.out.tfevents.%010lld.other.1.0", (long long)time(NULL) + 1000);
    fixture_write(&fixture, future, "", 0);
    for (int i = 0; i < 2; i++) {
        struct events *w = events_open(fixture.folder, 1000, &e);
        CHECK(w && events_close(w, &e) == 0);
    }
    CHECK(list(names) == 4);
    CHECK_STRING(names[1], future);
    for (int i = 0; i < 4; i++) CHECK(strncmp(names[i], "events.out.tfevents.", 20) == 0);
    char *path = path_join(fixture.folder, names[3]);
    struct file_map f;
    CHECK(file_map(&f, path, &e) == 0);
    size_t at = 0;
    CHECK_EVENT(&f, &at,
        "\x10\x00\x1a\x0d"
        "brain.Event:2");
    CHECK_EVENT(&f, &at, "\x10\xe8\x07\x3a\x02\x08\x01");
    CHECK(at == f.bytes);
    file_unmap(&f);
    free(path);
}

static void failures(void)
{
    struct error e = {0};
    fixture_write(&fixture, "plain", "", 0);
    CHECK(events_open(fixture_path(&fixture, "plain"), 0, &e) == NULL);
    CHECK_ERROR(e, "plain: ");
    CHECK(events_open("/proc/self/none", 0, &e) == NULL);
    CHECK_ERROR(e, "/proc/self/none");

    // Files may grow to 200 bytes: the beginning fits, then comes the error, at flush or before.
    struct rlimit old, limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    limit = (struct rlimit){200, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    struct events *w = events_open(fixture.folder, 0, &e);
    CHECK(w && setrlimit(RLIMIT_FSIZE, &limit) == 0);
    *e.text = 0;
    int status = 0;
    for (int i = 0; i < 4; i++) status |= events_scalar(w, "train/grad_norm", i, 1, &e);
    status |= events_flush(w, &e);
    CHECK(status == -1);
    CHECK_ERROR(e, ".pumice: cannot be written (File too large)");
    events_close(w, NULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
}

int main(void)
{
    fixture_open(&fixture);
    content();
    resuming();
    failures();
    fixture_close(&fixture);
    return test_end();
}
