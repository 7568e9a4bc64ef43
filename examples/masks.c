/*
 * Masks that outlive a program: as text for a file, as a JSON report, two rounds composed to one
 * mask, a fingerprint that tells networks apart, and surgery undone. The network has three linear
 * layers. Two rounds of pruning remove a quarter of the units that each of them finds.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/tools.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 8, UNITS = 2 * WIDTH, LEFT = UNITS - UNITS / 4, PARAMS = 3, ROOM = WIDTH * WIDTH };
enum { TWICE, ONCE, RESTORED, SETS };
static float number[SETS][PARAMS][ROOM];
static mskp_tensor view[SETS][PARAMS];

/* The mask as text, or with options the report. The first call asks for the length, the second call
 * writes. The caller frees the result, which is NULL after a failure. */
static char *text_of(const mskp_graph *g, mskp_mask keep, const mskp_report_options *options,
                     mskp_error *err)
{
    char *text = NULL;
    size_t length, capacity = 0;
    for (int call = 0; call < 2; call++) {
        const mskp_status status =
            options ? mskp_report_json(g, keep, options, capacity, text, &length, err)
                    : mskp_mask_write(g, keep, capacity, text, &length, err);
        if (status) return free(text), NULL;
        if (call == 0 && !(text = malloc(capacity = length + 1)))
            return *err = (mskp_error){MSKP_ERROR_NO_MEMORY, "no memory for a text"}, NULL;
    }
    return text;
}

int main(void)
{
    const mskp_scoring filters = {.roles = MSKP_ROLE_FILTER};
    const mskp_rule quarter = {.remove_fraction = 0.25};
    const mskp_tensors twice = {PARAMS, view[TWICE]}, once = {PARAMS, view[ONCE]};
    const mskp_tensors restored = {PARAMS, view[RESTORED]};
    double score[UNITS];
    uint8_t flag[4][UNITS];
    const mskp_mask keep = {UNITS, flag[0]}, small_keep = {LEFT, flag[1]};
    const mskp_mask both = {UNITS, flag[2]}, read = {UNITS, flag[3]};
    const mskp_scores scores = {UNITS, score}, small_scores = {LEFT, score};
    mskp_plan *first = NULL, *second = NULL, *whole = NULL;
    mskp_graph *small = NULL, *g = mskp_graph_create(NULL);
    char *text = NULL, *report = NULL;
    mskp_error err = {0};
    int wrong = 0;
    const mskp_param none = {0};
    const size_t in[] = {WIDTH, 4}, square[] = {WIDTH, WIDTH}, out[] = {2, WIDTH};
    mskp_value v = mskp_input(g, "in", 4, 0, NULL);
    v = mskp_linear(g, "hidden1", v, mskp_parameter(g, "w1", 2, in), none);
    v = mskp_linear(g, "hidden2", v, mskp_parameter(g, "w2", 2, square), none);
    mskp_output(g, mskp_linear(g, "out", v, mskp_parameter(g, "w3", 2, out), none));
    for (size_t i = 0; i < PARAMS * ROOM; i++)
        number[TWICE][i / ROOM][i % ROOM] = sinf((float)(i * i % 101));
    memcpy(number[ONCE], number[TWICE], sizeof number[ONCE]);
    for (size_t i = 0; i < SETS * PARAMS; i++)
        view[i / PARAMS][i % PARAMS].data = number[i / PARAMS][i % PARAMS];

    /* Two rounds. The second round could be another process that reads the text from a file. */
    if (mskp_graph_finish(g, &err) || mskp_score(g, &filters, twice, scores, &err) ||
        mskp_select(g, scores, &quarter, keep, NULL, &err) ||
        !(text = text_of(g, keep, NULL, &err)) ||
        !(report = text_of(g, keep, &(mskp_report_options){.scores = scores}, &err)) ||
        mskp_mask_read(g, strlen(text), text, read, &err) ||
        mskp_plan_create(g, read, &first, &small, &err) ||
        mskp_plan_cut(first, 1, &(mskp_move){.from = twice}, &err) ||
        mskp_score(small, &filters, twice, small_scores, &err) ||
        mskp_select(small, small_scores, &quarter, small_keep, NULL, &err) ||
        mskp_plan_create(small, small_keep, &second, NULL, &err) ||
        mskp_plan_cut(second, 1, &(mskp_move){.from = twice}, &err))
        goto failed;
    printf("%s%.72s... (%zu bytes)\n", text, report, strlen(report));

    /* The composed mask cuts a copy in one go. Restored and cut again, the copy stays the same. */
    if (mskp_mask_compose(g, keep, small_keep, both, &err) ||
        mskp_plan_create(g, both, &whole, NULL, &err) ||
        mskp_plan_check(whole, 1, &(mskp_move){.from = once}, &err) || /* nothing has moved yet */
        mskp_plan_cut(whole, 1, &(mskp_move){.from = once}, &err) ||
        mskp_plan_restore(whole, 1, &(mskp_move){.from = once, .to = restored}, &err) ||
        mskp_plan_cut(whole, 1, &(mskp_move){.from = restored}, &err))
        goto failed;
    for (size_t i = 0; i < PARAMS; i++) {
        const size_t *shape = view[TWICE][i].shape, bytes = shape[0] * shape[1] * sizeof(float);
        for (int set = ONCE; set <= RESTORED; set++)
            wrong |= memcmp(view[set][i].shape, shape, sizeof view[set][i].shape) ||
                     memcmp(number[set][i], number[TWICE][i], bytes);
        printf("w%zu is [%zu][%zu] after both rounds\n", i + 1, shape[0], shape[1]);
    }
    if (wrong) fprintf(stderr, "masks: the ways through two rounds lead to different tensors\n");

    /* A text of another network is refused with a reason, and the mask is left as it was. */
    if (mskp_fingerprint(small) == mskp_fingerprint(g) ||
        mskp_mask_read(small, strlen(text), text, small_keep, &err) != MSKP_ERROR_OTHER_NETWORK)
        wrong = 1, fprintf(stderr, "masks: two networks were taken for the same\n");
    else
        printf("refused, as it should be: %s\n", err.text);
    err.status = MSKP_OK;
failed:
    if (err.status) fprintf(stderr, "masks: %s\n", err.text);
    free(text);
    free(report);
    mskp_plan_destroy(first), mskp_plan_destroy(second), mskp_plan_destroy(whole);
    mskp_graph_destroy(small), mskp_graph_destroy(g);
    return wrong || err.status;
}
