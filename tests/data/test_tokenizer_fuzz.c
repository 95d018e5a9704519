// SPDX-License-Identifier: MIT
//
// Damaged tokenizer files and arbitrary texts: nothing may crash, and what opens must keep its promises.
#include "data/tokenizer.h"
#include "test.h"

#include <unistd.h>

static uint64_t state = 7;

static uint32_t below(uint32_t n)
{
    return test_random(&state) % n;
}

static void write_file(const char *path, const char *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, bytes, f) == bytes);
    if (f) fclose(f);
}

// Random bytes, with pieces that mean something.
static size_t random_text(char *out, size_t most)
{
    static const char *const pieces[] = {"<|im_start|>", "<|im_end|>", "<|im_", "end|>", "  ", "\n", "'s", "e\u0301",
        "\u1100\u1161", "\u0323", "\u3000", "123", "word", " pumice", "\xe2\x82", "\xf0\x9f", "<l>", "<r> ", "<w>",
        " <mask>", "\u6f22\u5b57"};
    size_t bytes = 0, want = below((uint32_t)most + 1);
    while (bytes < want) {
        const char *piece = pieces[below(sizeof pieces / sizeof *pieces)];
        size_t n = strlen(piece);
        if (below(2)) {
            out[bytes++] = (char)below(below(2) ? 256 : 128);
        } else if (bytes + n <= want) {
            memcpy(out + bytes, piece, n);
            bytes += n;
        } else {
            break;
        }
    }
    return bytes;
}

// Encodes random texts in random runs; ends never fall and stay in the text, ids are below the size.
static void use(const struct tokenizer *t, int texts)
{
    char text[300];
    struct tokens got = {0};
    struct text back = {0};
    for (int i = 0; i < texts; i++) {
        struct text_run runs[4];
        size_t bytes = random_text(text, sizeof text), at = 0;
        for (size_t k = 0; k < 4; k++) {
            size_t n = k == 3 ? bytes - at : below((uint32_t)(bytes - at) + 1);
            runs[k] = (struct text_run){text + at, n, below(2)};
            at += n;
        }
        struct error e = {0};
        got.count = 0;
        if (tokenizer_encode(t, &got, runs, 4, &e)) { // a damaged pattern may give up, with a reason
            CHECK(e.text[0] && got.count == 0);
            continue;
        }
        bool good = true;
        for (size_t k = 0; k < got.count; k++)
            good = good && got.ids[k] < tokenizer_size(t) && got.ends[k] <= bytes &&
                   (k == 0 || got.ends[k - 1] <= got.ends[k]);
        CHECK(good);
        back.bytes = 0;
        tokenizer_decode(t, &back, got.ids, got.count, below(2));
    }
    tokens_free(&got);
    text_free(&back);
}

int main(void)
{
    static const char *const kinds[] = {"gpt2", "smollm", "llama3", "qwen2", "odd", "even"};
    char folder[] = "/tmp/pumice-test-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    char *path = path_join(folder, "tokenizer.json"), *beside = path_join(folder, "tokenizer_config.json");
    static const char config[] =
        "{\"bos_token\":\"<|im_start|>\",\"eos_token\":{\"content\":\"<|im_end|>\"},\"add_bos_token\":true,"
        "\"chat_template\":[{\"name\":\"default\",\"template\":\"x\"}]}";
    int opened = 0, refused = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct error e = {0};
        char *source = mem_format("tests/data/golden/tokenizer_%s.json", kinds[k]);
        struct tokenizer *t = tokenizer_open_json(source, &e);
        CHECK_SAY(t != NULL, "%s", e.text);
        if (t) use(t, 2000);
        tokenizer_close(t);
        struct file_map f;
        CHECK(file_map(&f, source, &e) == 0);
        char *damaged = mem_alloc(f.bytes + 16);
        for (int i = 0; i < 600; i++) {
            memcpy(damaged, f.data, f.bytes);
            size_t bytes = f.bytes, edits = 1 + below(3);
            for (size_t n = 0; n < edits; n++) {
                // Mostly in the first and last part, where the pipeline is described; the middle is vocabulary.
                uint32_t at = below(4) == 0 ? below((uint32_t)bytes) : below(below(2) ? 1900 : 300);
                static const char *const values[] = {
                    "null", "true", "[]", "{}", "-1", "\"\"", "1e9", "\\\\", "[", "+", "*", "(", "}"};
                const char *value = values[below(sizeof values / sizeof *values)];
                switch (below(4)) {
                case 0:
                    damaged[at] = (char)below(256);
                    break;
                case 1:
                    damaged[at] = "0123456789[]{}\",:\\ntf"[below(21)];
                    break;
                case 2:
                    memcpy(damaged + at, value, strlen(value));
                    break;
                default:
                    bytes = below(20) ? bytes : at; // cut short
                }
            }
            write_file(path, damaged, bytes);
            char *text = mem_string(config);
            if (below(2)) text[below(sizeof config - 1)] = (char)(32 + below(90));
            write_file(beside, text, sizeof config - 1);
            free(text);
            e.text[0] = 0;
            t = tokenizer_open_json(path, &e);
            opened += t != NULL, refused += t == NULL;
            CHECK(t || strstr(e.text, folder));
            if (t) use(t, 5);
            tokenizer_close(t);
        }
        free(damaged), free(source);
        file_unmap(&f);
    }
    struct tokenizer *t = tokenizer_open_bytes();
    use(t, 2000);
    tokenizer_close(t);
    printf("%d damaged files opened, %d were refused\n", opened, refused);
    CHECK(opened > 100 && refused > 1000);
    free(path), free(beside);
    CHECK(folder_remove(folder, NULL) == 0);
    return test_end();
}
