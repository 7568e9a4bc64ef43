#include "surgery.h"

#include "by_id/by_id.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const mskp_dtype every_dtype[DTYPES] = EVERY_DTYPE;
const mskp_error untouched = {MSKP_ERROR_UNSUPPORTED, "untouched"};

mskp_graph *network_finish(mskp_graph *graph)
{
    mskp_error err = {.text = ""};
    must(mskp_graph_finish(graph, &err) == MSKP_OK, "%s", err.text);
    return graph;
}

mskp_param network_param(mskp_graph *graph, size_t number, uint32_t ndim, const size_t *shape)
{
    char name[32];
    snprintf(name, sizeof name, "layer%zu.weight", number);
    return mskp_parameter(graph, name, ndim, shape);
}

void network_plan(network *n)
{
    mskp_error err = {.text = ""};
    mskp_status status =
        mskp_plan_create(n->graph, mask_of(n->units, n->keep), &n->plan, NULL, &err);
    must(status == MSKP_OK, "%d: %s", (int)status, err.text);
}

void network_free(network *n)
{
    mskp_plan_destroy(n->plan);
    mskp_graph_destroy(n->graph);
}

/* What stays of a parameter, and the same asked of the plan. */
void kept_of(const network *n, mskp_param param, kept_indices *kept)
{
    size_t shape[MSKP_MAX_DIMS];
    uint32_t ndim = mskp_param_shape(n->graph, param, shape);
    memset(kept, 0, sizeof *kept);
    for (uint32_t a = 0; a < ndim; a++) {
        const uint32_t *units = mskp_param_units(n->graph, param, a, NULL, NULL);
        for (size_t i = 0; i < shape[a]; i++)
            if (units == NULL || units[i] == MSKP_PINNED || n->keep[units[i]])
                kept->index[a][kept->n[a]++] = i;
        size_t count = 0;
        const uint32_t *list = mskp_plan_param_kept(n->plan, param, a, &count);
        must(count == kept->n[a], "axis %u: %zu, not %zu", a, count, kept->n[a]);
        must(mskp_plan_param_kept(n->plan, param, a, NULL) == list, "axis %u without count", a);
        must(list != NULL || count == shape[a], "axis %u", a);
        for (size_t i = 0; list != NULL && i < count; i++)
            must(list[i] == kept->index[a][i], "axis %u, %zu: %u", a, i, list[i]);
    }
}

static size_t random_shape(rng *r, uint32_t ndim, size_t most, size_t *shape)
{
    size_t count = 1;
    for (uint32_t a = 0; a < ndim; a++) {
        size_t longest = most / count < 6 ? most / count : 6;
        shape[a] = rng_chance(r, 4) ? 1 : 1 + rng_below(r, longest);
        count *= shape[a];
    }
    return count;
}

/* A caller's loop may go backwards. */
static void backwards(void *context, size_t n, void (*work)(void *, size_t), void *work_context)
{
    (void)context;
    while (n-- > 0) work(work_context, n);
}

void network_random(rng *r, network *n, size_t params, size_t most_elements)
{
    const mskp_services services = {.parallel_for = backwards};
    mskp_graph *graph = mskp_graph_create(rng_chance(r, 2) ? &services : NULL);
    must(graph != NULL, "no memory");
    mskp_value values[MOST_PARAMS * MSKP_MAX_DIMS];
    size_t lengths[MOST_PARAMS * MSKP_MAX_DIMS], made = 0;
    for (size_t p = 1; p <= params; p++) {
        uint32_t ndim = 1 + (uint32_t)rng_below(r, MSKP_MAX_DIMS);
        size_t shape[MSKP_MAX_DIMS] = {0};
        random_shape(r, ndim, most_elements, shape);
        mskp_param param = network_param(graph, p, ndim, shape);
        uint32_t always = (uint32_t)rng_below(r, ndim);
        for (uint32_t a = 0; a < ndim; a++) {
            if (a != always && rng_chance(r, 3)) continue;
            size_t same = made;
            for (size_t v = 0; v < made && same == made; v++)
                if (lengths[v] == shape[a] && rng_chance(r, 4)) same = v;
            if (same == made) {
                lengths[made] = shape[a];
                values[made] = mskp_fresh(graph, NULL, shape[a], 0, NULL);
                if (rng_chance(r, 12)) mskp_pin(graph, values[made]);
                made++;
            }
            mskp_bind(graph, param, a, MSKP_ROLE_OTHER, values[same]);
        }
    }
    *n = (network){.graph = network_finish(graph), .params = params};
    n->units = mskp_graph_counts(graph).units;
    size_t cut = 1 + rng_below(r, 4);
    for (size_t u = 0; u < n->units; u++) n->keep[u] = rng_below(r, cut + 1) > 0;
    for (size_t v = 0; v < made; v++) {
        const uint32_t *units = mskp_value_units(graph, values[v], NULL);
        bool empty = true;
        for (size_t i = 0; i < lengths[v]; i++)
            if (units[i] == MSKP_PINNED || n->keep[units[i]]) empty = false;
        if (empty) n->keep[units[rng_below(r, lengths[v])]] = 1;
    }
    network_plan(n);
}

void must_be_refused(mskp_status status, mskp_status expected, const mskp_error *err)
{
    must(status == expected, "%d (%s), not %d", (int)status, err->text, (int)expected);
    must(err->status == status, "err has %d, the call returned %d", (int)err->status, (int)status);
    must(memchr(err->text, 0, sizeof err->text) != NULL && err->text[0] != 0, "no sentence");
}

void must_be_untouched(const mskp_error *err)
{
    must(memcmp(err, &untouched, sizeof *err) == 0, "success, but err has: %s", err->text);
}

unsigned char *copy_of(guarded g)
{
    unsigned char *copy = malloc(g.size);
    must(copy != NULL, "no memory");
    memcpy(copy, g.start, g.size);
    return copy;
}

void must_hold(guarded g, const unsigned char *image, const char *what)
{
    for (size_t i = 0; memcmp(g.start, image, g.size) != 0 && i < g.size; i++)
        must(g.start[i] == image[i], "%s: byte %zu of %zu", what, i, g.size);
}
