/*
 * The state of a job in a safetensors file, from which any job of the same command line goes on.
 *
 * The file says everything once. Its metadata are
 *   - what must be the same when the job goes on (put_identity): written, and compared;
 *   - numbers of the job (FIELDS), the journals, the state of the pruner: written, and read back;
 *   - a checksum over all of this and the tensors, because most bits of a tensor could change
 *     without being noticed.
 * Its tensors are sets of the job (list_sets): one list for both directions.
 *
 * The network is not described in the file. It is made by the trainer as at the beginning, and if
 * the job has cut it, it is cut once more, by the plan that the pruner's state gives. The values
 * are read afterwards.
 *
 * What comes between the trainings of two phases is not in the file, but done again (stages.c).
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "mskp/tools.h"

static bool no_memory(const job *j)
{
    return trainer_fail(j->t, "%.200s: no memory for a checkpoint", j->t->options.checkpoint);
}

/* FNV-1a */
static const uint64_t HASH_START = 0xcbf29ce484222325u;

static uint64_t hash(uint64_t h, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) h = (h ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return h;
}

/* With the 0 at its end, so that texts cannot run into each other. */
static uint64_t hash_text(uint64_t h, const char *text)
{
    return hash(h, text, strlen(text) + 1);
}

static uint64_t hash_data(uint64_t h, const cn_data *data)
{
    h = hash(h, data->pixels, data->count * CN_PIXELS);
    return hash(h, data->labels, data->count);
}

bool checkpoint_check(job *j)
{
    const driver_options *o = &j->t->options;
    struct stat is;
    return !o->checkpoint || o->resume || stat(o->checkpoint, &is) || !S_ISREG(is.st_mode) ||
           !is.st_size ||
           trainer_fail(j->t,
                        "%.200s: this file is there already; --resume goes on from a checkpoint, "
                        "and a new run needs another name",
                        o->checkpoint);
}

bool checkpoint_open(job *j)
{
    if (!j->t->options.checkpoint) return true;
    j->images_hash = hash_data(hash_data(HASH_START, &j->train), &j->test);
    return journals_copy(j);
}

/* ---- metadata ---- */

/* Pairs of texts: key, value, key, value ... */
typedef struct pairs {
    FILE *to; /* each text is followed by a 0 */
    char *bytes;
    size_t size, count;
    const char **text; /* 2 * count, when the stream is closed */
} pairs;

static bool pairs_open(job *j, pairs *p)
{
    *p = (pairs){0};
    p->to = open_memstream(&p->bytes, &p->size);
    return p->to || no_memory(j);
}

/* room: for so many more pairs */
static bool pairs_close(job *j, pairs *p, size_t room)
{
    const bool good = !ferror(p->to);
    if (fclose(p->to) || !good) p->size = 0;
    p->to = NULL;
    size_t texts = 0;
    for (size_t i = 0; i < p->size; i++) texts += !p->bytes[i];
    p->text = calloc(texts + 2 * room + 1, sizeof *p->text);
    if (!p->text || !texts) return no_memory(j);
    const char *at = p->bytes;
    for (size_t i = 0; i < texts; i++, at += strlen(at) + 1) p->text[i] = at;
    p->count = texts / 2;
    return true;
}

static void pairs_free(pairs *p)
{
    if (p->to) fclose(p->to);
    free(p->bytes);
    free(p->text);
}

/* What decides how a job goes on, and is given and not read. Keys of options begin with --. */
static void put_identity(job *j, FILE *to)
{
    const trainer *t = j->t;
    const arg *option;
    const uint32_t version = mskp_version();
    fprintf(to, "program%c%s of mskp %u.%u.%u%c", 0, t->name, version / 10000, version / 100 % 100,
            version % 100, 0);
    for (size_t i = 0; (option = options_deciding(t, i)); i++) {
        fprintf(to, "--%s%c", option->name, 0);
        args_write(to, option, &t->options);
        putc(0, to);
    }
    fprintf(to, "network%c%s %016llx%c", 0, t->model, (unsigned long long)j->fingerprint, 0);
    fprintf(to, "data%c%zu and %zu images %016llx%c", 0, j->train.count, j->test.count,
            (unsigned long long)j->images_hash, 0);
}

/* A CLOCK is a moment (driver_seconds); the file says how many seconds have passed since. */
typedef enum field_kind { COUNT, BITS, FLAG, NUMBER, CLOCK } field_kind;

#define AT(field) offsetof(job, field)
static const struct field {
    const char *key;
    field_kind kind;
    size_t offset;
} FIELDS[] = {{"phase", COUNT, AT(phase)},
              {"epoch", COUNT, AT(epoch.number)},
              {"epoch.steps", COUNT, AT(epoch.steps)},
              {"epoch.order", BITS, AT(epoch.drawn_from.state)},
              {"epoch.images", COUNT, AT(epoch.images)},
              {"epoch.right", COUNT, AT(epoch.right)},
              {"epoch.counted", FLAG, AT(epoch.counted)},
              {"epoch.loss", NUMBER, AT(epoch.loss)},
              {"epoch.started", CLOCK, AT(epoch.started)},
              {"epoch.seconds", NUMBER, AT(epoch.seconds)},
              {"epoch.penalty_seconds", NUMBER, AT(epoch.penalty_seconds)},
              {"random", BITS, AT(random.state)},
              {"progress.started", CLOCK, AT(progress.started)},
              {"progress.done", NUMBER, AT(progress.done)},
              {"removed", COUNT, AT(removed)},
              {"cut", FLAG, AT(cut)},
              {"selected.macs", NUMBER, AT(selected.macs)},
              {"selected.params", NUMBER, AT(selected.params)},
              {"now.macs", NUMBER, AT(now.macs)},
              {"now.params", NUMBER, AT(now.params)},
              {"results.baseline", NUMBER, AT(results.baseline)},
              {"results.before", NUMBER, AT(results.before)},
              {"results.no_gamma", NUMBER, AT(results.no_gamma)},
              {"results.no_gamma_beta", NUMBER, AT(results.no_gamma_beta)},
              {"results.after", NUMBER, AT(results.after)},
              {"results.tuned", NUMBER, AT(results.tuned)},
              {"results.inference.dense", NUMBER, AT(results.inference[0])},
              {"results.inference.pruned", NUMBER, AT(results.inference[1])},
              {"results.training.dense", NUMBER, AT(results.training[0])},
              {"results.training.pruned", NUMBER, AT(results.training[1])},
              {"results.penalty_share", NUMBER, AT(results.penalty_share)}};
enum { FIELD_COUNT = sizeof FIELDS / sizeof *FIELDS };

/* The field as the type of its kind. */
typedef union content {
    size_t count;
    uint64_t bits;
    bool flag;
    double number;
} content;

static size_t content_size(field_kind kind)
{
    return kind == COUNT  ? sizeof(size_t)
           : kind == BITS ? sizeof(uint64_t)
           : kind == FLAG ? sizeof(bool)
                          : sizeof(double);
}

static void put_field(const job *j, const struct field *f, FILE *to)
{
    content c;
    memcpy(&c, (const char *)j + f->offset, content_size(f->kind));
    fprintf(to, "%s%c", f->key, 0);
    switch (f->kind) {
    case COUNT:
        fprintf(to, "%zu", c.count);
        break;
    case BITS:
        fprintf(to, "%016llx", (unsigned long long)c.bits);
        break;
    case FLAG:
        putc(c.flag ? '1' : '0', to);
        break;
    case NUMBER:
        args_write_number(to, c.number);
        break;
    case CLOCK:
        args_write_number(to, driver_seconds() - c.number);
        break;
    }
    putc(0, to);
}

static bool get_field(job *j, const struct field *f, const char *text)
{
    content c;
    char *end;
    const unsigned long long whole = strtoull(text, &end, f->kind == BITS ? 16 : 10);
    if (f->kind == NUMBER || f->kind == CLOCK) {
        c.number = strtod(text, &end);
        if (f->kind == CLOCK) c.number = driver_seconds() - c.number;
    } else if (f->kind == COUNT) {
        c.count = (size_t)whole;
        if (c.count != whole) return false;
    } else if (f->kind == BITS) {
        c.bits = whole;
    } else {
        c.flag = whole != 0;
    }
    memcpy((char *)j + f->offset, &c, content_size(f->kind));
    return *text && !*end;
}

/* ---- tensors ---- */

enum { NAME_SIZE = 160 };

/* Arrays of the job as tensors of a file. */
typedef struct list {
    size_t count, room;
    cn_tensor *tensor;
    unsigned char **memory; /* where the tensor is in this process */
    char (*name)[NAME_SIZE];
} list;

static bool list_make(job *j, list *l)
{
    *l = (list){.room = 3 * mskp_graph_counts(j->t->graph).params};
    l->tensor = calloc(l->room, sizeof *l->tensor);
    l->memory = calloc(l->room, sizeof *l->memory);
    l->name = calloc(l->room, sizeof *l->name);
    return (l->tensor && l->memory && l->name) || no_memory(j);
}

static void list_free(list *l)
{
    free(l->tensor);
    free(l->memory);
    free(l->name);
}

static void list_add(list *l, const char *dtype, size_t size, size_t dims, const size_t *shape,
                     void *memory)
{
    cn_tensor *t = &l->tensor[l->count];
    *t = (cn_tensor){.name = l->name[l->count], .dtype = dtype, .dims = dims, .count = 1};
    for (size_t d = 0; d < dims; d++) t->count *= t->shape[d] = shape[d];
    t->bytes = t->count * size;
    t->data = l->memory[l->count++] = memory;
}

static bool list_set(job *j, list *l, const char *set, const snapshot *s)
{
    static const char *const DTYPES[] = {[MSKP_DTYPE_F32] = "F32",
                                         [MSKP_DTYPE_F64] = "F64",
                                         [MSKP_DTYPE_F16] = "F16",
                                         [MSKP_DTYPE_BF16] = "BF16"};
    for (size_t i = 0; i < s->n; i++) {
        const mskp_tensor *v = &s->view[i];
        const char *name = mskp_param_name(j->t->graph, (mskp_param){(uint32_t)i + 1});
        char *to = l->name[l->count];
        if (!v->data || !v->elements) continue;
        if (snprintf(to, NAME_SIZE, "%s.%s", set, name) >= NAME_SIZE)
            return trainer_fail(j->t, "%.200s: the name %.80s... is too long",
                                j->t->options.checkpoint, name);
        list_add(l, DTYPES[v->dtype], element_size(v->dtype), v->ndim, v->shape, v->data);
    }
    return true;
}

/* The baseline is needed until there is a mask. */
static bool list_sets(job *j, list *l)
{
    return list_set(j, l, "value", &j->values) && list_set(j, l, "optimizer", &j->state) &&
           (j->phase != DRIVER_GLOBAL || list_set(j, l, "baseline", &j->baseline));
}

/* Between the machine's order of bytes and little endian, in both directions. */
static void reorder(const list *l)
{
    const uint16_t one = 1;
    if (*(const uint8_t *)&one) return;
    for (size_t i = 0; i < l->count; i++) {
        const size_t size = l->tensor[i].count ? l->tensor[i].bytes / l->tensor[i].count : 0;
        for (size_t k = 0; k < l->tensor[i].bytes; k += size)
            for (size_t a = k, b = k + size - 1; a < b; a++, b--) {
                const unsigned char byte = l->memory[i][a];
                l->memory[i][a] = l->memory[i][b];
                l->memory[i][b] = byte;
            }
    }
}

/* ---- the file ---- */

static const char CHECKSUM[] = "checksum";
enum { CHECKSUM_SIZE = 17 };

static void checksum(const cn_tensors *file, char text[CHECKSUM_SIZE])
{
    uint64_t h = HASH_START;
    for (size_t i = 0; i < file->meta_count; i++)
        if (strcmp(file->meta[2 * i], CHECKSUM) != 0)
            h = hash_text(hash_text(h, file->meta[2 * i]), file->meta[2 * i + 1]);
    for (size_t i = 0; i < file->count; i++) {
        const cn_tensor *t = &file->tensors[i];
        h = hash(hash_text(hash_text(h, t->name), t->dtype), t->data, t->bytes);
    }
    snprintf(text, CHECKSUM_SIZE, "%016llx", (unsigned long long)h);
}

static bool write_file(job *j, const list *l, pairs *meta)
{
    cn_error error;
    char sum[CHECKSUM_SIZE];
    cn_tensors file = {
        .count = l->count, .tensors = l->tensor, .meta_count = meta->count, .meta = meta->text};
    reorder(l);
    checksum(&file, sum);
    meta->text[2 * file.meta_count] = CHECKSUM;
    meta->text[2 * file.meta_count++ + 1] = sum;
    const bool good = cn_tensors_write(j->t->options.checkpoint, &file, &error);
    reorder(l);
    return good || trainer_fail(j->t, "%s", error.text);
}

static bool put_journals(job *j, FILE *to)
{
    for (size_t i = 0; i < JOURNALS; i++) {
        const journal *a = &j->journals[i];
        if (fflush(a->copy) || ferror(a->copy)) return false;
        fprintf(to, "%s%c%.*s%c", a->name, 0, (int)a->size, a->so_far, 0);
    }
    return true;
}

bool checkpoint_write(job *j)
{
    list l = {0};
    pairs meta = {0};
    if (!j->t->options.checkpoint) return true;
    char *pruner = pruning_text(j);
    bool good =
        (pruner || no_memory(j)) && save_state(j) && pairs_open(j, &meta) && list_make(j, &l);
    if (good) {
        put_identity(j, meta.to);
        for (size_t i = 0; i < FIELD_COUNT; i++) put_field(j, &FIELDS[i], meta.to);
        const bool whole = put_journals(j, meta.to);
        fprintf(meta.to, "pruner%c%s%c", 0, pruner, 0);
        good = (whole || no_memory(j)) && list_sets(j, &l) && pairs_close(j, &meta, 1) &&
               write_file(j, &l, &meta);
    }
    free(pruner);
    list_free(&l);
    pairs_free(&meta);
    return good;
}

bool checkpoint_pause(job *j)
{
    if (!file_signal_waits()) return true;
    if (!checkpoint_write(j)) return false;
    say(j, "interrupted: %.200s has the state, and --resume goes on from it",
        j->t->options.checkpoint);
    trainer_fail(j->t, "interrupted; --resume goes on from %.200s", j->t->options.checkpoint);
    report_failed(j);
    file_let_signals_wait(false); /* the signal ends the process */
    return false;
}

/* ---- reading ---- */

static bool check_whole(job *j, const cn_tensors *file)
{
    const char *path = j->t->options.checkpoint, *sum = cn_tensors_meta(file, CHECKSUM);
    char text[CHECKSUM_SIZE];
    if (!sum || !cn_tensors_meta(file, "program"))
        return trainer_fail(j->t, "%.200s: it is no checkpoint of %s", path, j->t->name);
    checksum(file, text);
    return !strcmp(sum, text) ||
           trainer_fail(j->t, "%.200s: it is damaged: its checksum is %s, but it says %.20s", path,
                        text, sum);
}

static const char *shown(const char *value)
{
    return *value ? value : "not given";
}

static bool compare_identity(job *j, const cn_tensors *file)
{
    pairs here;
    bool good = pairs_open(j, &here);
    if (good) {
        put_identity(j, here.to);
        good = pairs_close(j, &here, 0);
    }
    for (size_t i = 0; good && i < here.count; i++) {
        const char *key = here.text[2 * i], *value = here.text[2 * i + 1];
        const char *theirs = cn_tensors_meta(file, key);
        if (!theirs || strcmp(theirs, value) != 0)
            good = trainer_fail(j->t, "%.120s: %s is %.80s in the checkpoint, but %.80s here",
                                j->t->options.checkpoint, key, shown(theirs ? theirs : ""),
                                shown(value));
    }
    pairs_free(&here);
    return good;
}

static bool get_journals(job *j, const cn_tensors *file)
{
    for (size_t i = 0; i < JOURNALS; i++) {
        const journal *a = &j->journals[i];
        const char *text = cn_tensors_meta(file, a->name);
        if (text) fputs(text, a->copy);
        if (fflush(a->copy) || ferror(a->copy)) return false;
    }
    return true;
}

static bool get_fields(job *j, const cn_tensors *file)
{
    const char *path = j->t->options.checkpoint;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const char *text = cn_tensors_meta(file, FIELDS[i].key);
        if (!text || !get_field(j, &FIELDS[i], text))
            return trainer_fail(j->t, "%.200s: %s is \"%.40s\"", path, FIELDS[i].key,
                                text ? text : "");
    }
    if (j->phase >= DRIVER_STAGES || j->cut != (j->phase == DRIVER_TUNE))
        return trainer_fail(j->t, "%.200s: phase is %zu of %d, and cut is %d", path, j->phase,
                            DRIVER_STAGES, j->cut);
    return get_journals(j, file) || no_memory(j);
}

static bool same_shape(const cn_tensor *a, const cn_tensor *b)
{
    bool same = !strcmp(a->dtype, b->dtype) && a->dims == b->dims;
    for (size_t d = 0; same && d < a->dims; d++) same = a->shape[d] == b->shape[d];
    return same;
}

/* The tensors of the list <- the file. */
static bool get_tensors(job *j, const cn_tensors *file, const list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const cn_tensor *theirs = cn_tensors_find(file, l->tensor[i].name);
        if (!theirs || !same_shape(theirs, &l->tensor[i]))
            return trainer_fail(j->t, "%.200s: %.100s %s", j->t->options.checkpoint, l->name[i],
                                theirs ? "has another shape here" : "is not in it");
        memcpy(l->memory[i], theirs->data, theirs->bytes);
    }
    return true;
}

/* The pruner <- as it was, and the network <- as small as it was. */
static bool get_pruner(job *j, const cn_tensors *file)
{
    trainer *t = j->t;
    const char *text = cn_tensors_meta(file, "pruner");
    mskp_plan *plan = NULL;
    if (!text) return trainer_fail(t, "%.200s: it has no pruner", t->options.checkpoint);
    if (!pruning_begin(j, text, &plan)) return false;
    const bool good =
        (!j->cut == !plan || trainer_fail(t, "%.200s: cut is %d, but the pruner says %d",
                                          t->options.checkpoint, j->cut, plan != NULL)) &&
        (!plan || (t->cut(t, plan, NULL) && make_room(j)));
    mskp_plan_destroy(plan);
    return good;
}

bool checkpoint_read(job *j)
{
    cn_tensors file;
    cn_error error;
    list l = {0};
    if (!cn_tensors_read(j->t->options.checkpoint, &file, &error))
        return trainer_fail(j->t, "%s", error.text);
    bool good = check_whole(j, &file) && compare_identity(j, &file) && get_fields(j, &file) &&
                get_pruner(j, &file) && list_make(j, &l) && list_sets(j, &l) &&
                get_tensors(j, &file, &l);
    reorder(&l);
    good = good && restore_state(j);
    cn_tensors_free(&file);
    list_free(&l);
    if (!good) return false;
    j->resumed = true;
    return true;
}
