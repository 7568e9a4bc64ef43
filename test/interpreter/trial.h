/*
 * One trial of a test: a random network that is described to the library and to the model, sets of
 * tensors, and requirements that print the seed when they fail.
 */
#ifndef INTERPRETER_TRIAL_H
#define INTERPRETER_TRIAL_H

#include "by_id/by_id.h"
#include "net.h"

/* REQUIRE(condition, format, ...): ends the test with the seed of the current trial. */
extern uint64_t trial_seed;
#define REQUIRE(condition, ...)                                                        \
    do {                                                                               \
        if (!(condition)) require_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    } while (0)
#define REQUIRE_OK(call)                                                              \
    do {                                                                              \
        mskp_status require_status_ = (call);                                         \
        REQUIRE(require_status_ == MSKP_OK, "%s", mskp_status_text(require_status_)); \
    } while (0)
#if defined(__GNUC__)
__attribute__((format(printf, 4, 5), noreturn))
#endif
void require_failed(const char *file, int line, const char *condition, const char *format, ...);

typedef struct trial {
    arena mem;
    rng r;
    net *net;
    model model;
    size_t *value; /* by node: its number in graph and model */
    mskp_graph *graph;
    size_t units;
} trial;

/* options may be NULL; caller may be NULL. Sets trial_seed. */
void trial_begin(trial *t, uint64_t seed, const net_options *options,
                 const mskp_services *services);
/* All choices are r's, one after the other. */
void trial_steered(trial *t, rng r, const net_options *options, const mskp_services *services);
void trial_end(trial *t);

/* ---- Sets of tensors ---- */

typedef struct set {
    size_t params;
    mskp_tensor *views; /* params + 1 */
    view_buf *buf;      /* as they were made */
} set;

/* style VIEW_STYLES: one at random for each tensor. */
set set_make(arena *mem, rng *r, const net *n, mskp_dtype dtype, view_style style);
set set_copy(arena *mem, const set *s);
void set_numbers(const set *s, const net *n);                /* the parameters' numbers */
void set_pattern(const set *s, const net *n, uint64_t salt); /* each element its own bytes */
void pattern_of(uint64_t salt, size_t param, size_t element, unsigned char bytes[16]);
/* Same bytes and same views? */
bool set_same(const set *a, const set *b);

/* ---- Surgery ---- */

typedef struct surgery {
    mskp_plan *plan;
    mskp_graph *small;
    net_kept *values;                /* by node, from the plan */
    net_kept (*axes)[MSKP_MAX_DIMS]; /* by parameter, from the plan */
    uint8_t *fate;                   /* by node, from the model; an mskp_fate */
    bool *vanished;                  /* by parameter, from the model */
    bool any;                        /* something vanishes */
    net *net;                        /* the smaller recipe */
} surgery;

void surgery_begin(surgery *s, trial *t, mskp_graph *graph, const net *n, const size_t *value,
                   size_t units, const uint8_t *keep);
void surgery_end(surgery *s);

/* A deep comparison through the public functions. */
void require_same_graph(const mskp_graph *a, const mskp_graph *b);
/* The graph against the model, except for the operators that tied and pinned. */
void require_model(const mskp_graph *graph, const model *m);

#endif
