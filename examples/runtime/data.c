/* Data sets: CIFAR-10's binary files, batches with augmentation, evaluation. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

enum { RECORD = 1 + CN_PIXELS, FILE_RECORDS = 10000, PAD = 4 };

void cn_data_free(cn_data *data)
{
    free(data->pixels);
    free(data->labels);
    *data = (cn_data){0};
}

/* Record i is a label and a picture; one that is not there is a file that ended. */
static bool read_record(file_input *in, size_t i, size_t count, uint8_t *pixels, uint8_t *label,
                        file_error *err)
{
    unsigned char record[RECORD];
    size_t got;
    if (!file_get(in, RECORD, record, &got, err)) return false;
    if (got < RECORD) {
        snprintf(err->text, sizeof err->text, "ends within record %zu of %zu, each of %d bytes",
                 i + 1, count, RECORD);
        return false;
    }
    *label = record[0];
    if (*label > 9) {
        snprintf(err->text, sizeof err->text, "record %zu has label %d, but there are 10", i + 1,
                 *label);
        return false;
    }
    memcpy(pixels, record + 1, CN_PIXELS);
    return true;
}

static bool read_records(const char *path, size_t count, uint8_t *pixels, uint8_t *labels,
                         cn_error *err)
{
    file_input in;
    file_error why;
    size_t got = 0;
    char more;
    if (!file_open(&in, path, &why)) return cn_fail(err, "%s: %s", path, why.text);
    bool good = true;
    for (size_t i = 0; good && i < count; i++)
        good = read_record(&in, i, count, pixels + i * CN_PIXELS, &labels[i], &why);
    if (!good || !file_get(&in, 1, &more, &got, &why))
        good = cn_fail(err, "%s: %s", path, why.text);
    else if (got)
        good = cn_fail(err, "%s: goes on after record %zu, the last", path, count);
    file_close(&in);
    return good;
}

bool cn_data_cifar10(const char *folder, bool training, cn_data *data, cn_error *err)
{
    const size_t files = training ? 5 : 1;
    cn_data d = {files * FILE_RECORDS, 10, malloc(files * FILE_RECORDS * CN_PIXELS),
                 malloc(files * FILE_RECORDS)};
    bool good = d.pixels && d.labels;
    if (!good) cn_fail(err, "no memory for %zu pictures", d.count);
    for (size_t i = 0; good && i < files; i++) {
        char path[4096];
        const int n = training ? snprintf(path, sizeof path, "%s/data_batch_%zu.bin", folder, i + 1)
                               : snprintf(path, sizeof path, "%s/test_batch.bin", folder);
        if (n < 0 || (size_t)n >= sizeof path)
            good = cn_fail(err, "the name of the folder has %zu bytes, more than %zu",
                           strlen(folder), sizeof path);
        else
            good = read_records(path, FILE_RECORDS, d.pixels + i * FILE_RECORDS * CN_PIXELS,
                                d.labels + i * FILE_RECORDS, err);
    }
    if (good)
        *data = d;
    else
        cn_data_free(&d);
    return good;
}

void cn_draw(const cn_data *data, size_t n, const size_t *indices, cn_random *augment,
             cn_real *images, uint8_t *labels)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
    float table[3][256];
    for (size_t c = 0; c < 3; c++)
        for (size_t v = 0; v < 256; v++) table[c][v] = ((float)v / 255.0f - mean[c]) / deviation[c];
    for (size_t i = 0; i < n; i++) {
        /* Output pixel (y, x) is input pixel (y + dy, x + dx), mirrored or not; 0 outside, as
         * PyTorch's examples do after normalising. */
        const int dy = augment ? (int)cn_random_below(augment, 2 * PAD + 1) - PAD : 0;
        const int dx = augment ? (int)cn_random_below(augment, 2 * PAD + 1) - PAD : 0;
        const bool mirror = augment && cn_random_below(augment, 2);
        labels[i] = data->labels[indices[i]];
        for (size_t c = 0; c < 3; c++)
            for (int y = 0; y < CN_SIDE; y++)
                for (int x = 0; x < CN_SIDE; x++) {
                    const int fy = y + dy, fx = (mirror ? CN_SIDE - 1 - x : x) + dx;
                    const bool inside = fy >= 0 && fy < CN_SIDE && fx >= 0 && fx < CN_SIDE;
                    *images++ = inside
                                    ? (cn_real)table[c][data->pixels[indices[i] * CN_PIXELS +
                                                                     c * CN_SIDE * CN_SIDE +
                                                                     (size_t)(fy * CN_SIDE + fx)]]
                                    : 0;
                }
    }
}

size_t cn_evaluate(cn_net *net, const cn_data *data, double *loss, uint8_t *predictions)
{
    const cn_layer *in = &net->layers[0];
    if (in->channels != 3 || in->height != CN_SIDE || in->width != CN_SIDE || !net->classes ||
        net->classes < data->classes)
        return SIZE_MAX;
    const size_t batch = net->options.batch;
    cn_real *images = malloc(batch * CN_PIXELS * sizeof *images);
    uint8_t *labels = malloc(batch);
    size_t *indices = malloc(batch * sizeof *indices), right = SIZE_MAX;
    if (images && labels && indices) {
        double sum = 0;
        right = 0;
        for (size_t at = 0; at < data->count; at += batch) {
            const size_t n = data->count - at < batch ? data->count - at : batch;
            size_t more = 0;
            for (size_t i = 0; i < n; i++) indices[i] = at + i;
            cn_draw(data, n, indices, NULL, images, labels);
            cn_forward(net, n, images, false);
            sum += cn_loss(net, labels, &more) * (double)n;
            if (predictions) cn_predictions(net, predictions + at);
            right += more;
        }
        if (loss) *loss = data->count ? sum / (double)data->count : 0;
    }
    free(images);
    free(labels);
    free(indices);
    return right;
}
