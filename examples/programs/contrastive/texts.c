/*
 * A text is a template with names in it ("a photo of a {n}"), as the names of classes become texts
 * in arXiv 2103.00020, section 3.1. Because there are but ten classes, texts also say what kind of
 * thing a class is and what belongs to it. Classes share these words, so they say something about a
 * class whose images and name were never seen.
 */
#include "texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const texts_class CIFAR10[TEXTS_CLASSES] = {
    {"airplane", "vehicle", {"wings", "engines", "sky", "metal"}},
    {"automobile", "vehicle", {"wheels", "windows", "road", "metal"}},
    {"bird", "animal", {"wings", "feathers", "sky", "beak"}},
    {"cat", "animal", {"fur", "paws", "whiskers", "house"}},
    {"deer", "animal", {"fur", "hooves", "legs", "forest"}},
    {"dog", "animal", {"fur", "paws", "tail", "house"}},
    {"frog", "animal", {"skin", "legs", "pond", "eyes"}},
    {"horse", "animal", {"fur", "hooves", "legs", "tail"}},
    {"ship", "vehicle", {"deck", "engines", "sea", "metal"}},
    {"truck", "vehicle", {"wheels", "windows", "road", "load"}},
};

/* In the order of cn_data_shapes. */
static const texts_class SHAPES[TEXTS_CLASSES] = {
    {"disc", "figure", {"curve", "filled", "whole", "one"}},
    {"ring", "figure", {"curve", "hollow", "hole", "two"}},
    {"square", "figure", {"corners", "filled", "whole", "four"}},
    {"frame", "figure", {"corners", "hollow", "hole", "four"}},
    {"triangle", "figure", {"corners", "filled", "whole", "three"}},
    {"cross", "figure", {"corners", "filled", "arms", "four"}},
    {"rows", "pattern", {"lines", "level", "parallel", "many"}},
    {"columns", "pattern", {"lines", "upright", "parallel", "many"}},
    {"slants", "pattern", {"lines", "oblique", "parallel", "many"}},
    {"checkers", "pattern", {"corners", "level", "upright", "many"}},
};

/* {n}ame, {k}ind, a {p}art and the {o}ther part that follows it. */
static const char *const TEMPLATES[TEXTS_TEMPLATES] = {
    "a photo of a {n}",       "a small photo of the {n}",      "{n}, which is a kind of {k}",
    "a {n} and {p}",          "{p} and {o} of a {n}",          "a {k} and {p}",
    "a photo of {k} {p} {o}", "{n}: this {k} has {p} and {o}",
};

static const char *slot(const texts_class *c, char which, size_t part)
{
    switch (which) {
    case 'n':
        return c->name;
    case 'k':
        return c->kind;
    case 'p':
        return c->part[part];
    default:
        return c->part[(part + 1) % TEXTS_PARTS];
    }
}

void texts_write(const texts *t, size_t class, size_t i, char text[TEXTS_LENGTH])
{
    size_t at = 0;
    for (const char *from = TEMPLATES[i / TEXTS_PARTS]; *from; from++) {
        char letter[2] = {*from, 0};
        const char *more = letter;
        if (*from == '{') {
            more = slot(&t->classes[class], from[1], i % TEXTS_PARTS);
            from += 2;
        }
        for (; *more && at + 1 < TEXTS_LENGTH; more++) text[at++] = *more;
    }
    text[at] = 0;
}

/* The next word of a text, in small letters; returns where it ends, or NULL if there is none. */
static const char *next_word(const char *text, char word[TEXTS_WORD])
{
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz";
    text += strcspn(text, LETTERS);
    const size_t length = strspn(text, LETTERS),
                 kept = length < TEXTS_WORD ? length : TEXTS_WORD - 1;
    memcpy(word, text, kept);
    word[kept] = 0;
    return length ? text + length : NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static char *find(const texts *t, const char *word)
{
    return bsearch(word, t->word, t->words, sizeof *t->word, compare);
}

static void learn(texts *t, const char *text)
{
    char word[TEXTS_WORD];
    while ((text = next_word(text, word)))
        if (!find(t, word) && t->words < TEXTS_MOST_WORDS) {
            memcpy(t->word[t->words++], word, sizeof word);
            qsort(t->word, t->words, sizeof *t->word, compare);
        }
}

void texts_open(texts *t, texts_kind kind)
{
    *t = (texts){.classes = kind == TEXTS_SHAPES ? SHAPES : CIFAR10};
    for (size_t c = 0; c < TEXTS_CLASSES; c++)
        for (size_t i = 0; i < TEXTS_EACH; i++) {
            char text[TEXTS_LENGTH];
            texts_write(t, c, i, text);
            learn(t, text);
        }
}

size_t texts_bag(const texts *t, const char *text, cn_real *bag)
{
    char word[TEXTS_WORD];
    size_t found = 0;
    for (size_t i = 0; i < t->words; i++) bag[i] = 0;
    while ((text = next_word(text, word))) {
        const char *known = find(t, word);
        if (!known) continue;
        bag[(size_t)(known - t->word[0]) / TEXTS_WORD] += 1;
        found++;
    }
    for (size_t i = 0; found && i < t->words; i++) bag[i] /= (cn_real)found;
    return found;
}

static bool refuse(const texts *t, const char *name, int length, cn_error *err)
{
    size_t at;
    if (!err) return false;
    at = (size_t)snprintf(err->text, sizeof err->text, "no class is called \"%.*s\"; they are",
                          length < 40 ? length : 40, name);
    for (size_t c = 0; c < TEXTS_CLASSES && at < sizeof err->text; c++)
        at += (size_t)snprintf(err->text + at, sizeof err->text - at, "%s %s", c ? "," : "",
                               t->classes[c].name);
    return false;
}

bool texts_classes_named(const texts *t, const char *list, bool listed[TEXTS_CLASSES],
                         cn_error *err)
{
    for (size_t c = 0; c < TEXTS_CLASSES; c++) listed[c] = false;
    while (list && *list) {
        const size_t length = strcspn(list, ",");
        size_t c = 0;
        while (c < TEXTS_CLASSES && (strlen(t->classes[c].name) != length ||
                                     strncmp(t->classes[c].name, list, length) != 0))
            c++;
        if (c == TEXTS_CLASSES) return refuse(t, list, (int)(length < 40 ? length : 40), err);
        if (listed[c]) {
            if (err)
                snprintf(err->text, sizeof err->text, "the class %s is named twice",
                         t->classes[c].name);
            return false;
        }
        listed[c] = true;
        list += length;
        if (*list == ',' && !*++list) return refuse(t, "", 0, err);
    }
    return true;
}
