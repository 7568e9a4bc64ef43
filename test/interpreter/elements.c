/* Units as sets of elements; floating-point modes; a caller with threads. */
#include "elements.h"

#include <pthread.h>
#include <string.h>
#if defined(__SSE2__)
#include "by_id/by_id.h"
#include <xmmintrin.h>
#endif

uint32_t element_axis(const model *m, size_t param, const size_t *index, uint32_t unit,
                      uint32_t roles)
{
    const model_param *p = &m->param[param];
    for (uint32_t d = 0; d < p->ndim; d++)
        if (p->axis[d].unit && (p->axis[d].roles & roles) && p->axis[d].unit[index[d]] == unit)
            return d;
    return MSKP_MAX_DIMS;
}

bool tensor_has(const model *m, size_t param, uint32_t roles, const bool *wanted)
{
    const model_param *p = &m->param[param];
    for (uint32_t d = 0; d < p->ndim; d++) {
        if (!p->axis[d].unit || !(p->axis[d].roles & roles)) continue;
        for (size_t i = 0; i < p->shape[d]; i++) {
            uint32_t u = p->axis[d].unit[i];
            if (u != MSKP_PINNED && (!wanted || wanted[u])) return true;
        }
    }
    return false;
}

double exact_number(rng *r)
{
    if (rng_chance(r, 0.1)) return rng_chance(r, 0.5) ? 0.0 : -0.0;
    double x = (double)(2 * rng_below(r, 13) + 1) / 16;
    return rng_chance(r, 0.5) ? x : -x;
}

void exact_net(net *n, rng *r)
{
    for (size_t p = 1; p <= n->params; p++) {
        size_t count = shape_elements(n->param[p].ndim, n->param[p].shape);
        for (size_t i = 0; i < count; i++) n->param[p].data[i] = exact_number(r);
    }
}

set exact_set(trial *t, const net *n)
{
    static const mskp_dtype floating[] = {MSKP_DTYPE_F32, MSKP_DTYPE_F64, MSKP_DTYPE_F16,
                                          MSKP_DTYPE_BF16};
    set s = set_make(&t->mem, &t->r, n, MSKP_DTYPE_F32, VIEW_STYLES);
    for (size_t p = 1; p <= n->params; p++) {
        s.buf[p] = view_make(&t->mem, &t->r, floating[rng_below(&t->r, 4)], n->param[p].ndim,
                             n->param[p].shape, (view_style)rng_below(&t->r, VIEW_STYLES));
        s.views[p] = s.buf[p].view;
    }
    set_numbers(&s, n);
    return s;
}

void float_mode(int mode)
{
#if defined(__SSE2__)
    const unsigned both = 0x8040; /* flush to zero, denormals are zero */
    _mm_setcsr(mode ? _mm_getcsr() | both : _mm_getcsr() & ~both);
#else
    (void)mode;
#endif
}

enum { THREADS = 3 };

typedef struct strand {
    pthread_t thread;
    size_t first, n;
    void (*work)(void *context, size_t i);
    void *context;
} strand;

static void *run_strand(void *pointer)
{
    const strand *s = pointer;
    for (size_t i = s->n; i-- > 0;)
        if (i % THREADS == s->first) s->work(s->context, i);
    return NULL;
}

static void backwards(void *context, size_t n, void (*work)(void *work_context, size_t i),
                      void *work_context)
{
    strand strands[THREADS];
    bool started[THREADS];
    (void)context;
    for (size_t k = THREADS; k-- > 0;) {
        strands[k] = (strand){.first = k, .n = n, .work = work, .context = work_context};
        started[k] = pthread_create(&strands[k].thread, NULL, run_strand, &strands[k]) == 0;
        if (!started[k]) run_strand(&strands[k]);
    }
    for (size_t k = 0; k < THREADS; k++)
        if (started[k]) (void)pthread_join(strands[k].thread, NULL);
}

const mskp_services backwards_services = {.parallel_for = backwards};
