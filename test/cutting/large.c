/*
 * Cuts and restored sets of tensors of megabytes, against a loop over single elements. Such tensors
 * are divided into pieces and prefetched in long rows: those of the other tests are too small for
 * either. Whole memory images are compared.
 */
#include "surgery.h"

#include "by_id/by_id.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AXES = 4, BYTES = 12 << 20 };

/* Pieces of work run from the last to the first, or in strides. *most <- the most of one call. */
static void in_another_order(void *context, size_t n, void (*work)(void *, size_t),
                             void *work_context)
{
    size_t *most = context;
    const size_t step = n % 7 ? 7 : 1; /* has no factor in common with n */
    if (*most < n) *most = n;
    for (size_t i = 0; i < n; i++) work(work_context, n - 1 - i * step % n);
}

typedef struct part {
    uint32_t ndim;
    size_t full[MSKP_MAX_DIMS];
    kept_indices small;         /* without indices: axes are too long for them */
    const uint32_t *kept[AXES]; /* NULL: all */
} part;

/* Where the element of the part at `index` lies in the whole. */
static ptrdiff_t whole_offset(const part *t, const mskp_tensor *whole, const size_t *index)
{
    size_t at[MSKP_MAX_DIMS];
    for (uint32_t d = 0; d < t->ndim; d++) at[d] = t->kept[d] ? t->kept[d][index[d]] : index[d];
    return view_offset(whole, at) * (ptrdiff_t)dtype_size(whole->dtype);
}

/* The element at a place of a view, in an image of the memory that begins at base. */
static unsigned char *in_image(const mskp_tensor *v, ptrdiff_t offset, const unsigned char *base,
                               unsigned char *image)
{
    return image + ((unsigned char *)v->data - base) + offset;
}

/* A network of one parameter, of about BYTES bytes. */
static mskp_graph *make_graph(rng *r, part *t, size_t size, size_t *most)
{
    const mskp_services services = {.context = most, .parallel_for = in_another_order};
    const size_t kernels[] = {1, 1, 3, 3, 7}, k = kernels[rng_below(r, 5)];
    const size_t rows = 1 + rng_below(r, rng_chance(r, 2) ? 2000 : 60);
    mskp_graph *graph = mskp_graph_create(&services);
    must(graph != NULL, "no memory");
    t->ndim = k == 1 ? 2 : 4;
    t->full[0] = rows;
    t->full[1] = 1 + BYTES / size / (rows * k * k);
    t->full[2] = t->full[3] = k;
    mskp_param param = network_param(graph, 1, t->ndim, t->full);
    const size_t only = rng_below(r, 3); /* 2: both axes */
    for (uint32_t d = 0; d < 2; d++)
        if (only == 2 || only == d)
            mskp_bind(graph, param, d, MSKP_ROLE_OTHER,
                      mskp_fresh(graph, NULL, t->full[d], 0, NULL));
    return network_finish(graph);
}

/* Units stay at random, or in runs. */
static mskp_plan *make_plan(rng *r, mskp_graph *graph, part *t)
{
    const size_t units = mskp_graph_counts(graph).units, percent = 1 + rng_below(r, 99);
    const size_t run = rng_chance(r, 2) ? 1 : 1 + rng_below(r, 200);
    uint8_t *keep = malloc(units + 1);
    mskp_plan *plan;
    mskp_error err = {.text = ""};
    must(keep != NULL, "no memory");
    for (size_t u = 0; u < units; u++)
        keep[u] = u % run ? keep[u - 1] : rng_below(r, 100) < percent;
    for (uint32_t d = 0; d < 2; d++) {
        size_t n;
        const uint32_t *unit = mskp_param_units(graph, (mskp_param){1}, d, NULL, &n);
        if (unit) keep[unit[rng_below(r, n)]] = 1;
    }
    must(mskp_plan_create(graph, mask_of(units, keep), &plan, NULL, &err) == MSKP_OK, "%s",
         err.text);
    for (uint32_t d = 0; d < t->ndim; d++)
        t->kept[d] = mskp_plan_param_kept(plan, (mskp_param){1}, d, &t->small.n[d]);
    free(keep);
    return plan;
}

static mskp_tensor lay_out(rng *r, layout_kind kind, mskp_dtype dtype, const part *t,
                           const size_t *shape)
{
    uint32_t order[MSKP_MAX_DIMS] = {0, 1, 2, 3};
    return kind == LAYOUT_DENSE && rng_chance(r, 2)
               ? view_dense_layout(dtype, t->ndim, shape, order, 0)
               : view_random_layout(r, kind, dtype, t->ndim, shape);
}

static unsigned char *memory_of(rng *r, const mskp_tensor *v, unsigned char **before, size_t *bytes)
{
    *bytes = view_extent(v) + 256;
    unsigned char *memory = malloc(*bytes);
    *before = malloc(*bytes);
    must(memory && *before, "no memory");
    rng_fill(r, memory, *bytes);
    memcpy(*before, memory, *bytes);
    return memory;
}

/* The cut to another place and back to a third one, and then in place. */
static void cut_and_restore(rng *r, const part *t, const mskp_plan *plan, mskp_dtype dtype)
{
    const layout_kind kinds[] = {LAYOUT_DENSE, LAYOUT_DENSE, LAYOUT_GAPS};
    mskp_tensor from[2] = {{0}}, to[2] = {{0}}, back[2] = {{0}};
    unsigned char *memory[3], *image[3];
    size_t bytes[3], index[MSKP_MAX_DIMS] = {0}, size = dtype_size(dtype);
    mskp_error err = untouched;
    from[1] = lay_out(r, kinds[rng_below(r, 3)], dtype, t, t->full);
    to[1] = rng_chance(r, 2) ? view_after_cut(&from[1], &t->small)
                             : lay_out(r, kinds[rng_below(r, 3)], dtype, t, t->small.n);
    back[1] = rng_chance(r, 2) ? from[1] : lay_out(r, kinds[rng_below(r, 3)], dtype, t, t->full);
    mskp_tensor *views[3] = {&from[1], &to[1], &back[1]};
    for (int k = 0; k < 3; k++) {
        memory[k] = memory_of(r, views[k], &image[k], &bytes[k]);
        view_place(views[k], memory[k] + 16 * rng_below(r, 8));
    }
    must(cut_by_id(plan, 1, 1, &(move_by_id){from, to}, &err) == MSKP_OK, "%s", err.text);
    must(moved_by_id(mskp_plan_restore, plan, 1, 1, &(move_by_id){to, back}, &err) == MSKP_OK, "%s",
         err.text);
    do
        memset(
            in_image(&back[1], view_offset(&back[1], index) * (ptrdiff_t)size, memory[2], image[2]),
            0, size);
    while (index_next(index, t->ndim, t->full));
    do {
        const unsigned char *element =
            in_image(&from[1], whole_offset(t, &from[1], index), memory[0], image[0]);
        memcpy(in_image(&to[1], view_offset(&to[1], index) * (ptrdiff_t)size, memory[1], image[1]),
               element, size);
        memcpy(in_image(&back[1], whole_offset(t, &back[1], index), memory[2], image[2]), element,
               size);
    } while (index_next(index, t->ndim, t->small.n));
    for (int k = 0; k < 3; k++)
        must(!memcmp(memory[k], image[k], bytes[k]), "%s",
             k == 0   ? "the source changed"
             : k == 1 ? "the cut"
                      : "what was restored");

    const mskp_tensor was = from[1], small = view_after_cut(&was, &t->small);
    unsigned char *original = malloc(bytes[0]);
    must(original != NULL, "no memory");
    memcpy(original, memory[0], bytes[0]);
    must(cut_by_id(plan, 1, 1, &(move_by_id){from, NULL}, &err) == MSKP_OK, "%s", err.text);
    must_be_untouched(&err);
    must(views_agree(&from[1], &small), "in place: another view");
    do
        memcpy(in_image(&small, view_offset(&small, index) * (ptrdiff_t)size, memory[0], image[0]),
               in_image(&was, whole_offset(t, &was, index), memory[0], original), size);
    while (index_next(index, t->ndim, t->small.n));
    must(!memcmp(memory[0], image[0], bytes[0]), "in place");
    free(original);
    for (int k = 0; k < 3; k++) {
        free(memory[k]);
        free(image[k]);
    }
}

START_TEST(tensors_of_megabytes)
{
    const size_t cases = scaled(100);
    size_t most = 0;
    rng r = {7};
    for (size_t i = 0; i < cases; i++) {
        const mskp_dtype dtype = every_dtype[rng_below(&r, DTYPES)];
        part t = {0};
        mskp_graph *graph = make_graph(&r, &t, dtype_size(dtype), &most);
        mskp_plan *plan = make_plan(&r, graph, &t);
        cut_and_restore(&r, &t, plan, dtype);
        mskp_plan_destroy(plan);
        mskp_graph_destroy(graph);
    }
    printf("%zu large tensors, up to %zu pieces at a time\n", cases, most);
    must(cases < 100 || most > 10, "no tensor was divided: nothing is tested here");
}
END_TEST

TCase *large_cases(void)
{
    TCase *tests = tcase_create("large");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, tensors_of_megabytes);
    return tests;
}
