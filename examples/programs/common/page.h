/*
 * page.h - a page of HTML that needs nothing but itself
 *
 * A program adds sections, paragraphs, tables and pictures, and then writes the page to a file. The
 * page has its style and its pictures (SVG) within it, and neither scripts nor addresses of other
 * files. It is well-formed XML, too. Every picture has a title and a description in words, every
 * table a caption, and wide tables scroll by themselves.
 *
 * Texts may come from a file: what HTML or a terminal would take for commands is escaped. If memory
 * runs out, the page keeps that in mind, and page_create fails.
 */
#ifndef COMMON_PAGE_H
#define COMMON_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "files.h"

/* A text that grows. */
typedef struct page_text {
    char *bytes;
    size_t used, room;
    bool failed; /* there was no memory for all of it */
} page_text;

/* What the cells of a column hold: a short text, a number, or a sentence. */
typedef enum page_kind { PAGE_NAME, PAGE_NUMBER, PAGE_PROSE } page_kind;

typedef struct page_column {
    const char *name;
    page_kind kind;
} page_column;

/* All zero: an empty page. The fields are private. */
typedef struct page {
    page_text head, contents, body;
    size_t ids;
    bool section;
    const page_column *columns; /* of the table that is open */
    size_t column;
} page;

void page_free(page *p);

/* ---- The folder and the file ---- */

enum { PAGE_PATH = 4096 };
/* path <- the name of the page in a folder, FOLDER/index.html. False: it is too long. */
bool page_path(const char *folder, char path[PAGE_PATH]);
/* Makes the folder, and those in which it lies, where they are missing. Whether the page can be
 * written there: there is no other file of its name than a regular one. */
bool page_check(const char *folder, file_error *err);
/* Puts the whole page into an output, which the caller commits and discards. */
bool page_create(const page *p, const char *path, file_output *out, file_error *err);
/* Replaces the file at once. */
bool page_write(const page *p, const char *path, file_error *err);

/* ---- Text ---- */

/* The beginning of a page: the program, the title, and, if the page is about something that is not
 * finished or that failed, a sentence about that; otherwise NULL. */
void page_begin(page *p, const char *program, const char *title, const char *state);
/* A section that ends where the next one begins. id: a word for links to it. */
void page_section(page *p, const char *id, const char *heading);
FILE_FORMAT(2, 3) void page_say(page *p, const char *format, ...);
void page_list(page *p, size_t n, const char *const *item);
/* Lines of text as a program prints or reads them. */
void page_lines(page *p, size_t n, const char *const *line);
/* A command as a shell takes it. */
void page_command(page *p, int argc, char *const *argv);

/* A list of names with values: page_facts, page_fact ..., page_facts_end. */
void page_facts(page *p);
FILE_FORMAT(3, 4) void page_fact(page *p, const char *name, const char *format, ...);
void page_facts_end(page *p);

/* ---- Tables ---- */

/* The columns must live until page_table_end. */
void page_table(page *p, const char *caption, size_t n, const page_column *columns);
/* Begins a row; its first cell names the row. page_cell adds one more cell to the right. */
FILE_FORMAT(2, 3) void page_row(page *p, const char *format, ...);
FILE_FORMAT(2, 3) void page_cell(page *p, const char *format, ...);
void page_table_end(page *p);

/* ---- Pictures ---- */

/* Pictures between these stand side by side where there is room. */
void page_pictures(page *p);
void page_pictures_end(page *p);

/* A curve. NaN: there is no number, and a gap. */
typedef struct page_curve {
    const char *name;
    const double *y;
} page_curve;
/* A part of the axis, of `count` steps; the parts follow each other. */
typedef struct page_part {
    const char *name;
    size_t count;
} page_part;

/* Curves over the steps 1 .. n. The first curve is the one that matters. */
typedef struct page_chart {
    const char *title, *step, *unit; /* "Loss", "epoch", "" or " %" */
    size_t n, curves, parts;
    const page_curve *curve;
    const page_part *part;
} page_chart;
void page_chart_add(page *p, const page_chart *c);

/* Numbers of two kinds in the same bins of [low, high]; one above the axis, the other below. The
 * second may have no name: then there is no second kind. */
typedef struct page_histogram {
    const char *title;
    double low, high;
    size_t bins;
    const char *name[2];
    const size_t *count[2];
} page_histogram;
void page_histogram_add(page *p, const page_histogram *h);
/* low, high and bins, at most PAGE_BINS, for numbers in this range. 0 is the middle of a bin. */
enum { PAGE_BINS = 48 };
void page_histogram_range(page_histogram *h, double least, double most);
/* The bin of a number. */
size_t page_bin(const page_histogram *h, double x);

/* Amounts before and after. what: "layers". */
typedef struct page_bar {
    const char *name;
    double before, after;
} page_bar;
typedef struct page_bars {
    const char *title, *what;
    size_t n;
    const page_bar *bar;
} page_bars;
void page_bars_add(page *p, const page_bars *b);

/* ---- For the files of the page alone ---- */

FILE_FORMAT(2, 3) void page_put(page *p, const char *format, ...); /* as it is */
FILE_FORMAT(2, 3) void page_put_text(page *p, const char *format, ...);

#endif
