// SPDX-License-Identifier: MIT
//
// json_file.h: JSON (RFC 8259) from foreign files into a cJSON tree, strictly, with errors that say where.
//
// Accepted is exactly RFC 8259 in UTF-8, with or without a byte order mark. Refused, each with file, line, column and
// what stands there: anything after the value, comments, trailing commas, NUL bytes and \u0000 (cJSON's strings end
// there), invalid UTF-8, surrogates without a partner, the same key twice in one object, more than JSON_DEPTH levels,
// numbers that are not finite or are longer than 63 characters (cJSON cuts them).
//
// An object may have as many keys as a vocabulary: walk it (`for (item = object->child; item; item = item->next)`);
// cJSON_GetObjectItem compares with every key in turn.
#ifndef PUMICE_JSON_FILE_H
#define PUMICE_JSON_FILE_H

#include "base.h"

#include <cjson/cJSON.h>

#define JSON_DEPTH 200

// The file's value; the caller calls cJSON_Delete. NULL with the reason ("config.json:3:7: expected ...").
cJSON *json_read_file(const char *path, struct error *e);
// The same for text in memory that needs no final 0; `name` stands in errors for the file.
cJSON *json_read_text(const char *name, const char *text, size_t bytes, struct error *e);
// The same for a line or element of a file, whose place is known ("f.jsonl:4"): "f.jsonl:4: at column 7: expected ...".
cJSON *json_read_row(const char *place, const char *text, size_t bytes, struct error *e);
// A member of an object, NULL where there is none or `object` is none.
const cJSON *json_member(const cJSON *object, const char *name);
// A member's number; NAN where it is none: null is written for what is not finite.
double json_number(const cJSON *object, const char *name);
const char *json_text(const cJSON *object, const char *name); // "" when it is missing or no text
// The tree as text, on one line or indented, ended by 0; the caller frees. Unlike cJSON_Print, which may be a rounding
// off, it gives numbers all their bits (the fewest digits from 15 on that read back as the same double); those that are
// not finite become null.
char *json_print(const cJSON *value, bool indented);
// The tree, indented, with a final newline, through file_write_atomic. 0, or -1 with the reason.
int json_write_file(const char *path, const cJSON *value, struct error *e);

#endif
