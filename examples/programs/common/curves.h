/*
 * curves.h - a picture of curves, as a file of its own (SVG)
 *
 * For the pages of docs/, and whatever else shows a picture: white ground, fixed colours, all texts
 * within it, and a description in words. A page of --report has its own pictures (page.h).
 */
#ifndef COMMON_CURVES_H
#define COMMON_CURVES_H

#include <stdbool.h>
#include <stddef.h>

#include "files.h"

/* A curve through the points (x, y), in the order of x. */
typedef struct curves_line {
    const char *name;
    size_t n;
    const double *x, *y;
} curves_line;

/* A part of the axis with a name; parts follow each other, the first one begins at 0. */
typedef struct curves_part {
    const char *name;
    double to;
} curves_part;

enum { CURVES_MOST = 6 }; /* lines: as many as there are colours that are told apart */
typedef struct curves {
    const char *title;
    const char *x, *y, *unit; /* "epoch", "error on 2000 test images", " %" */
    size_t lines, parts;
    const curves_line *line;
    const curves_part *part;
} curves;

/* Replaces the file. Points that are not finite are left out. */
bool curves_write(const curves *c, const char *path, file_error *err);

#endif
