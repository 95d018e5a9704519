// SPDX-License-Identifier: MIT
#include "train/metrics.h"

#include "base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Characters that a minus behind them is taken from.
static bool is_operand(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ')' || c == ']' || c == '%';
}

static size_t digits(const char *text, size_t bytes)
{
    size_t n = 0;
    while (n < bytes && is_digit(text[n])) n++;
    return n;
}

// Is the number that begins at `at` negative? A minus may stand before it, and a dollar sign on either side of that.
static bool is_negative(const char *text, size_t at)
{
    if (at && text[at - 1] == '$') at--;
    if (!at || text[at - 1] != '-') return false;
    at--;
    if (at && text[at - 1] == '$') at--;
    return !at || !is_operand(text[at - 1]);
}

// The number whose digits begin at `at`; returns the offset past it.
static size_t read_number(double *number, const char *text, size_t bytes, size_t at)
{
    struct text plain = {0};
    if (is_negative(text, at)) text_add(&plain, "-", 1);
    size_t n = digits(text + at, bytes - at);
    text_add(&plain, text + at, n);
    at += n;
    while (n && n <= 3 && at < bytes && text[at] == ',' && digits(text + at + 1, bytes - at - 1) == 3) {
        text_add(&plain, text + at + 1, 3);
        at += 4;
    }
    if (at < bytes && text[at] == '.' && (n = digits(text + at + 1, bytes - at - 1)) > 0) {
        text_add(&plain, text + at, n + 1);
        at += n + 1;
    }
    *number = strtod(plain.data, NULL);
    text_free(&plain);
    return at;
}

// The first or the last number of a text.
static bool find_number(double *number, const char *text, size_t bytes, bool last)
{
    bool found = false;
    for (size_t at = 0; at < bytes && (last || !found);) {
        bool point = text[at] == '.' && digits(text + at + 1, bytes - at - 1) && !(at && is_digit(text[at - 1]));
        bool begins = is_digit(text[at]) || point;
        if (!begins) {
            at++;
            continue;
        }
        at = read_number(number, text, bytes, at);
        found = true;
    }
    return found;
}

bool metric_number(double *number, const char *text, size_t bytes)
{
    for (size_t at = bytes; at >= 4; at--)
        if (memcmp(text + at - 4, "####", 4) == 0) {
            if (find_number(number, text + at, bytes - at, false)) return true;
            break;
        }
    return find_number(number, text, bytes, true);
}

bool metric_numeric(const char *text, size_t bytes, const char *reference)
{
    double a, b;
    return metric_number(&a, text, bytes) && metric_number(&b, reference, strlen(reference)) && fabs(a - b) <= 1e-4;
}

bool metric_contains(const char *text, size_t bytes, const char *reference)
{
    while (is_space(*reference)) reference++;
    size_t n = strlen(reference);
    while (n && is_space(reference[n - 1])) n--;
    for (size_t at = 0; n && at + n <= bytes; at++)
        if (memcmp(text + at, reference, n) == 0) return true;
    return false;
}
