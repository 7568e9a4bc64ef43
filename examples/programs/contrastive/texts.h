/* Short texts about classes, made of their names by templates, and their bags of words. */
#ifndef CONTRASTIVE_TEXTS_H
#define CONTRASTIVE_TEXTS_H

#include "convnet.h"

enum {
    TEXTS_CLASSES = 10,
    TEXTS_PARTS = 4,
    TEXTS_TEMPLATES = 8,
    TEXTS_EACH = TEXTS_TEMPLATES * TEXTS_PARTS, /* texts of a class */
    TEXTS_MOST_WORDS = 128,
    TEXTS_WORD = 24,  /* the most letters of a word, and one more */
    TEXTS_LENGTH = 96 /* of a text */
};

/* What is said of a class: its name, what kind of thing it is, and what belongs to it. */
typedef struct texts_class {
    const char *name, *kind, *part[TEXTS_PARTS];
} texts_class;

/* The texts of a data set, and all words that occur in them, in the order of the alphabet. */
typedef struct texts {
    const texts_class *classes; /* TEXTS_CLASSES of them */
    size_t words;
    char word[TEXTS_MOST_WORDS][TEXTS_WORD];
} texts;

typedef enum texts_kind { TEXTS_CIFAR10, TEXTS_SHAPES } texts_kind;
void texts_open(texts *t, texts_kind kind);

/* text <- text number i, below TEXTS_EACH, of a class. */
void texts_write(const texts *t, size_t class, size_t i, char text[TEXTS_LENGTH]);
/* bag <- t->words numbers: which share of the text's words each word of the vocabulary is. Other
 * words are passed over. Returns how many words of the text were found. */
size_t texts_bag(const texts *t, const char *text, cn_real *bag);

/*
 * listed[c] <- whether class c is named in the list, whose names have commas between them; NULL
 * and "" name none. False, with a sentence: a name that no class has, or one that is there twice.
 */
bool texts_classes_named(const texts *t, const char *list, bool listed[TEXTS_CLASSES],
                         cn_error *err);

#endif
