// SPDX-License-Identifier: MIT
//
// report: runs side by side as one HTML page.
#include "commands/common.h"
#include "commands/list.h"
#include "study/report_page.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

#define MARK_WITHIN 1024 // bytes from the beginning of a page, within which its mark stands

// What stands at the path may be replaced if it is a page of ours. 0, or -1 with the reason.
static int check_replaced(const char *path, struct error *e)
{
    struct file_map f;
    if (folder_exists(path)) return error_set(e, "%s: is a folder; --output names the page's file", path);
    if (!file_exists(path)) return 0;
    if (file_map(&f, path, e)) return -1;
    char *head = mem_string_n((const char *)f.data, f.bytes < MARK_WITHIN ? f.bytes : MARK_WITHIN);
    bool ours = strstr(head, REPORT_MARK) != NULL;
    free(head);
    file_unmap(&f);
    return ours ? 0
                : error_set(e, "%s: is there and is no report of ours; move it away, or choose another --output", path);
}

// What a folder is called, "." too.
static char *folder_name(const char *folder)
{
    char *full = realpath(folder, NULL);
    const char *slash = full ? strrchr(full, '/') : NULL;
    char *name = mem_string(slash && slash[1] ? slash + 1 : folder);
    free(full);
    return name;
}

static void say_notes(const char *who, const char *notes)
{
    while (notes && *notes) {
        size_t n = strcspn(notes, "\n");
        say("%s%s%.*s", who ? who : "", who ? ": " : "", (int)n, notes);
        notes += n + (notes[n] == '\n');
    }
}

static int make(
    const char *const *folders, size_t count, const char *output, const char *title, bool json, struct error *e)
{
    struct report r;
    struct report_tables t;
    struct report_figures f;
    struct text page = {0};
    if (check_replaced(output, e) || report_read(&r, folders, count, e)) return -1;
    say_notes(NULL, r.notes);
    for (size_t i = 0; i < r.run_count; i++) say_notes(r.runs[i].name, r.runs[i].notes);
    report_tables_make(&t, &r);
    report_figures_make(&f, &r, &t);
    if (f.problem.text[0]) say("the report has no pictures: %s", f.problem.text);
    report_page(&page, &r, &t, &f, title);
    int status = file_write_atomic(output, page.data, page.bytes, e);
    if (status == 0 && json)
        print_json(report_json(&r, &t, &f, output));
    else if (status == 0)
        puts(output);
    text_free(&page);
    report_figures_free(&f);
    report_tables_free(&t);
    report_free(&r);
    return status;
}

int command_report(const struct command *c, int argc, char **argv)
{
    const char *output = NULL, *title = NULL;
    bool json = false;
    const struct option options[] = {
        {"output", OPTION_TEXT, &output, "FILE.html", "the page (default: report.html in RUN, if there is only one)"},
        {"title", OPTION_TEXT, &title, "TEXT", "the page's title"},
        {"json", OPTION_FLAG, &json, NULL, "one JSON object on stdout: the numbers of the tables, unrounded"}, {0}};
    const char **folders = mem_zero((size_t)argc + 1, sizeof *folders);
    int status = options_parse(c, options, argc, argv, folders, 1, argc);
    size_t count = 0;
    while (folders[count]) count++;
    if (status < 0 && !output && count > 1) {
        say("pumice report: with more than one RUN, --output names the page (pumice report --help)");
        status = STATUS_USAGE;
    }
    if (status >= 0) return free(folders), status;

    struct error e = {0};
    char *name = folder_name(folders[0]);
    char *own_title = count == 1 ? mem_format("pumice: %s", name) : mem_string("pumice: runs side by side");
    char *own_output = path_join(folders[0], "report.html");
    int failed = make(folders, count, output ? output : own_output, title ? title : own_title, json, &e);
    free(name);
    free(own_title);
    free(own_output);
    free(folders);
    return failed ? fail(&e) : STATUS_DONE;
}
