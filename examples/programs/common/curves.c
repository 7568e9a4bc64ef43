#define _POSIX_C_SOURCE 200809L
#include "curves.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "axis.h"

enum { WIDTH = 900, HEIGHT = 470, LEFT = 66, RIGHT = 880, TOP = 104, BOTTOM = 416, KEY = 205 };
enum { KEYS = (RIGHT - LEFT) / KEY }; /* in a row */

/* Of lines: they differ in brightness, too. The second three are dashed. */
static const char *const COLOUR[CURVES_MOST] = {"#2b5c8a", "#b8862a", "#a84848",
                                                "#4d8a3c", "#555555", "#8a5fb0"};

FILE_FORMAT(2, 3) static void put(file_output *out, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    const int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (n > 0) file_put(out, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void put_words(file_output *out, const char *words)
{
    for (; *words; words++) {
        const char *as = *words == '<'   ? "&lt;"
                         : *words == '>' ? "&gt;"
                         : *words == '&' ? "&amp;"
                         : *words == '"' ? "&quot;"
                                         : NULL;
        file_put(out, as ? as : words, as ? strlen(as) : 1);
    }
}

static void put_text(file_output *out, double x, double y, const char *look, const char *words)
{
    put(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, look);
    put_words(out, words);
    put(out, "</text>\n");
}

static void put_line(file_output *out, double x1, double y1, double x2, double y2, const char *look)
{
    put(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, look);
}

static bool is_point(const curves_line *l, size_t i)
{
    return isfinite(l->x[i]) && isfinite(l->y[i]);
}

/* The axes over all points. */
static void measure(const curves *c, axis *x, axis *y)
{
    double end = 0, low = (double)INFINITY, high = -(double)INFINITY;
    for (size_t k = 0; k < c->lines; k++)
        for (size_t i = 0; i < c->line[k].n; i++) {
            if (!is_point(&c->line[k], i)) continue;
            end = fmax(end, c->line[k].x[i]);
            low = fmin(low, c->line[k].y[i]);
            high = fmax(high, c->line[k].y[i]);
        }
    if (c->parts) end = fmax(end, c->part[c->parts - 1].to);
    if (low > high) low = 0, high = 1;
    if (!(end > 0)) end = 1;
    *x = (axis){0, end, axis_round_up(end / 10), LEFT, RIGHT};
    *y = axis_over(low, high, 6, BOTTOM, TOP);
}

static void describe(file_output *out, const curves *c)
{
    put(out, "<desc>");
    for (size_t k = 0; k < c->lines; k++) {
        const curves_line *l = &c->line[k];
        size_t first = l->n, last = l->n;
        for (size_t i = 0; i < l->n; i++) {
            if (!is_point(l, i)) continue;
            if (first == l->n) first = i;
            last = i;
        }
        if (last == l->n) continue;
        put_words(out, l->name);
        put(out, ": %.4g%s at %.4g, %.4g%s at %.4g. ", l->y[first], c->unit, l->x[first],
            l->y[last], c->unit, l->x[last]);
    }
    put(out, "</desc>\n");
}

static void draw_frame(file_output *out, const curves *c, const axis *x, const axis *y)
{
    char text[40];
    double from = 0;
    for (size_t i = 0; i < c->parts; from = c->part[i++].to) {
        const double a = axis_place(x, from), b = axis_place(x, c->part[i].to);
        put(out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", a, TOP,
            b - a, BOTTOM - TOP, i % 2 ? "#f1f2f4" : "#fff");
        put_text(out, (a + b) / 2, TOP - 8, "font-size=\"12\" fill=\"#555\" text-anchor=\"middle\"",
                 c->part[i].name);
    }
    const size_t rows = (size_t)((y->high - y->low) / y->step + 0.5);
    for (size_t i = 0; i <= rows; i++) {
        const double at = y->low + (double)i * y->step;
        put_line(out, LEFT, axis_place(y, at), RIGHT, axis_place(y, at), "stroke=\"#ddd\"");
        axis_tick(y, at, c->unit, sizeof text, text);
        put_text(out, LEFT - 6, axis_place(y, at) + 4,
                 "font-size=\"12\" fill=\"#555\" text-anchor=\"end\"", text);
    }
    const size_t columns = (size_t)(x->high / x->step + 1e-9);
    for (size_t i = 0; i <= columns; i++) {
        const double at = (double)i * x->step;
        put_line(out, axis_place(x, at), BOTTOM, axis_place(x, at), BOTTOM + 4, "stroke=\"#888\"");
        axis_tick(x, at, "", sizeof text, text);
        put_text(out, axis_place(x, at), BOTTOM + 19,
                 "font-size=\"12\" fill=\"#555\" text-anchor=\"middle\"", text);
    }
    put_line(out, LEFT, BOTTOM, RIGHT, BOTTOM, "stroke=\"#888\"");
    put_text(out, (LEFT + RIGHT) / 2.0, BOTTOM + 40,
             "font-size=\"13\" fill=\"#333\" text-anchor=\"middle\"", c->x);
    put(out,
        "<text transform=\"translate(16 %d) rotate(-90)\" font-size=\"13\" fill=\"#333\" "
        "text-anchor=\"middle\">",
        (TOP + BOTTOM) / 2);
    put_words(out, c->y);
    put(out, "</text>\n");
}

static void draw_line(file_output *out, const curves *c, size_t k, const axis *x, const axis *y)
{
    const curves_line *l = &c->line[k];
    put(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s points=\"", COLOUR[k],
        k < 3 ? "" : " stroke-dasharray=\"6 3\"");
    for (size_t i = 0; i < l->n; i++)
        if (is_point(l, i)) put(out, "%.1f,%.1f ", axis_place(x, l->x[i]), axis_place(y, l->y[i]));
    put(out, "\"/>\n");
    for (size_t i = 0; i < l->n; i++)
        if (is_point(l, i))
            put(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\" fill=\"%s\"/>\n",
                axis_place(x, l->x[i]), axis_place(y, l->y[i]), COLOUR[k]);
}

static void draw(file_output *out, const curves *c)
{
    axis x, y;
    measure(c, &x, &y);
    put(out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
        "font-family=\"DejaVu Sans, Verdana, sans-serif\" role=\"img\" aria-label=\"",
        WIDTH, HEIGHT);
    put_words(out, c->title);
    put(out, "\">\n");
    describe(out, c);
    put(out, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, HEIGHT);
    put_text(out, LEFT, 24, "font-size=\"14\" fill=\"#222\"", c->title);
    for (size_t k = 0; k < c->lines; k++) {
        const double at = LEFT + (double)(k % KEYS * KEY), row = 46 + 20 * (double)(k / KEYS);
        char look[96];
        snprintf(look, sizeof look, "stroke=\"%s\" stroke-width=\"3\"%s", COLOUR[k],
                 k < 3 ? "" : " stroke-dasharray=\"6 3\"");
        put_line(out, at, row - 4, at + 24, row - 4, look);
        put_text(out, at + 30, row, "font-size=\"13\" fill=\"#333\"", c->line[k].name);
    }
    draw_frame(out, c, &x, &y);
    for (size_t k = 0; k < c->lines; k++) draw_line(out, c, k, &x, &y);
    put(out, "</svg>\n");
}

bool curves_write(const curves *c, const char *path, file_error *err)
{
    file_output out;
    if (c->lines > CURVES_MOST) {
        snprintf(err->text, sizeof err->text, "%zu curves, and colours for %d", c->lines,
                 CURVES_MOST);
        return false;
    }
    bool good = file_create(&out, path, err);
    if (good) draw(&out, c);
    good = good && file_commit(&out, err);
    file_discard(&out);
    return good;
}
