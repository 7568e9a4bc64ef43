/*
 * Constants over ranks, as the bridge's README says: where every rank has all values, and where
 * values are spread and are collected for it. Both against one process, bit for bit.
 */
#include "ranks.h"

#include "mskp/constants.h"

#include <string.h>

/* What is decided of the constants of one network. */
typedef struct decided {
    mskp_constants *constants;
    mskp_plan *plan;
    uint8_t *kept;
} decided;

static void decided_free(decided *d)
{
    mskp_plan_destroy(d->plan);
    mskp_constants_destroy(d->constants);
    *d = (decided){0};
}

static mskp_status decide(trial *t, const uint8_t *keep, const mskp_constants_desc *desc,
                          mskp_tensors values, decided *d, mskp_error *err)
{
    uint8_t *copy = arena_copy(&t->mem, keep, t->units, 1);
    *d = (decided){.kept = arena_get(&t->mem, t->units, 1)};
    const mskp_mask none = {0, NULL};
    mskp_status status =
        mskp_constants_create(t->graph, mask_of(t->units, copy), desc, values, &d->constants, err);
    if (!status)
        status = mskp_constants_masks(d->constants, none, none, mask_of(t->units, d->kept), err);
    if (!status) status = mskp_constants_plan(d->constants, &d->plan, NULL, err);
    return status;
}

/* Some units, of which every family keeps one. */
static uint8_t *draw_keep(trial *t)
{
    double *scores = arena_get(&t->mem, t->units, sizeof *scores);
    uint8_t *keep = arena_get(&t->mem, t->units, 1);
    for (size_t u = 0; u < t->units; u++) scores[u] = rng_real(&t->r, 0, 1);
    const mskp_rule rule = {.use_threshold = 1, .threshold = rng_real(&t->r, 0, 1)};
    REQUIRE_OK(mskp_select(t->graph, scores_of(t->units, scores), &rule, mask_of(t->units, keep),
                           NULL, NULL));
    return keep;
}

static void require_same_set(const trial *t, const mskp_tensor *a, const mskp_tensor *b)
{
    for (size_t i = 1; i <= t->net->params; i++) {
        const mskp_tensor x = view_resolve(&a[i], a[i].ndim, a[i].shape);
        const mskp_tensor y = view_resolve(&b[i], b[i].ndim, b[i].shape);
        REQUIRE(a[i].ndim == b[i].ndim, "parameter %zu has another number of axes", i);
        if (!shape_elements(y.ndim, y.shape)) continue;
        require_range(&x, &y, (mskp_mpi_range){0, y.shape[0], 0}, NULL);
    }
}

/* Every rank has all. The plan waits for the constants on every rank. */
static void everywhere(trial *t, const uint8_t *keep, const mskp_constants_desc *desc,
                       const set *values, const mskp_tensor *expected)
{
    const size_t params = t->net->params;
    set mine = set_copy(&t->mem, values);
    const mskp_tensors views = set_by_id(params, mine.views);
    const int odd = (int)rng_below(&t->r, (size_t)all_ranks.ranks);
    decided d;
    mskp_error err = {0};
    const mskp_move move = {.from = views};
    REQUIRE_OK(decide(t, keep, desc, views, &d, NULL));
    require_same_bytes("the mask", t->units, d.kept);
    if (all_ranks.rank != odd) REQUIRE_OK(mskp_constants_apply(d.constants, d.plan, views, NULL));
    mskp_status status = mskp_mpi_cut(&all_ranks, d.plan, 1, &move, &err);
    require_same_answer(status, &err);
    REQUIRE(status == MSKP_ERROR_BAD_STATE, "%d: cut before the constants were moved", status);
    if (all_ranks.rank == odd) REQUIRE_OK(mskp_constants_apply(d.constants, d.plan, views, NULL));
    status = mskp_mpi_same(&all_ranks, t->graph, mask_of(t->units, d.kept), views, &err);
    REQUIRE(!status, "%s", err.text);
    status = mskp_mpi_cut(&all_ranks, d.plan, 1, &move, &err);
    REQUIRE(!status, "%s", err.text);
    require_same_set(t, mine.views, expected);
    decided_free(&d);
}

/* Values are spread: collected, changed, and taken apart again. */
static size_t collected(trial *t, const uint8_t *keep, const mskp_constants_desc *desc,
                        const set *values, const mskp_tensor *expected)
{
    const size_t params = t->net->params;
    const pieces p = pieces_draw(t, values);
    mskp_mpi_range *all = arena_get(&t->mem, params, sizeof *all);
    set whole = set_copy(&t->mem, values);
    const mskp_tensors views = set_by_id(params, whole.views);
    const mskp_move collect = {set_by_id(params, p.views), views};
    decided d;
    mskp_plan *plan = NULL;
    mskp_error err = {0};
    set_pattern(&whole, t->net, 5);
    for (size_t i = 1; i <= params; i++) all[i - 1].count = t->net->param[i].shape[0];
    mskp_status status = mskp_mpi_move(&all_ranks, t->graph, p.ranges, all, 1, &collect, &err);
    REQUIRE(!status, "%s", err.text);
    REQUIRE_OK(decide(t, keep, desc, views, &d, NULL));
    REQUIRE_OK(mskp_constants_apply(d.constants, d.plan, views, NULL));
    mskp_tensor *part = pieces_of(t, &whole, p.ranges);
    mskp_mpi_range *small = arena_get(&t->mem, params, sizeof *small);
    status = mskp_mpi_shard_plan(&all_ranks, t->graph, mask_of(t->units, d.kept), p.ranges, small,
                                 &plan, &err);
    REQUIRE(!status, "%s", err.text);
    for (size_t i = 1; i <= params; i++)
        if (!small[i - 1].count) part[i] = (mskp_tensor){.data = NULL};
    const mskp_move move = {.from = set_by_id(params, part)};
    status = mskp_mpi_cut(&all_ranks, plan, 1, &move, &err);
    REQUIRE(!status, "%s", err.text);
    for (size_t i = 1; i <= params; i++) {
        if (!small[i - 1].count) continue;
        const mskp_tensor x = view_resolve(&part[i], part[i].ndim, part[i].shape);
        const mskp_tensor y = view_resolve(&expected[i], expected[i].ndim, expected[i].shape);
        require_range(&x, &y, small[i - 1], NULL);
    }
    mskp_plan_destroy(plan);
    decided_free(&d);
    return p.split;
}

/* Pieces whose views have shapes are refused, and named, if they are read at all. */
static size_t refused(trial *t, const uint8_t *keep, const mskp_constants_desc *desc,
                      const set *values)
{
    const pieces p = pieces_draw(t, values);
    decided d;
    mskp_error err = {0};
    for (size_t i = 1; i <= t->net->params; i++) {
        const net_param *q = &t->net->param[i];
        size_t shape[MSKP_MAX_DIMS];
        memcpy(shape, q->shape, sizeof shape);
        shape[p.ranges[i - 1].axis] = p.ranges[i - 1].count;
        if (p.views[i].data) p.views[i] = view_resolve(&p.views[i], q->ndim, shape);
    }
    const mskp_status status = decide(t, keep, desc, set_by_id(t->net->params, p.views), &d, &err);
    decided_free(&d);
    REQUIRE(!status || status == MSKP_ERROR_BAD_SHAPE || status == MSKP_ERROR_NO_DATA, "%d: %s",
            status, err.text);
    return status != MSKP_OK;
}

void test_constants(void)
{
    static const uint32_t zeroed[] = {0, MSKP_ROLE_SCALE, MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT};
    size_t parts[3] = {0}; /* consumers, parameters of which a rank has a part, refusals */
    const size_t count = test_count(200);
    for (size_t k = 0; k < count; k++) {
        trial t;
        decided one;
        mskp_error err = {0};
        trial_begin(&t, test_seed() * 1000000 + k, &(net_options){.residual = k % 4 == 1}, NULL);
        const mskp_constants_desc desc = {.way = (mskp_constants_way)rng_below(&t.r, 4),
                                          .zeroed = zeroed[rng_below(&t.r, 3)]};
        const set values = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F64, VIEW_STYLES);
        set_numbers(&values, t.net);
        const uint8_t *keep = draw_keep(&t);
        set cut = set_copy(&t.mem, &values);
        const mskp_tensors views = set_by_id(t.net->params, cut.views);
        mskp_status status = decide(&t, keep, &desc, views, &one, &err);
        if (!status) status = mskp_constants_apply(one.constants, one.plan, views, &err);
        if (!status) {
            parts[0] += mskp_constants_consumers(one.constants);
            REQUIRE_OK(mskp_plan_cut(one.plan, 1, &(mskp_move){.from = views}, NULL));
            everywhere(&t, keep, &desc, &values, cut.views);
            parts[1] += collected(&t, keep, &desc, &values, cut.views);
            parts[2] += refused(&t, keep, &desc, &values);
        }
        decided_free(&one);
        trial_end(&t);
    }
    MPI_Allreduce(MPI_IN_PLACE, parts, 3, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    REQUIRE(count < 100 || (parts[0] > count &&
                            (all_ranks.ranks == 1 || (parts[1] > count && parts[2] > count / 4))),
            "%zu consumers, %zu pieces, %zu refusals only", parts[0], parts[1], parts[2]);
}
