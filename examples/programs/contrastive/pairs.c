/* Images and texts of a batch, drawn anew whenever they are asked for; nothing is stored. */
#include "pairs.h"

/* The random numbers of pair i; `which` tells the image's from the text's. */
static cn_random random_of(const pairs *p, size_t i, uint64_t which)
{
    cn_random random = {p->seed + (2 * (uint64_t)i + which) * UINT64_C(0x9e3779b97f4a7c15)};
    random.state = cn_random_bits(&random);
    return random;
}

void pairs_images(void *context, size_t first, size_t n, cn_real *inputs)
{
    const pairs *p = context;
    for (size_t i = first; i < first + n; i++, inputs += CN_PIXELS) {
        cn_random random = random_of(p, i, 0);
        uint8_t label;
        cn_draw(p->data, 1, &p->order[p->first + i], p->augment ? &random : NULL, inputs, &label);
    }
}

void pairs_texts(void *context, size_t first, size_t n, cn_real *inputs)
{
    const pairs *p = context;
    for (size_t i = first; i < first + n; i++, inputs += p->texts->words) {
        cn_random random = random_of(p, i, 1);
        char text[TEXTS_LENGTH];
        texts_write(p->texts, p->data->labels[p->order[p->first + i]],
                    cn_random_below(&random, TEXTS_EACH), text);
        texts_bag(p->texts, text, inputs);
    }
}

size_t pairs_of(const cn_data *data, const bool *listed, bool flag, size_t *order)
{
    size_t n = 0;
    for (size_t i = 0; i < data->count; i++)
        if (listed[data->labels[i]] == flag) order[n++] = i;
    return n;
}
