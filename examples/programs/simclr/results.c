#include "results.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "files.h"

const char *const RESULTS_STAGE_NAMES[RESULTS_STAGES] = {"untrained", "trained", "cut", "tuned"};

/* ---- the table ---- */

enum { LABEL = 36, CELL = 16 };

void results_print(const results *r)
{
    static const char *const PROBES[] = {"linear probe, untrained encoder", "  trained", "  cut",
                                         "  tuned after the cut"};
    printf("\n%-*s", LABEL, "");
    for (size_t i = 0; i < r->methods; i++) printf("%*s", CELL, r->method[i].name);
    printf("\n%-*s", LABEL, "pairs of a batch with equal labels");
    for (size_t i = 0; i < r->methods; i++) printf("%*.2f %%", CELL - 2, 100 * r->method[i].same);
    for (size_t s = 0; s < RESULTS_STAGES; s++) {
        printf("\n%-*s", LABEL, PROBES[s]);
        for (size_t i = 0; i < r->methods; i++)
            printf("%*.2f %%", CELL - 2, 100 * r->method[i].probe[s]);
    }
    for (size_t after = 0; after < 2; after++) {
        printf("\n%-*s", LABEL, after ? "  after" : "NT-Xent right before the cut");
        for (size_t i = 0; i < r->methods; i++) printf("%*.6f", CELL, r->method[i].cut.loss[after]);
    }
    printf("\n%-*s", LABEL, "  largest difference of an output");
    for (size_t i = 0; i < r->methods; i++) printf("%*.2g", CELL, r->method[i].cut.difference);
    for (size_t params = 0; params < 2; params++)
        for (size_t after = 0; after < 2; after++) {
            printf("\n%-*s", LABEL, after ? "  pruned" : params ? "parameters" : "MACs");
            for (size_t i = 0; i < r->methods; i++) {
                const train_cut *c = &r->method[i].cut;
                const mskp_cost *cost = after ? &c->after : &c->before;
                printf("%*.0f", CELL, params ? cost->params : cost->macs);
            }
        }
    printf("\n\n");
}

/* ---- files ---- */

FILE_FORMAT(2, 3) static void put(file_output *out, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    const int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (n > 0) file_put(out, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static bool write_file(const results *r, const char *path,
                       void (*put_all)(const results *r, file_output *out), cn_error *err)
{
    file_output out = {0};
    file_error why;
    bool good = file_create(&out, path, &why);
    if (good) {
        put_all(r, &out);
        good = file_commit(&out, &why);
    }
    file_discard(&out);
    if (!good && err) snprintf(err->text, sizeof err->text, "%.100s: %.150s", path, why.text);
    return good;
}

static void put_log(const results *r, file_output *out)
{
    put(out, "method,phase,epoch,loss\n");
    for (size_t i = 0; i < r->methods; i++) {
        const method *m = &r->method[i];
        for (size_t e = 0, first = 0; e < m->epochs; e++) {
            if (e && m->phase[e] != m->phase[e - 1]) first = e;
            put(out, "%s,%s,%zu,%.9g\n", m->name, PHASE_NAMES[m->phase[e]], e - first + 1,
                m->loss[e]);
        }
    }
}

bool results_log(const results *r, const char *path, cn_error *err)
{
    return write_file(r, path, put_log, err);
}

/* ---- the picture ---- */

enum { WIDTH = 900, HEIGHT = 330, TOP = 60, BOTTOM = 282 };
/* The panels, from left to right. */
enum { LOSS_LEFT = 56, LOSS_RIGHT = 420, PROBE_LEFT = 500, PROBE_RIGHT = 890 };

/* Of a method. */
static const char *colour_of(size_t i)
{
    return i ? "#1f6fb4" : "#777777";
}

/* Numbers from low to high, which lie between two places of the picture. */
typedef struct scale {
    double low, high, from, to;
} scale;

static double place(const scale *s, double x)
{
    return s->from + (x - s->low) / (s->high - s->low) * (s->to - s->from);
}

/* A scale whose ends are whole multiples of `step`, from below `low` to above `high`. */
static scale scale_over(double low, double high, double step)
{
    scale s = {floor(low / step) * step, ceil(high / step) * step, BOTTOM, TOP};
    if (!(s.high > s.low)) s.high = s.low + step;
    return s;
}

static double step_for(double range)
{
    static const double STEPS[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50};
    size_t i = 0;
    while (i + 1 < sizeof STEPS / sizeof *STEPS && range / STEPS[i] > 6) i++;
    return STEPS[i];
}

static void put_axis(file_output *out, const scale *s, double step, int left, int right,
                     const char *unit)
{
    const size_t ticks = (size_t)((s->high - s->low) / step + 1.5);
    for (size_t i = 0; i < ticks; i++) {
        const double y = s->low + (double)i * step;
        put(out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#dddddd\"/>\n", left,
            place(s, y), right, place(s, y));
        put(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g%s</text>\n", left - 6,
            place(s, y) + 4, y, unit);
    }
}

static void put_curve(const method *m, const char *colour, const scale *across, const scale *up,
                      file_output *out)
{
    put(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
    for (size_t e = 0; e < m->epochs; e++)
        put(out, "%s%.1f,%.1f", e ? " " : "", place(across, (double)e + 1), place(up, m->loss[e]));
    put(out, "\"/>\n");
}

static void put_losses(const results *r, file_output *out)
{
    const method *first = &r->method[0];
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < r->methods; i++)
        for (size_t e = 0; e < r->method[i].epochs; e++) {
            low = fmin(low, r->method[i].loss[e]);
            high = fmax(high, r->method[i].loss[e]);
        }
    put(out, "<text x=\"%d\" y=\"44\">NT-Xent, by epochs</text>\n", LOSS_LEFT);
    if (!first->epochs) return;
    const double step = step_for(high - low);
    const scale up = scale_over(low, high, step);
    const scale across = {1, first->epochs > 1 ? (double)first->epochs : 2, LOSS_LEFT, LOSS_RIGHT};
    put_axis(out, &up, step, LOSS_LEFT, LOSS_RIGHT, "");
    for (size_t e = 0, begin = 0; e < first->epochs; e++) {
        if (e + 1 < first->epochs && first->phase[e + 1] == first->phase[e]) continue;
        const double from = begin ? place(&across, (double)begin + 0.5) : LOSS_LEFT;
        const double to = e + 1 < first->epochs ? place(&across, (double)e + 1.5) : LOSS_RIGHT;
        if (begin)
            put(out,
                "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#999999\" "
                "stroke-dasharray=\"3 3\"/>\n",
                from, TOP, from, BOTTOM);
        put(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", (from + to) / 2,
            BOTTOM + 18, PHASE_NAMES[first->phase[e]]);
        put(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%zu epoch%s</text>\n",
            (from + to) / 2, BOTTOM + 34, e + 1 - begin, e > begin ? "s" : "");
        begin = e + 1;
    }
    for (size_t i = 0; i < r->methods; i++)
        put_curve(&r->method[i], colour_of(i), &across, &up, out);
}

static void put_probes(const results *r, file_output *out)
{
    double high = 0;
    for (size_t i = 0; i < r->methods; i++)
        for (size_t s = 0; s < RESULTS_STAGES; s++) high = fmax(high, 100 * r->method[i].probe[s]);
    const double step = step_for(high);
    const scale up = scale_over(0, high, step);
    const double group = (double)(PROBE_RIGHT - PROBE_LEFT) / RESULTS_STAGES;
    const double bar = 0.76 * group / (double)r->methods;
    put(out, "<text x=\"%d\" y=\"44\">linear probe, test images</text>\n", PROBE_LEFT);
    put_axis(out, &up, step, PROBE_LEFT, PROBE_RIGHT, " %");
    for (size_t s = 0; s < RESULTS_STAGES; s++) {
        const double left = PROBE_LEFT + (double)s * group + 0.12 * group;
        for (size_t i = 0; i < r->methods; i++) {
            const double x = left + (double)i * bar, y = place(&up, 100 * r->method[i].probe[s]);
            put(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
                x, y, bar - 2, BOTTOM - y, colour_of(i));
            put(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.1f</text>\n",
                x + bar / 2 - 1, y - 5, 100 * r->method[i].probe[s]);
        }
        put(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
            left + 0.38 * group, BOTTOM + 18, RESULTS_STAGE_NAMES[s]);
    }
    put(out,
        "<text x=\"%d\" y=\"%d\">cut and tuned: %.0f %% of the multiply-accumulates are left"
        "</text>\n",
        PROBE_LEFT, BOTTOM + 38, 100 * r->method[0].cut.after.macs / r->method[0].cut.before.macs);
}

static void put_picture(const results *r, file_output *out)
{
    put(out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"DejaVu "
        "Sans, Verdana, sans-serif\" font-size=\"12\" fill=\"#333333\" role=\"img\" "
        "aria-label=\"losses by epochs, and accuracies of a linear probe before and after "
        "pruning\">\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    for (size_t i = 0; i < r->methods; i++) {
        const int x = LOSS_LEFT + (int)i * 110;
        put(out, "<rect x=\"%d\" y=\"10\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x,
            colour_of(i));
        put(out, "<text x=\"%d\" y=\"20\" font-size=\"13\">%s</text>\n", x + 18, r->method[i].name);
    }
    put_losses(r, out);
    put_probes(r, out);
    put(out, "</svg>\n");
}

bool results_draw(const results *r, const char *path, cn_error *err)
{
    return write_file(r, path, put_picture, err);
}
