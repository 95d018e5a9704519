// SPDX-License-Identifier: MIT
//
// rows.h: data files and their rows, before any template or tokenizer.
//
// A `.jsonl` file holds one JSON object a line (UTF-8, with or without a byte order mark, LF or CRLF, blank lines
// skipped, the last line with or without its newline); a `.json` file holds an array of them, or lines too. Which of
// the two is seen from the first character. Formats are seen from each row's keys:
//
//   messages        [{"role", "content", "train"?, "weight"?}]     content: a string, or a list of {"type": "text"}
//   parts conversations   [{"from", "value"}]                            ShareGPT; each takes the other's keys and
//   roles as well instruction     + "input"?, "output", "system"?, "history"?    Alpaca: user = instruction, newline,
//   input if not empty prompt          + "completion"                                 both strings, or both lists of
//   messages text            a string, trained whole input_ids       + "labels"? (-100: not trained), "attention_mask"?
//   tokens as they are
//
// in this order when a row fits several. Beside them: "system" (a system turn when the row has none), "choices" and
// "answer" (a text, a number, true or false, or a list of them) for metrics. Other keys mean nothing, except those whose sense would be lost: tool calls, images, sounds and
// reasoning are refused by name unless they are empty.
#ifndef PUMICE_ROWS_H
#define PUMICE_ROWS_H

#include "base.h"

#include "data/arena.h"
#include "data/messages.h"

enum row_kind { ROW_MESSAGES, ROW_TEXT, ROW_IDS };

struct row {
    enum row_kind kind;
    struct message *messages; // (count) ROW_MESSAGES
    size_t count;
    const char *text; // (bytes) ROW_TEXT
    size_t bytes;
    uint32_t *ids;        // (count) ROW_IDS
    uint8_t *mask;        // (count) ROW_IDS: 1 where the label is not -100
    const char **choices; // (choice_count) the answers to choose from; NULL if the row has none
    size_t choice_count;
    const char *answer; // the expected answer, or NULL; numbers in digits without an exponent, true and false as words
    const char **answers; // (answer_count) all that count as right: of a list, its texts; the first is `answer`
    size_t answer_count;
    const char *no_answer; // what an "answer", or one in its list, is instead of these ("an object"); else NULL
};

// A data file being read.
struct row_reader {
    char *path;
    struct file_map file;
    bool array;      // one JSON array, not lines
    bool any;        // a row was read
    size_t at;       // bytes read
    uint32_t number; // of the last line, or array element, from 1
};

// 0, or -1 with the reason: no such file, not a .jsonl or .json file, UTF-16.
int row_reader_open(struct row_reader *r, const char *path, struct error *e);
void row_reader_close(struct row_reader *r);

// The next row's bytes, which stay the reader's: 1; 0 at the end; -1 with the reason when an array cannot be read on, or the
// file ends without a row: who names it thinks that there are some.
int row_reader_next(struct row_reader *r, const char **text, size_t *bytes, struct error *e);

// Where a row stands, as errors begin: "file.jsonl:12" or "file.json: element 12". The caller frees.
char *row_place(const char *path, bool array, uint32_t number);

// Reads one row into `a`. 0, or -1 with the reason, which does not name the place. Refused: what is not JSON, U+0000
// (cJSON's strings end there), contents that are no strings, unknown roles, formats that are none of the above.
// Invalid UTF-8, and surrogate escapes without their partner, become U+FFFD.
int row_parse(struct row *row, struct arena *a, const char *text, size_t bytes, struct error *e);

// Is there something to train on? 0, or -1 with the reason: no message, no assistant turn, no text in it.
int row_trainable(const struct row *row, struct error *e);

#endif
