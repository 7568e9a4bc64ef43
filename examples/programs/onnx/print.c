/* Prints what can be removed, what cannot, and why: one line for each layer, then sums. */
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "job.h"
#include "list.h"

static void print_value(const net *n, mskp_value value, const mskp_cost *cost)
{
    mskp_coupling info;
    char name[200], why[200];
    if (mskp_value_coupling(n->graph, value, &info, NULL)) return;
    if (!(cost->macs > 0) && strcmp(info.op, "embedding") != 0) return;
    list_words(n, value, &info, sizeof why, name, why);
    file_print(stdout, "%10.3f %10.0f %6zu %6zu  %s%s%s", 1e-6 * cost->macs, cost->params,
               info.channels, info.units, name, *why ? "  " : "", why);
}

static bool print_line(void *context, const char *text)
{
    (void)context;
    file_print(stdout, "%s", text);
    return true;
}

bool print_network(const net *n, const mskp_cost *dense, const file_parameters *parameters)
{
    const mskp_counts counts = mskp_graph_counts(n->graph);
    mskp_error err;
    mskp_cost *costs = try_calloc(counts.values ? counts.values : 1, sizeof *costs);
    if (!costs) return fail(n->f, "no memory for the costs of %zu values", counts.values);
    if (mskp_measure(n->graph, (mskp_mask){0, NULL}, NULL, costs, &err)) {
        free(costs);
        return fail_as(n->f, &err);
    }
    printf("%10s %10s %6s %6s\n", "mio. MACs", "parameters", "width", "units");
    for (uint32_t v = 1; v <= counts.values; v++) print_value(n, (mskp_value){v}, &costs[v - 1]);
    const bool good = list_reasons(n, print_line, NULL);
    if (parameters->others > 0)
        printf("%.0f parameters belong to no layer above, and stay\n", parameters->others);
    printf("%zu units in %zu families, %.0f parameters, %.0f MACs (batch of one)\n", counts.units,
           counts.families, parameters->all, dense->macs);
    char words[LIST_TEXT];
    if (list_uncounted(n, sizeof words, words))
        file_print(stdout, "MACs are without those of %s", words);
    if (!counts.units && list_reason(n, sizeof words, words))
        file_print(stdout, "nothing can be removed from this network: %s", words);
    free(costs);
    return good;
}
