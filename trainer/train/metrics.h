// SPDX-License-Identifier: MIT
//
// metrics.h: is a generated answer right? Pure C. What a metric asks for beyond the text stands in ability.h.
#ifndef PUMICE_METRICS_H
#define PUMICE_METRICS_H

#include <stdbool.h>
#include <stddef.h>

// The number an answer gives: the first after its last "####" (GSM8K's mark), else the last of the text. Thousands
// separators and dollar signs are dropped ("$1,234.50", "-$5"); a minus (- or U+2212) counts where nothing stands before
// it that it could be taken from ("7 - 3 = -4" gives -4, "7-3" gives 3); an exponent right behind the digits is read
// ("1.5e-3"). False when there is none.
bool metric_number(double *number, const char *text, size_t bytes);

// Both give a number, and they differ by at most 1e-4 (Yuan et al. 2023, the answer check of their released code).
bool metric_numeric(const char *text, size_t bytes, const char *reference);
// The reference, without white space around it, stands in the text as it is, both in Unicode's composed form (NFC). An
// empty reference is in none.
bool metric_contains(const char *text, size_t bytes, const char *reference);

// The blank is filled as the reference says, or the blanks in its order. Compared are the words: what stands between
// white space, in NFC, its ASCII letters in lower case, without the marks . , ; : ! ? " ' ` ( ) [ ] { } at its ends (a
// point that begins a number stays). Words that are marks alone do not count. So "Paris." fills like "paris", "red,
// green" like "red green", and "-5", "3.5", "don't" and "re-use" stay whole. A reference without a word is filled by
// nothing.
bool metric_cloze(const char *text, size_t bytes, const char *reference);

// What a text says of a statement: VERDICT_NONE when it says nothing of it, or both.
//   true    the words true, yes, correct, right        false   false, no, incorrect, wrong, untrue
// in any case; "not" or a word that ends in "n't" right before one of them turns it round. All that there are must
// agree. t and f count when they are the text's only word. (Song et al.'s rule for their true/false questions, whose
// words are Chinese: the text holds words of one kind only.)
enum verdict { VERDICT_NONE, VERDICT_TRUE, VERDICT_FALSE };
enum verdict metric_verdict(const char *text, size_t bytes);
// The pair of words to which the first such word of a reference belongs, in its spelling ("Yes": "Yes" and "No"; "F":
// "T" and "F"), into pair[2][16]: the true one, then the false one. False when there is none.
bool metric_verdict_words(char pair[2][16], const char *reference);

#endif
