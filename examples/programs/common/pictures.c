/*
 * The pictures of a page, as SVG. Each is 420 units wide: about as many pixels as it is given, so
 * that its texts keep their size.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "axis.h"
#include "page.h"

enum {
    WIDTH = 420,
    LEFT = 58,
    RIGHT = 10,
    LETTER = 8
}; /* a letter is at most so wide on average */
/* Where the plot of a chart, and of a histogram, lies. */
enum { CHART_TOP = 22, CHART_BOTTOM = 200, CHART_HEIGHT = 240 };
enum { HISTOGRAM_TOP = 10, HISTOGRAM_BOTTOM = 170, HISTOGRAM_HEIGHT = 195 };
/* The height of a row of bars, the width of the longest bar, and the most rows; the most points of
 * a curve. */
enum { ROW = 42, BAR = 285, MOST_ROWS = 40, MOST_POINTS = 600 };

/* ---- numbers ---- */

/* Three digits and a letter: 1.18 M. */
static void amount(double x, size_t size, char *text)
{
    static const char *const letters[] = {" k", " M", " G", " T"};
    size_t i = 0;
    if (!(fabs(x) >= 10000)) {
        snprintf(text, size, fabs(x) >= 100 || fabs(x - nearbyint(x)) < 1e-9 ? "%.0f" : "%.3g", x);
        return;
    }
    for (x /= 1000; fabs(x) >= 999.5 && i < 3; i++) x /= 1000;
    snprintf(text, size, "%.3g%s", x, letters[i]);
}

/* ---- frames ---- */

static void begin(page *p)
{
    page_put(p, "<figure>\n<figcaption>");
}

static void key(page *p, const char *class, const char *name)
{
    page_put(p, "<span class=\"key\"><i class=\"%s\"></i>", class);
    page_put_text(p, "%s", name);
    page_put(p, "</span>");
}

/* What follows is the description, until end_words. */
static void begin_words(page *p, const char *title, int height)
{
    const size_t id = ++p->ids;
    page_put(p,
             "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"t%zu d%zu\">"
             "\n<title id=\"t%zu\">",
             WIDTH, height, id, id, id);
    page_put_text(p, "%s", title);
    page_put(p, "</title>\n<desc id=\"d%zu\">", id);
}

static void end_words(page *p)
{
    page_put(p, "</desc>\n");
}

static void end(page *p)
{
    page_put(p, "</svg>\n</figure>\n");
}

static void put_line(page *p, const char *class, double x1, double y1, double x2, double y2)
{
    page_put(p, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1,
             y1, x2, y2);
}

static void put_box(page *p, const char *class, double x, double y, double width, double height)
{
    page_put(p, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
             class, x, y, width, height);
}

static void put_label(page *p, double x, double y, const char *anchor, const char *text)
{
    page_put(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    page_put_text(p, "%s", text);
    page_put(p, "</text>\n");
}

void page_pictures(page *p)
{
    page_put(p, "<div class=\"pictures\">\n");
}

void page_pictures_end(page *p)
{
    page_put(p, "</div>\n");
}

/* ---- curves ---- */

/* The first, last, lowest and highest numbers of a curve: where they are. n: there is none. */
typedef struct marks {
    size_t first, last, lowest, highest;
} marks;

static marks marks_of(size_t n, const double *y)
{
    marks m = {n, n, n, n};
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(y[i])) continue;
        if (m.first == n) m.first = i;
        if (m.lowest == n || y[i] < y[m.lowest]) m.lowest = i;
        if (m.highest == n || y[i] > y[m.highest]) m.highest = i;
        m.last = i;
    }
    return m;
}

static void describe_parts(page *p, const page_chart *c)
{
    size_t first = 1, named = 0;
    for (size_t i = 0; i < c->parts; i++) {
        if (!c->part[i].count) continue;
        page_put_text(p, "%s %s, %s %zu", named++ ? "," : " The phases are", c->part[i].name,
                      c->step, first);
        if (c->part[i].count > 1) page_put_text(p, " to %zu", first + c->part[i].count - 1);
        first += c->part[i].count;
    }
    if (named) page_put(p, ".");
}

static void describe_chart(page *p, const page_chart *c)
{
    size_t drawn = 0;
    for (size_t k = 0; k < c->curves; k++) {
        const double *y = c->curve[k].y;
        const marks m = marks_of(c->n, y);
        if (m.first == c->n) continue;
        page_put_text(p, "%s%s: %.4g%s in %s %zu", drawn++ ? " " : "", c->curve[k].name, y[m.first],
                      c->unit, c->step, m.first + 1);
        if (m.last > m.first)
            page_put_text(p,
                          ", %.4g%s in %s %zu; lowest %.4g%s in %s %zu, highest %.4g%s in %s %zu",
                          y[m.last], c->unit, c->step, m.last + 1, y[m.lowest], c->unit, c->step,
                          m.lowest + 1, y[m.highest], c->unit, c->step, m.highest + 1);
        page_put(p, ".");
    }
    if (!drawn) page_put(p, "There are no numbers yet.");
    describe_parts(p, c);
}

static void draw_parts(page *p, const page_chart *c, const axis *x)
{
    size_t first = 0, drawn = 0;
    for (size_t i = 0; i < c->parts; i++) {
        const page_part *part = &c->part[i];
        if (!part->count) continue;
        const double from = axis_place(x, (double)first),
                     to = axis_place(x, (double)(first + part->count));
        if (drawn++ % 2 == 0)
            put_box(p, "band", from, CHART_TOP, to - from, CHART_BOTTOM - CHART_TOP);
        if (to - from >= LETTER * (double)strlen(part->name))
            put_label(p, (from + to) / 2, CHART_TOP - 7, "middle", part->name);
        first += part->count;
    }
}

/* The ticks of an axis of steps lie in the middle of their steps. */
static void draw_axes(page *p, const page_chart *c, const axis *x, const axis *y)
{
    char text[40];
    const size_t ticks = (size_t)((y->high - y->low) / y->step + 0.5);
    for (size_t i = 0; i <= ticks; i++) {
        const double at = y->low + (double)i * y->step;
        put_line(p, "grid", x->from, axis_place(y, at), x->to, axis_place(y, at));
        axis_tick(y, at, c->unit, sizeof text, text);
        put_label(p, x->from - 6, axis_place(y, at) + 4, "end", text);
    }
    put_line(p, "axis", x->from, y->from, x->to, y->from);
    const size_t n = (size_t)x->high;
    const size_t step = n > 8 ? (size_t)axis_round_up((double)n / 8) : 1;
    for (size_t at = step; at <= n; at += step) {
        snprintf(text, sizeof text, "%zu", at);
        put_label(p, axis_place(x, (double)at - 0.5), y->from + 16, "middle", text);
    }
    put_label(p, (x->from + x->to) / 2, y->from + 33, "middle", c->step);
}

/* Lines through the numbers, with a gap where there is none, and dots if there are few. */
static void draw_curve(page *p, const page_chart *c, size_t k, const axis *x, const axis *y)
{
    const double *v = c->curve[k].y;
    const size_t by = c->n / MOST_POINTS + 1;
    const int style = k ? 2 : 1;
    bool open = false;
    for (size_t i = 0; i < c->n; i++) {
        if (i % by && i + 1 < c->n && isfinite(v[i])) continue;
        if (!isfinite(v[i])) {
            if (open) page_put(p, "\"/>\n");
            open = false;
            continue;
        }
        if (!open) page_put(p, "<polyline class=\"curve%d\" points=\"", style);
        page_put(p, "%s%.1f,%.1f", open ? " " : "", axis_place(x, (double)i + 0.5),
                 axis_place(y, v[i]));
        open = true;
    }
    if (open) page_put(p, "\"/>\n");
    for (size_t i = 0; i < c->n && c->n <= 60; i++)
        if (isfinite(v[i]))
            page_put(p, "<circle class=\"dot%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>\n", style,
                     axis_place(x, (double)i + 0.5), axis_place(y, v[i]), k ? "1.8" : "2.6");
}

void page_chart_add(page *p, const page_chart *c)
{
    static const char *const keys[] = {"one", "two"};
    double low = (double)INFINITY, high = -(double)INFINITY;
    begin(p);
    page_put(p, "<b>");
    page_put_text(p, "%s", c->title);
    page_put(p, "</b>");
    for (size_t k = 0; k < c->curves; k++) {
        const marks m = marks_of(c->n, c->curve[k].y);
        if (m.first == c->n) continue;
        key(p, keys[k > 0], c->curve[k].name);
        low = fmin(low, c->curve[k].y[m.lowest]);
        high = fmax(high, c->curve[k].y[m.highest]);
    }
    begin_words(p, c->title, CHART_HEIGHT);
    describe_chart(p, c);
    end_words(p);
    const double steps = c->n ? (double)c->n : 1;
    const axis x = {0, steps, 1, LEFT, WIDTH - RIGHT};
    const axis y = low <= high ? axis_over(low, high, 5, CHART_BOTTOM, CHART_TOP)
                               : (axis){0, 1, 1, CHART_BOTTOM, CHART_TOP};
    draw_parts(p, c, &x);
    draw_axes(p, c, &x, &y);
    for (size_t k = c->curves; k-- > 0;) draw_curve(p, c, k, &x, &y);
    end(p);
}

/* ---- histograms ---- */

void page_histogram_range(page_histogram *h, double least, double most)
{
    if (!(most > least)) most = least + 1;
    const double step = axis_round_up((most - least) / (PAGE_BINS - 8));
    const double first = floor(least / step + 0.5), last = floor(most / step + 0.5);
    h->low = (first - 0.5) * step;
    h->high = (last + 0.5) * step;
    h->bins = (size_t)(last - first) + 1;
}

size_t page_bin(const page_histogram *h, double x)
{
    const double at = floor((x - h->low) / (h->high - h->low) * (double)h->bins);
    return !(at > 0) ? 0 : at >= (double)h->bins ? h->bins - 1 : (size_t)at;
}

typedef struct counts {
    size_t sum, most, fullest; /* fullest: the bin with the most */
} counts;

static counts counts_of(const page_histogram *h, size_t kind)
{
    counts c = {0};
    for (size_t i = 0; i < h->bins && h->name[kind]; i++) {
        c.sum += h->count[kind][i];
        if (h->count[kind][i] <= c.most) continue;
        c.most = h->count[kind][i];
        c.fullest = i;
    }
    return c;
}

static double edge_of(const page_histogram *h, size_t bin)
{
    return h->low + (h->high - h->low) * (double)bin / (double)h->bins;
}

static void describe_kind(page *p, const page_histogram *h, size_t kind)
{
    const counts c = counts_of(h, kind);
    if (!h->name[kind]) return;
    page_put_text(p, "%s%s: %zu", kind ? " " : "", h->name[kind], c.sum);
    if (c.sum) {
        size_t first = 0, last = h->bins;
        while (!h->count[kind][first]) first++;
        while (!h->count[kind][last - 1]) last--;
        page_put_text(p, ", from %.3g to %.3g, most of them (%zu) between %.3g and %.3g",
                      edge_of(h, first), edge_of(h, last), c.most, edge_of(h, c.fullest),
                      edge_of(h, c.fullest + 1));
    }
    page_put(p, ".");
}

static void draw_kind(page *p, const page_histogram *h, size_t kind, double base, double height)
{
    const counts c = counts_of(h, kind);
    const double width = (double)(WIDTH - LEFT - RIGHT) / (double)h->bins;
    char text[40];
    if (!c.sum) return;
    for (size_t i = 0; i < h->bins; i++) {
        const double size = height * (double)h->count[kind][i] / (double)c.most;
        if (!h->count[kind][i]) continue;
        put_box(p, kind ? "fill1" : "fill2", LEFT + width * (double)i + 0.4,
                kind ? base : base - size, width - 0.8, size);
    }
    snprintf(text, sizeof text, "%zu", c.most);
    put_label(p, LEFT - 6, kind ? base + height : base - height + 9, "end", text);
}

void page_histogram_add(page *p, const page_histogram *h)
{
    static const char *const keys[] = {"gray", "full"};
    const double middle = h->name[1] ? (HISTOGRAM_TOP + HISTOGRAM_BOTTOM) / 2.0 : HISTOGRAM_BOTTOM;
    const axis x = {h->low, h->high, axis_round_up((h->high - h->low) / 6), LEFT, WIDTH - RIGHT};
    char text[120];
    begin(p);
    page_put(p, "<b>");
    page_put_text(p, "%s", h->title);
    page_put(p, "</b>");
    for (size_t kind = 0; kind < 2; kind++) {
        if (!h->name[kind]) continue;
        snprintf(text, sizeof text, "%.80s: %zu", h->name[kind], counts_of(h, kind).sum);
        key(p, keys[kind], text);
    }
    begin_words(p, h->title, HISTOGRAM_HEIGHT);
    describe_kind(p, h, 0);
    describe_kind(p, h, 1);
    end_words(p);
    const double first = ceil(x.low / x.step - 1e-9), last = floor(x.high / x.step + 1e-9);
    for (size_t i = 0; (double)i <= last - first; i++) {
        const double at = (first + (double)i) * x.step;
        put_line(p, "grid", axis_place(&x, at), HISTOGRAM_TOP, axis_place(&x, at),
                 HISTOGRAM_BOTTOM);
        axis_tick(&x, at, "", sizeof text, text);
        put_label(p, axis_place(&x, at), HISTOGRAM_BOTTOM + 17, "middle", text);
    }
    draw_kind(p, h, 0, middle, middle - HISTOGRAM_TOP);
    if (h->name[1]) draw_kind(p, h, 1, middle, HISTOGRAM_BOTTOM - middle);
    put_line(p, "axis", LEFT, middle, WIDTH - RIGHT, middle);
    end(p);
}

/* ---- bars ---- */

/* The beginning and the end of a name that is too long for so many letters. The end tells more. */
static void shorten(const char *name, size_t letters, size_t size, char *text)
{
    const size_t length = strlen(name);
    size_t head = letters / 4, tail = letters - 1 - head;
    if (length <= letters) {
        snprintf(text, size, "%s", name);
        return;
    }
    while (head && (name[head] & 0xc0) == 0x80) head--; /* whole characters */
    while (tail && (name[length - tail] & 0xc0) == 0x80) tail--;
    snprintf(text, size, "%.*s\xe2\x80\xa6%s", (int)head, name, name + length - tail);
}

static void describe_bars(page *p, const page_bars *b)
{
    double before = 0, after = 0;
    size_t most = 0;
    char text[2][24];
    if (b->n > 6) page_put_text(p, "%zu %s.", b->n, b->what);
    for (size_t i = 0; i < b->n; i++) {
        const page_bar *bar = &b->bar[i];
        before += bar->before;
        after += bar->after;
        if (bar->before - bar->after > b->bar[most].before - b->bar[most].after) most = i;
        amount(bar->before, sizeof text[0], text[0]);
        amount(bar->after, sizeof text[1], text[1]);
        if (b->n <= 6)
            page_put_text(p, "%s%s: %s before, %s after.", i ? " " : "", bar->name, text[0],
                          text[1]);
    }
    if (b->n <= 6) return;
    amount(before, sizeof text[0], text[0]);
    amount(after, sizeof text[1], text[1]);
    page_put_text(p, " Together %s before and %s after.", text[0], text[1]);
    amount(b->bar[most].before, sizeof text[0], text[0]);
    amount(b->bar[most].after, sizeof text[1], text[1]);
    if (b->bar[most].before > b->bar[most].after)
        page_put_text(p, " %s loses the most: %s before, %s after.", b->bar[most].name, text[0],
                      text[1]);
}

/* The name, and below it the bar, with the amounts beside it. */
static void draw_bar(page *p, const page_bar *bar, double y, double most)
{
    char before[24], after[24], amounts[60], name[4 * WIDTH / LETTER];
    const double scale = (double)BAR / (most > 0 ? most : 1);
    amount(bar->before, sizeof before, before);
    amount(bar->after, sizeof after, after);
    snprintf(amounts, sizeof amounts, "%s \xe2\x86\x92 %s", before, after);
    shorten(bar->name, WIDTH / LETTER, sizeof name, name);
    page_put(p, "<text class=\"name\" x=\"0\" y=\"%.1f\">", y + 12);
    page_put_text(p, "%s", name);
    page_put(p, "</text>\n");
    put_label(p, WIDTH, y + 29, "end", amounts);
    put_box(p, "before", 0.5, y + 19.5, fmax(scale * bar->before - 1, 0), 9);
    if (bar->after > 0) put_box(p, "fill1", 0, y + 19, scale * bar->after, 10);
    if (bar->after > bar->before)
        put_line(p, "notch", scale * bar->before, y + 18, scale * bar->before, y + 30);
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The least `before` that is shown, if not all are; a bar below it is left out. */
static double least_shown(page *p, const page_bars *b)
{
    if (b->n <= MOST_ROWS) return 0;
    double *all = malloc(b->n * sizeof *all);
    if (!all) {
        p->body.failed = true;
        return 0;
    }
    for (size_t i = 0; i < b->n; i++) all[i] = b->bar[i].before;
    qsort(all, b->n, sizeof *all, descending);
    const double least = all[MOST_ROWS - 1];
    free(all);
    return least;
}

void page_bars_add(page *p, const page_bars *b)
{
    const double least = least_shown(p, b);
    const size_t shown = b->n < MOST_ROWS ? b->n : MOST_ROWS;
    double most = 0, y = 0;
    size_t above = 0, left; /* left: those that have the least and are still to be drawn */
    begin(p);
    page_put(p, "<b>");
    page_put_text(p, "%s", b->title);
    if (shown < b->n) page_put_text(p, ", the %zu largest of %zu", shown, b->n);
    page_put(p, "</b>");
    key(p, "empty", "before");
    key(p, "full", "after");
    begin_words(p, b->title, (int)shown * ROW);
    describe_bars(p, b);
    end_words(p);
    for (size_t i = 0; i < b->n; i++) {
        most = fmax(most, fmax(b->bar[i].before, b->bar[i].after));
        above += b->bar[i].before > least;
    }
    left = shown > above ? shown - above : 0;
    if (shown == b->n) left = b->n;
    for (size_t i = 0; i < b->n; i++) {
        if (!(b->bar[i].before > least)) {
            if (b->bar[i].before < least || !left) continue;
            left--;
        }
        draw_bar(p, &b->bar[i], y, most);
        y += ROW;
    }
    end(p);
}
